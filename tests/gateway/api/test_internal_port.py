"""What operators and Prometheus ask has a port of its own where one is set."""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx
import pytest

from tests.fakes.control_plane import FakeControlPlane
from tests.fakes.gateway import COMPLAINT, JSON, gateway_app
from tests.fakes.server import serving
from tests.problems import assert_problem

PUBLIC, INTERNAL = 8080, 8090
OPERATOR = {"Authorization": "Bearer of-the-operator"}
INTERNALS = ("/metrics", "/v1/tenants", "/v1/tenants/t_1", "/v1/tenants/t_1/keys")
PUBLICS = ("/openapi.json", "/v2", "/v1/label-sets", "/v1/usage", "/v1/me", "/", "/docs")


@asynccontextmanager
async def clients(internal_port: int) -> AsyncIterator[tuple[httpx.AsyncClient, httpx.AsyncClient]]:
    """One for each port."""
    async with serving(FakeControlPlane()) as url:
        app = gateway_app(control_plane_url=url, internal_key="k" * 32, internal_port=internal_port)
        transport = httpx.ASGITransport(app)
        async with app.router.lifespan_context(app):
            yield (
                httpx.AsyncClient(transport=transport, base_url=f"http://127.0.0.1:{PUBLIC}", headers=JSON),
                httpx.AsyncClient(transport=transport, base_url=f"http://127.0.0.1:{INTERNAL}", headers=JSON),
            )


@pytest.mark.parametrize("path", INTERNALS)
async def test_operators_paths_are_served_on_the_internal_port_alone(path: str) -> None:
    async with clients(INTERNAL) as (public, internal):
        assert (await internal.get(path, headers=OPERATOR)).status_code == 200
        assert_problem(await public.get(path, headers=OPERATOR), 404, "http_error")


@pytest.mark.parametrize("path", PUBLICS)
async def test_nothing_else_is_served_there(path: str) -> None:
    async with clients(INTERNAL) as (public, internal):
        assert_problem(await internal.get(path), 404, "http_error")
        assert (await public.get(path)).status_code == 200
        assert (await internal.post("/v1/classify", json=COMPLAINT)).status_code == 404
        assert (await public.post("/v1/classify", json=COMPLAINT)).status_code == 200


@pytest.mark.parametrize("path", ["/livez", "/console", "/ui/console/app.js", "/v1/sign-in"])
async def test_probes_may_use_either_and_so_may_the_console(path: str) -> None:
    """Operators' screens ask the internal port, those of tenants the public one."""
    async with clients(INTERNAL) as both:
        for client in both:
            assert (await client.get(path)).status_code == 200


@pytest.mark.parametrize("path", INTERNALS)
async def test_without_an_internal_port_there_is_one_for_all(path: str) -> None:
    async with clients(0) as (public, _):
        assert (await public.get(path, headers=OPERATOR)).status_code == 200


async def test_which_port_it_is_does_not_depend_on_what_the_request_says() -> None:
    """`Host` names a port as well."""
    with socket.create_server(("127.0.0.1", 0)) as unused:
        other_port = unused.getsockname()[1]
    app = gateway_app(internal_port=other_port)
    async with serving(app) as url, httpx.AsyncClient(base_url=url, trust_env=False) as client:
        refused = await client.get("/metrics", headers={"Host": f"127.0.0.1:{other_port}"})
        assert_problem(refused, 404, "http_error")
