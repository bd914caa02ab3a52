"""The document is what the control plane does: every route, every example."""

from __future__ import annotations

import re
from typing import Any

import pytest
from starlette.routing import Route

from control_plane.api.page import FILES
from control_plane.api.schema import TenantBody
from stores.tenants import SCOPES
from tests.fakes.control_plane_app import (
    OPERATOR,
    bearer,
    control_plane,
    control_plane_app,
    new_key,
    new_tenant,
)
from tests.openapi import described


@pytest.fixture
async def document() -> dict[str, Any]:
    async with control_plane() as client:
        answer = await client.get("/openapi.json")
    assert answer.status_code == 200
    document: dict[str, Any] = answer.json()
    return document


async def test_every_route_but_the_pages_is_in_the_document_and_nothing_else(document: dict[str, Any]) -> None:
    routes = [route for route in control_plane_app().router.routes if isinstance(route, Route)]
    served = {(method, route.path) for route in routes for method in (route.methods or set()) - {"HEAD"}}
    pages = {("GET", path) for path, _, _ in FILES}
    assert set(described(document)) == served - pages, "pages are for browsers"


async def test_references_have_what_they_point_to_and_ids_are_unique_names(document: dict[str, Any]) -> None:
    schemas = document["components"]["schemas"]
    assert set(re.findall(r"#/components/schemas/(\w+)", repr(document))) <= set(schemas)
    ids = [operation["operationId"] for operation in described(document).values()]
    assert len(ids) == len(set(ids))
    assert all(re.fullmatch(r"[a-z][A-Za-z0-9]+", name) for name in ids)


async def test_every_operation_names_who_may_ask(document: dict[str, Any]) -> None:
    """Only what a machine asks for without a key names nobody, and how people get a session."""
    security = {route: operation["security"] for route, operation in described(document).items()}
    anybody = {path for (_, path), schemes in security.items() if not schemes}
    sign_in = {"/v1/sign-in", "/v1/sign-in/sessions"}
    assert anybody == {"/openapi.json", "/livez", "/readyz", "/metrics"} | sign_in
    operators = {path for (_, path), schemes in security.items() if schemes == [{"operator": []}]}
    assert operators == {path for _, path in security if path.startswith(("/v1/tenants", "/v1/admin"))}


async def test_every_example_is_taken(document: dict[str, Any]) -> None:
    schemas = document["components"]["schemas"]
    taken = 0
    for (method, path), operation in described(document).items():
        content = operation.get("requestBody", {}).get("content", {}).get("application/json")
        if content is None:
            continue
        name = content["schema"]["$ref"].rpartition("/")[2]
        for example in schemas[name].get("examples", []):
            async with control_plane() as client:
                tenant = await new_tenant(client, "somebody")
                key = await new_key(client, tenant, scopes=list(SCOPES))
                headers = OPERATOR if operation["security"] == [{"operator": []}] else bearer(key["key"])
                target = path.format(tenant_id=tenant, key_id=key["id"], name="tickets")
                answer = await client.request(method, target, json=example, headers=headers)
            assert answer.status_code in (200, 201), answer.text
            assert str(answer.status_code) in operation["responses"]
            taken += 1
    assert taken == 7
    assert schemas[TenantBody.__name__]["examples"] == [{"name": "acme"}]
