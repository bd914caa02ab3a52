"""Who asks the gateway: a tenant by its key, or the batch worker for a tenant."""

from __future__ import annotations

import pytest
from starlette.requests import Request

from gateway.tenancy.authentication import TENANT_HEADER, GatewayAuthentication
from stores.errors import NotFound, StoreUnavailable, Unauthorized
from stores.tenants import CLASSIFY, LOCAL_TENANT_ID, SCOPES, SUSPENDED, Quota
from tests.fakes.clock import FakeClock
from tests.fakes.gateway import add_key, add_tenant, bearer
from tests.fakes.stores import FakeApiKeys, FakeTenants, Memory
from web.authentication import Authenticator, Caller

INTERNAL_KEY = "the-internal-key-0123456789-abcdef"
WORKER = bearer(INTERNAL_KEY)
TTL_S = 5.0


class World:
    def __init__(self, *, internal_key: str = INTERNAL_KEY, require_key: bool = True) -> None:
        self.memory, self.clock = Memory(), FakeClock()
        self.tenant = add_tenant(self.memory, pairs_per_minute=7)
        keys = Authenticator(FakeApiKeys(self.memory), self.clock, require_key=require_key, ttl_s=TTL_S)
        self.authentication = GatewayAuthentication(
            keys, FakeTenants(self.memory), self.clock, ttl_s=TTL_S, internal_key=internal_key
        )

    async def caller(self, headers: dict[str, str], tenant: str | None = None) -> Caller:
        all_headers = headers | ({} if tenant is None else {TENANT_HEADER: tenant})
        raw = [(name.lower().encode(), value.encode()) for name, value in all_headers.items()]
        return await self.authentication.caller_of(Request({"type": "http", "headers": raw}))


async def test_a_key_is_its_tenants_and_served_at_normal_priority() -> None:
    world = World()
    caller = await world.caller(add_key(world.memory, world.tenant))
    assert caller == Caller("acme", SCOPES, Quota(pairs_per_minute=7))
    assert not caller.low_priority


async def test_the_worker_is_served_at_low_priority_as_the_tenant_with_its_quota() -> None:
    caller = await World().caller(WORKER, "acme")
    assert caller == Caller("acme", (CLASSIFY,), Quota(pairs_per_minute=7), low_priority=True)


@pytest.mark.parametrize("headers", [bearer("x" * 32), bearer(INTERNAL_KEY[:-1]), {"Authorization": INTERNAL_KEY}])
async def test_with_another_key_nobody_is_the_worker(headers: dict[str, str]) -> None:
    with pytest.raises(Unauthorized):
        await World().caller(headers, "acme")


async def test_a_tenants_key_is_no_internal_key() -> None:
    """Else a tenant could ask for another."""
    world = World()
    with pytest.raises(Unauthorized):
        await world.caller(add_key(world.memory, world.tenant), "other")


async def test_the_internal_key_alone_is_no_tenants_key() -> None:
    with pytest.raises(Unauthorized):
        await World().caller(WORKER)


@pytest.mark.parametrize("tenant", ["nobody", "", "suspended"])
async def test_the_worker_asks_for_active_tenants_only(tenant: str) -> None:
    world = World()
    add_tenant(world.memory, "suspended", status=SUSPENDED)
    with pytest.raises(Unauthorized):
        await world.caller(WORKER, tenant)


async def test_without_an_internal_key_the_header_is_ignored() -> None:
    world = World(internal_key="")
    key = add_key(world.memory, world.tenant)
    assert (await world.caller(key, "other")).tenant_id == "acme"
    for headers in (bearer(""), WORKER):
        with pytest.raises(Unauthorized):
            await world.caller(headers, "acme")


async def test_without_any_key_the_header_is_ignored_too() -> None:
    caller = await World(require_key=False).caller({}, "acme")
    assert (caller.tenant_id, caller.low_priority) == (LOCAL_TENANT_ID, False)


async def test_a_suspended_tenants_lines_are_refused_when_its_time_in_the_cache_is_over() -> None:
    world = World()
    await world.caller(WORKER, "acme")
    add_tenant(world.memory, "acme", status=SUSPENDED)
    assert (await world.caller(WORKER, "acme")).tenant_id == "acme"
    world.clock.advance(TTL_S)
    with pytest.raises(Unauthorized):
        await world.caller(WORKER, "acme")


async def test_what_has_changed_is_forgotten_at_once_for_keys_and_for_the_worker() -> None:
    world = World()
    key = add_key(world.memory, world.tenant)
    await world.caller(key)
    await world.caller(WORKER, "acme")
    add_tenant(world.memory, "acme", status=SUSPENDED)
    world.authentication.forget()
    for headers, tenant in ((key, None), (WORKER, "acme")):
        with pytest.raises(Unauthorized):
            await world.caller(headers, tenant)


async def test_a_known_tenants_lines_outlast_an_outage_of_the_database() -> None:
    world = World()
    await world.caller(WORKER, "acme")
    world.memory.down = True
    world.clock.advance(TTL_S)
    assert (await world.caller(WORKER, "acme")).tenant_id == "acme"
    with pytest.raises(StoreUnavailable):
        await world.caller(WORKER, "other")


def test_the_operators_paths_are_not_here() -> None:
    with pytest.raises(NotFound):
        World().authentication.require_operator(Request({"type": "http", "headers": []}))
