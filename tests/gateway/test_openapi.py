"""The document is what the gateway does: every path, every example."""

from __future__ import annotations

import re

import pytest

from gateway.api.openapi import INFER, document
from gateway.api.operations import EXAMPLES, OPERATIONS, Operation
from gateway.app import create_app
from gateway.settings import Settings
from tests.fakes.classifier import FakeClassifier
from tests.fakes.stores import fake_stores
from tests.gateway.test_tenant_api import OPERATOR, gateway, new_tenant


def test_every_route_is_in_the_document_and_nothing_else() -> None:
    app = create_app(Settings(), classifier=FakeClassifier(), stores=fake_stores())
    served = {(m, r.path) for r in app.router.routes for m in r.methods - {"HEAD"}}  # type: ignore[attr-defined]
    assert served == {(one.method, one.path) for one in OPERATIONS}


def test_references_have_what_they_point_to_and_ids_are_unique() -> None:
    made = document()
    known = made["components"]["schemas"]
    assert set(re.findall(r"#/components/schemas/(\w+)", repr(made))) <= set(known)
    ids = [one["operationId"] for path in made["paths"].values() for one in path.values()]
    assert len(ids) == len(set(ids)) == len(OPERATIONS)


@pytest.mark.parametrize("one", [one for one in OPERATIONS if one.body in EXAMPLES], ids=lambda one: one.path)
async def test_every_example_is_taken(one: Operation) -> None:
    assert one.body is not None
    async with gateway(require_key=False) as client:
        tenant = await new_tenant(client, "somebody")
        path = one.path.format(tenant_id=tenant, name="tickets")
        headers = OPERATOR if one.scope == "operator" else {}
        done = await client.request(one.method, path, json=EXAMPLES[one.body], headers=headers)
    assert done.status_code in (200, 201), done.text


async def test_the_example_of_an_inference_is_taken() -> None:
    async with gateway(require_key=False) as client:
        done = await client.post("/v2/models/zero_shot/infer", json=INFER["examples"][0])
    assert done.status_code == 200, done.text


async def test_the_document_is_served() -> None:
    async with gateway() as client:
        assert (await client.get("/openapi.json")).json() == document()
