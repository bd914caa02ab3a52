"""What the gateways do at present, read from the metrics of real ones on ports of their own."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import httpx
import pytest
from starlette.responses import PlainTextResponse, StreamingResponse
from starlette.types import ASGIApp

from control_plane.gateway_metrics import MAX_BYTES, MAX_GATEWAYS
from control_plane.settings import SettingsError
from tests.fakes.control_plane_app import OPERATOR, control_plane
from tests.fakes.gateway import COMPLAINT, JSON, add_key, add_tenant, gateway_app
from tests.fakes.server import serving
from tests.fakes.stores import Memory
from tests.problems import assert_problem

STATUS = "/v1/admin/status"


@asynccontextmanager
async def two_gateways(memory: Memory) -> AsyncIterator[list[str]]:
    """Their URLs; they share the records in `memory` and nothing else."""
    async with AsyncExitStack() as stack:
        yield [await stack.enter_async_context(serving(gateway_app(memory=memory))) for _ in range(2)]


async def ask(url: str, headers: dict[str, str], body: dict[str, Any]) -> int:
    async with httpx.AsyncClient(base_url=url, headers=JSON | headers, trust_env=False) as client:
        while (await client.get("/readyz")).status_code != 200:
            await asyncio.sleep(0.01)
        return (await client.post("/v1/classify", json=body)).status_code


async def status(setting: str) -> dict[str, Any]:
    async with control_plane(gateway_metrics_url=setting) as client:
        answer = await client.get(STATUS, headers=OPERATOR)
    assert answer.status_code == 200, answer.text
    told: dict[str, Any] = answer.json()
    return told


async def test_figures_are_of_each_gateway_and_of_all() -> None:
    memory = Memory()
    key, other = (add_key(memory, add_tenant(memory, name)) for name in ("acme", "other"))
    async with two_gateways(memory) as (first, second):
        assert [await ask(first, key, COMPLAINT), await ask(first, key, COMPLAINT)] == [200, 200]
        assert [await ask(second, other, COMPLAINT), await ask(second, other, {})] == [200, 422]
        told = await status(f"{first}, {second}/")
    assert [gateway["url"] for gateway in told["gateways"]] == [first, second]
    for gateway in told["gateways"]:
        assert (gateway["error"], gateway["ready"], gateway["workers"], gateway["redis_up"]) == (
            None,
            True,
            1,
            None,
        )
    computed = [gateway["figures"]["pairs_computed"] for gateway in told["gateways"]]
    assert (computed, told["total"]["pairs_computed"]) == ([2, 2], 4)
    assert (told["total"]["pairs_from_cache"], told["total"]["cached_pairs"], told["total"]["cache_hits"]) == (
        2,
        4,
        2,
    )
    assert (told["total"]["requests_answered"], told["total"]["requests_invalid"]) == (3, 1)
    assert told["total"]["pairs_in_flight"] == 0
    (pool,) = told["pools"]
    assert (pool["pool"], pool["answering"], pool["ejected"]) == ("default", 1, 0)
    assert sum(pool["engines"].values()) == 1
    acme = {"tenant_id": "acme", "pairs": 4, "answered": 2, "refused": 0, "invalid": 0, "failed": 0}
    assert told["tenants"] == [acme, acme | {"tenant_id": "other", "pairs": 2, "answered": 1, "invalid": 1}]


def answering(response: ASGIApp | None) -> ASGIApp:
    """Whatever is asked; None: never."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        assert scope["type"] == "http", "there is no lifespan"
        if response is None:
            await asyncio.Event().wait()
        else:
            await response(scope, receive, send)

    return app


async def endless() -> AsyncIterator[bytes]:
    while True:
        yield b"wanneng_ready 1\n" * 10_000
        await asyncio.sleep(0)


async def test_what_cannot_be_read_says_why_and_the_rest_is_told() -> None:
    memory = Memory()
    key = add_key(memory, add_tenant(memory))
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        async with (
            serving(gateway_app(memory=memory)) as works,
            serving(answering(None)) as hangs,
            serving(answering(PlainTextResponse("no", 404))) as elsewhere,
            serving(answering(PlainTextResponse("wanneng_ready yes\n"))) as broken,
            serving(answering(PlainTextResponse(b"wanneng_ready \xff\n"))) as binary,
            serving(answering(PlainTextResponse('wanneng_pool_replicas{state="ejected"} 1\n'))) as unnamed,
            serving(answering(PlainTextResponse('wanneng_ready{a="b", ="c"} 1\n'))) as malformed,
            serving(answering(StreamingResponse(endless()))) as large,
        ):
            assert await ask(works, key, COMPLAINT) == 200
            refused = f"http://127.0.0.1:{closed.getsockname()[1]}"
            unknown = "dns+http://gateway.invalid:8090"
            odd = ["http://é..b", "dns+http://a..b", f"dns+http://{'a' * 64}"]
            urls = [works, hangs, elsewhere, broken, binary, unnamed, malformed, large, refused, unknown, *odd]
            told = await status(",".join(urls))
    errors = {gateway["url"]: gateway["error"] for gateway in told["gateways"]}
    assert [*errors] == urls
    assert errors[works] is None
    for url, words in (
        (hangs, "it does not answer within 2 s"),
        (elsewhere, "the answer was 404"),
        (broken, "its metrics cannot be read"),
        (binary, "its metrics cannot be read"),
        (malformed, "its metrics cannot be read"),
        (unnamed, "lacks the label 'pool'"),
        (large, f"more than {MAX_BYTES} bytes"),
        (refused, "connection refused"),
        (unknown, "its name cannot be resolved"),
        (odd[0], "its metrics cannot be read"),
        (odd[1], "its name cannot be resolved"),
        (odd[2], "its name cannot be resolved"),
    ):
        assert words in errors[url], url
    assert all(gateway["figures"] is None for gateway in told["gateways"][1:])
    assert told["total"]["pairs_computed"] == 2


@pytest.mark.parametrize("value", ["NaN", "+Inf", "-1", "1e308", "1e18"])
@pytest.mark.parametrize(
    "series", ['tenant_pairs_total{tenant="acme"}', 'pool_engines{pool="p",engine="e"}', "cache_pairs"]
)
async def test_what_nobody_counts_to_is_the_error_of_its_gateway_alone(series: str, value: str) -> None:
    replicas = 'wanneng_pool_replicas{pool="p",state="answering"} 1\n'
    odd = PlainTextResponse(f"{replicas}wanneng_{series} {value}\n")
    async with serving(answering(odd)) as first, serving(answering(PlainTextResponse(replicas))) as second:
        told = await status(f"{first},{second}")
    assert ["a count is" in (gateway["error"] or "") for gateway in told["gateways"]] == [True, False]
    assert [pool["answering"] for pool in told["pools"]] == [1]


async def test_a_certificate_of_addresses_is_refused_by_the_way_out() -> None:
    with pytest.raises(SettingsError, match="no certificate is valid; use dns"):
        async with control_plane(gateway_metrics_url="dns+https://gateway:8090"):
            pass


async def test_a_name_stands_for_all_of_its_addresses() -> None:
    async with two_gateways(Memory()) as (first, _):
        told = await status(first.replace("http://127.0.0.1", "dns+http://localhost"))
    assert first in {gateway["url"] for gateway in told["gateways"]}


async def test_only_so_many_gateways_are_asked() -> None:
    urls = [f"http://127.0.0.1:{port}" for port in range(1, MAX_GATEWAYS + 2)]
    told = await status(",".join(urls))
    assert [gateway["url"] for gateway in told["gateways"]] == urls
    assert ["not asked" in gateway["error"] for gateway in told["gateways"]] == [False] * MAX_GATEWAYS + [True]


async def test_without_addresses_it_is_not_available() -> None:
    async with control_plane() as client:
        refused = await client.get(STATUS, headers=OPERATOR)
    assert "WANNENG_GATEWAY_METRICS_URL" in assert_problem(refused, 501, "not_available")["detail"]


@pytest.mark.parametrize("setting", ["gateway:8080", "ftp://gateway", "http://", "http://a,b", "http://a:99999"])
async def test_what_is_no_address_is_refused_at_the_start(setting: str) -> None:
    with pytest.raises(SettingsError, match="WANNENG_GATEWAY_METRICS_URL"):
        async with control_plane(gateway_metrics_url=setting):
            pass
