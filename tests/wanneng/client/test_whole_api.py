"""Every operation of wanneng's own API is a method of the client."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from tests.fakes.control_plane_app import control_plane
from tests.fakes.gateway import gateway
from tests.openapi import described
from tests.wanneng.client.fake_gateway import problem
from wanneng import AsyncClient, Client, GatewayRefused

CALLS: dict[tuple[str, str], Callable[[Client], object]] = {
    ("POST", "/v1/classify"): lambda client: client.classify("a", ["b"]),
    ("POST", "/v1/tokenize"): lambda client: client.tokenize("a"),
    ("GET", "/v1/me"): lambda client: client.me(),
    ("GET", "/v1/usage"): lambda client: client.usage(),
    ("GET", "/v1/budget"): lambda client: client.budgets(),
    ("GET", "/v1/keys"): lambda client: client.keys.list(),
    ("POST", "/v1/keys"): lambda client: client.keys.create(),
    ("POST", "/v1/keys/{key}/rotate"): lambda client: client.keys.rotate("a"),
    ("DELETE", "/v1/keys/{key}"): lambda client: client.keys.revoke("a"),
    ("GET", "/v1/label-sets"): lambda client: client.label_sets.list(),
    ("GET", "/v1/label-sets/{reference}"): lambda client: client.label_sets.get("a@1"),
    ("PUT", "/v1/label-sets/{name}"): lambda client: client.label_sets.put("a", ["b"]),
    ("DELETE", "/v1/label-sets/{name}"): lambda client: client.label_sets.delete("a"),
    ("GET", "/v1/label-sets/{name}/versions"): lambda client: client.label_sets.versions("a"),
    ("POST", "/v1/label-sets/{name}/rollback"): lambda client: client.label_sets.rollback("a", 1, replaces=2),
    ("POST", "/v1/files"): lambda client: client.batches.upload(b"{}"),
    ("GET", "/v1/files"): lambda client: client.batches.files(),
    ("GET", "/v1/files/{file_id}"): lambda client: client.batches.file("a"),
    ("GET", "/v1/files/{file_id}/content"): lambda client: client.batches.content("a"),
    ("DELETE", "/v1/files/{file_id}"): lambda client: client.batches.delete_file("a"),
    ("POST", "/v1/batches"): lambda client: client.batches.create("a"),
    ("GET", "/v1/batches"): lambda client: client.batches.list(),
    ("GET", "/v1/batches/{batch_id}"): lambda client: client.batches.get("a"),
    ("POST", "/v1/batches/{batch_id}/cancel"): lambda client: client.batches.cancel("a"),
    ("POST", "/v1/tenants"): lambda client: client.tenants.create("a"),
    ("GET", "/v1/tenants"): lambda client: client.tenants.list(),
    ("GET", "/v1/tenants/{id}"): lambda client: client.tenants.get("a"),
    ("PATCH", "/v1/tenants/{id}"): lambda client: client.tenants.rename("a", "b"),
    ("DELETE", "/v1/tenants/{id}"): lambda client: client.tenants.delete("a"),
    ("PUT", "/v1/tenants/{id}/quota"): lambda client: client.tenants.set_quota("a"),
    ("GET", "/v1/tenants/{id}/budget"): lambda client: client.tenants.budget("a"),
    ("PUT", "/v1/tenants/{id}/budget"): lambda client: client.tenants.set_budget("a"),
    ("GET", "/v1/tenants/{id}/keys/{key}/budget"): lambda client: client.tenants.budget("a", "b"),
    ("PUT", "/v1/tenants/{id}/keys/{key}/budget"): lambda client: client.tenants.set_budget("a", "b"),
    ("GET", "/v1/tenants/{id}/usage"): lambda client: client.tenants.usage("a"),
    ("GET", "/v1/tenants/{id}/keys"): lambda client: client.tenants.keys.list("a"),
    ("POST", "/v1/tenants/{id}/keys"): lambda client: client.tenants.keys.create("a"),
    ("POST", "/v1/tenants/{id}/keys/{key}/rotate"): lambda client: client.tenants.keys.rotate("a", "b"),
    ("GET", "/v1/audit"): lambda client: [*client.audit.own()],
    ("GET", "/v1/admin/audit"): lambda client: [*client.audit.list()],
    ("GET", "/v1/admin/audit/export"): lambda client: [*client.audit.export()],
    ("GET", "/v1/admin/status"): lambda client: client.status(),
    ("DELETE", "/v1/tenants/{id}/keys/{key}"): lambda client: client.tenants.keys.revoke("a", "b"),
}
NOT_ITS_OWN = {"Compatible APIs", "Server", "Sign-in"}
"""Tags of the operations that are for other programs, or for people in a browser."""


def shape(path: str) -> str:
    """The path without the names of its parameters."""
    return re.sub(r"\{\w+\}", "{}", path)


async def test_the_table_has_every_operation_of_the_documents() -> None:
    operations: dict[tuple[str, str], dict[str, Any]] = {}
    async with gateway() as of_gateway, control_plane() as of_control_plane:
        for client in (of_gateway, of_control_plane):
            operations |= described((await client.get("/openapi.json")).raise_for_status().json())
    own = {
        (method, shape(path))
        for (method, path), operation in operations.items()
        if not NOT_ITS_OWN.intersection(operation.get("tags", ()))
    }
    assert own == {(method, shape(path)) for method, path in CALLS}


@pytest.mark.parametrize(("method", "path"), CALLS, ids=" ".join)
def test_a_method_of_the_client_asks_for_it(method: str, path: str) -> None:
    requests: list[httpx.Request] = []

    def refuse(request: httpx.Request) -> httpx.Response:
        requests.append(request)
        return problem(404, "not_found")

    with Client("http://gateway", transport=httpx.MockTransport(refuse)) as client, pytest.raises(GatewayRefused):
        CALLS[method, path](client)
    (request,) = requests
    assert request.method == method
    assert re.fullmatch(shape(path).replace("{}", "[^/]+"), request.url.path)


def test_both_clients_have_the_same_methods() -> None:
    for first, second in (
        (Client(), AsyncClient()),
        *(
            (getattr(Client(), name), getattr(AsyncClient(), name))
            for name in ("label_sets", "batches", "tenants")
        ),
        (Client().tenants.keys, AsyncClient().tenants.keys),
    ):
        assert {name for name in dir(first) if name[0] != "_"} == {name for name in dir(second) if name[0] != "_"}
