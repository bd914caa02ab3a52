"""Who a key belongs to, through the whole application."""

from __future__ import annotations

from stores.tenants import DEFAULT_SCOPES
from tests.fakes.control_plane_app import LOCAL, OPERATOR, bearer, control_plane, new_key, new_tenant
from tests.problems import assert_problem


async def test_a_key_learns_its_tenant_and_its_scopes_whatever_they_are() -> None:
    async with control_plane() as client:
        tenant = await new_tenant(client, "Acme")
        for scopes in (["classify"], ["usage:read", "batches:read"], []):
            key = await new_key(client, tenant, scopes=scopes)
            me = await client.get("/v1/me", headers=bearer(key["key"]))
            expected = {"tenant_id": tenant, "tenant_name": "Acme", "key_id": key["id"], "scopes": scopes}
            assert me.json() == expected | {"subject": None}


async def test_a_caller_without_a_key_is_local() -> None:
    async with control_plane() as client:
        expected = {"tenant_id": "local", "tenant_name": "local", "key_id": None, "scopes": list(DEFAULT_SCOPES)}
        assert (await client.get("/v1/me", headers=LOCAL)).json() == expected | {"subject": None}


async def test_the_admin_key_is_no_tenants() -> None:
    async with control_plane() as client:
        for headers in ({}, OPERATOR):
            assert_problem(await client.get("/v1/me", headers=headers), 401, "unauthorized")
