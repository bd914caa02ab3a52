"""The document is what the gateway does, with what the control plane does while that answers."""

from __future__ import annotations

import asyncio
import re
from typing import Any

import httpx
import msgspec
import pytest
from starlette.routing import Route

from gateway.api.compat.kserve import INFER_SCHEMA
from gateway.api.forwarding import PATHS
from tests.fakes.control_plane import FakeControlPlane
from tests.fakes.gateway import add_label_set, gateway, gateway_app
from tests.fakes.server import serving
from tests.fakes.stores import Memory
from tests.openapi import described

CONTROL_PLANE_DOCUMENT: dict[str, Any] = {
    "openapi": "3.1.0",
    "info": {"title": "control plane"},
    "tags": [{"name": "Server"}, {"name": "Files"}],
    "paths": {
        "/v1/files": {"get": {"operationId": "get_files"}},
        "/livez": {"get": {"operationId": "livez_of_the_control_plane"}},
    },
    "components": {
        "schemas": {"File": {"type": "object"}, "Problem": {"title": "of the control plane"}},
        "responses": {"Problem409": {"description": "of the control plane"}},
    },
}


async def own_document() -> dict[str, Any]:
    async with gateway() as client:
        answer = await client.get("/openapi.json")
    assert answer.status_code == 200
    document: dict[str, Any] = answer.json()
    return document


async def test_every_route_is_in_the_document_but_those_that_are_forwarded() -> None:
    routes = [route for route in gateway_app().router.routes if isinstance(route, Route)]
    served = {(method, route.path) for route in routes for method in (route.methods or set()) - {"HEAD"}}
    own = {(method, path) for method, path in served if path not in PATHS}
    assert set(described(await own_document())) == own
    assert {path for _, path in served - own} == set(PATHS)


async def test_references_have_what_they_point_to_and_ids_are_unique_names() -> None:
    document = await own_document()
    schemas = document["components"]["schemas"]
    assert set(re.findall(r"#/components/schemas/(\w+)", repr(document))) <= set(schemas)
    operations = described(document).values()
    ids = {operation["operationId"] for operation in operations}
    assert len(ids) == len(operations)
    assert all(re.fullmatch(r"[a-z][A-Za-z0-9]+", name) for name in ids)


async def test_every_example_is_taken() -> None:
    document = await own_document()
    schemas = document["components"]["schemas"]
    taken = []
    memory = Memory()
    add_label_set(memory, ["投诉", "咨询"], name="tickets")
    async with gateway(memory=memory) as client:
        for (method, path), operation in described(document).items():
            content = operation.get("requestBody", {}).get("content", {}).get("application/json")
            if content is None:
                continue
            schema = content["schema"]
            if "$ref" in schema:
                schema = schemas[schema["$ref"].rpartition("/")[2]]
            (example,) = schema["examples"]
            answer = await client.request(method, path.format(model="zero_shot", version="1"), json=example)
            assert answer.status_code == 200, answer.text
            taken.append(path)
    assert len(taken) == 15
    assert "/v2/models/{model}/infer" in taken


async def test_the_schema_of_an_inference_has_an_example() -> None:
    async with gateway() as client:
        answer = await client.post("/v2/models/zero_shot/infer", json=INFER_SCHEMA["examples"][0])
    assert answer.status_code == 200, answer.text


async def test_both_documents_are_one_in_which_the_gateways_own_wins() -> None:
    control_plane = FakeControlPlane(body=[msgspec.json.encode(CONTROL_PLANE_DOCUMENT)])
    own = await own_document()
    async with serving(control_plane) as url, gateway(control_plane_url=url) as client:
        merged = (await client.get("/openapi.json")).json()
        assert (await client.get("/openapi.json")).json() == merged
    assert merged["paths"] == own["paths"] | {"/v1/files": CONTROL_PLANE_DOCUMENT["paths"]["/v1/files"]}
    schemas = own["components"]["schemas"] | {"File": {"type": "object"}}
    assert merged["components"]["schemas"] == schemas
    assert merged["components"]["responses"]["Problem409"] == {"description": "of the control plane"}
    assert merged["tags"] == [*own["tags"], {"name": "Files"}]
    assert merged["info"] == own["info"]
    assert [request.target for request in control_plane.requests] == ["/openapi.json"], "asked once"


@pytest.mark.parametrize(
    ("status", "body"), [(503, b"{}"), (404, b"<html>"), (200, b"<html>"), (200, b"[]"), (200, b'{"paths": 1}')]
)
async def test_it_stands_alone_while_the_control_plane_has_none_and_is_merged_afterwards(
    status: int, body: bytes
) -> None:
    control_plane = FakeControlPlane(status, body=[body])
    own = await own_document()
    async with serving(control_plane) as url, gateway(control_plane_url=url) as client:
        answer = await client.get("/openapi.json")
        assert (answer.status_code, answer.json()) == (200, own)
        control_plane.status, control_plane.body = 200, [msgspec.json.encode(CONTROL_PLANE_DOCUMENT)]
        assert "/v1/files" in (await client.get("/openapi.json")).json()["paths"]


async def test_however_many_ask_at_a_time_it_is_merged_once() -> None:
    body = [msgspec.json.encode(CONTROL_PLANE_DOCUMENT)]
    control_plane = FakeControlPlane(body=body, before_answering=asyncio.Event())
    async with serving(control_plane) as url, gateway(control_plane_url=url) as client:
        asking = [asyncio.create_task(client.get("/openapi.json")) for _ in range(8)]
        while not control_plane.requests:
            await asyncio.sleep(0.01)
        await asyncio.sleep(0.05)
        control_plane.before_answering.set()
        assert all("/v1/files" in answer.json()["paths"] for answer in await asyncio.gather(*asking))
    assert len(control_plane.requests) == 1


async def test_it_stands_alone_while_the_control_plane_is_away() -> None:
    async with serving(FakeControlPlane()) as url:
        pass
    async with gateway(control_plane_url=url) as client:
        assert (await client.get("/openapi.json")).json() == await own_document()


async def test_it_stands_alone_while_the_control_plane_hangs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("web.openapi_endpoint.TIMEOUT_S", 0.1)
    control_plane = FakeControlPlane(before_answering=asyncio.Event())
    async with asyncio.timeout(5), serving(control_plane) as url, gateway(control_plane_url=url) as client:
        assert (await client.get("/openapi.json")).json() == await own_document()


@pytest.mark.parametrize("settings", [{}, {"tenants_file": "tenants.yaml"}])
async def test_without_a_control_plane_nobody_is_asked(settings: dict[str, Any]) -> None:
    """The address is no control plane's where tenants are declared in a file."""
    control_plane = FakeControlPlane()
    async with serving(control_plane) as url:
        given = settings | ({"control_plane_url": url} if settings else {})
        async with gateway(**given) as client:
            answer: httpx.Response = await client.get("/openapi.json")
            assert answer.json() == await own_document()
    assert control_plane.requests == []
