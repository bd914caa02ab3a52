"""Nobody is served without a key; a gateway that needs none asks with its own for the tenant `local`."""

from __future__ import annotations

import httpx
import pytest

from stores.tenants import LOCAL_TENANT_ID, SUSPENDED
from tests.fakes.control_plane_app import INTERNAL_KEY, LOCAL, OPERATOR, bearer, control_plane, new_caller
from tests.fakes.gateway import add_tenant
from tests.fakes.stores import Memory
from tests.problems import assert_problem

PATHS = ("/v1/label-sets", "/v1/files", "/v1/batches", "/v1/usage")


async def statuses(client: httpx.AsyncClient, headers: dict[str, str]) -> set[int]:
    return {(await client.get(path, headers=headers)).status_code for path in PATHS}


@pytest.mark.parametrize("host", ["127.0.0.1", "0.0.0.0"])
async def test_without_a_key_nobody_is_served_on_loopback_neither(host: str) -> None:
    async with control_plane(control_plane_host=host, require_key=False) as client:
        for headers in ({}, {"X-Wanneng-Tenant": LOCAL_TENANT_ID}, bearer("sk-1"), {"Host": "localhost"}):
            assert await statuses(client, headers) == {401}


async def test_a_gateway_asks_for_the_local_tenant_with_all_scopes() -> None:
    memory = Memory()
    add_tenant(memory, LOCAL_TENANT_ID)
    async with control_plane(memory) as client:
        assert await statuses(client, LOCAL) == {200}
        body = {"labels": ["a", "b"]}
        assert (await client.put("/v1/label-sets/x", json=body, headers=LOCAL)).status_code == 201
        assert [name for _, name, _ in memory.versions] == ["x"]


async def test_it_asks_for_no_other_tenant_and_is_no_operator() -> None:
    memory = Memory()
    add_tenant(memory, "acme")
    async with control_plane(memory) as client:
        for headers in (bearer(INTERNAL_KEY), LOCAL | {"X-Wanneng-Tenant": "acme"}):
            assert await statuses(client, headers) == {401}
        assert_problem(await client.get("/v1/tenants", headers=LOCAL), 401, "unauthorized")


async def test_without_an_internal_key_there_is_no_gateway_that_could_be_recognized() -> None:
    async with control_plane(internal_key="") as client:
        for headers in (LOCAL, LOCAL | bearer("")):
            assert await statuses(client, headers) == {401}


async def test_a_suspended_local_tenant_is_refused_at_once_where_it_was_suspended() -> None:
    memory = Memory()
    add_tenant(memory, LOCAL_TENANT_ID)
    async with control_plane(memory) as client:
        assert await statuses(client, LOCAL) == {200}
        change = await client.patch(f"/v1/tenants/{LOCAL_TENANT_ID}", json={"status": SUSPENDED}, headers=OPERATOR)
        assert change.status_code == 200
        assert await statuses(client, LOCAL) == {401}


async def test_a_tenants_key_is_not_asked_for_the_header() -> None:
    async with control_plane() as client:
        key = await new_caller(client)
        assert await statuses(client, key | {"X-Wanneng-Tenant": LOCAL_TENANT_ID}) == {200}
