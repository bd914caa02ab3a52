"""Who asks the gateway: a tenant by its key, or the batch worker for a tenant."""

from __future__ import annotations

import pytest
from starlette.requests import Request

from gateway.observability.request_context import GatewayContext
from gateway.tenancy.authentication import GatewayAuthentication
from stores.api_keys import generate_key
from stores.errors import NotFound, StoreUnavailable, TooManyFailures, Unauthorized
from stores.tenants import CLASSIFY, DEFAULT_SCOPES, LOCAL_TENANT_ID, SCOPES, SUSPENDED, Quota
from tests.fakes.clock import FakeClock
from tests.fakes.gateway import add_key, add_tenant, bearer
from tests.fakes.stores import FakeApiKeys, FakeTenants, Memory
from web.authentication import TENANT_HEADER, Authenticator, Caller
from web.failure_limit import FailureLimit
from web.local_callers import LocalCallers
from web.sessions import TENANT, Session, SessionTokens
from web.tenant_callers import TenantCallers

INTERNAL_KEY = "the-internal-key-0123456789-abcdef"
WORKER = bearer(INTERNAL_KEY)
TTL_S = 5.0


class World:
    def __init__(
        self, *, internal_key: str = INTERNAL_KEY, require_key: bool = True, failures_per_s: float = 0
    ) -> None:
        self.memory, self.clock, self.context = Memory(), FakeClock(), GatewayContext("r")
        self.tenant = add_tenant(self.memory, pairs_per_minute=7)
        self.authentication = GatewayAuthentication(
            Authenticator(FakeApiKeys(self.memory), self.clock, ttl_s=TTL_S),
            TenantCallers(
                FakeTenants(self.memory), FakeApiKeys(self.memory), self.clock, TTL_S, self.sessions(internal_key)
            ),
            FailureLimit(failures_per_s, lambda: 0.0),
            internal_key=internal_key,
            local=None if require_key else LocalCallers("127.0.0.1"),
        )

    def sessions(self, internal_key: str = INTERNAL_KEY) -> SessionTokens:
        return SessionTokens(TENANT, internal_key, self.clock)

    def session(self, tenant_id: str = "acme", internal_key: str = INTERNAL_KEY) -> dict[str, str]:
        """Of somebody who has signed in and may classify for a minute."""
        end = int(self.clock.now().timestamp()) + 60
        return bearer(self.sessions(internal_key).issue(Session("alice", end, tenant_id, (CLASSIFY,))))

    def request(self, headers: dict[str, str], tenant: str | None = None, address: str = "10.0.0.1") -> Request:
        all_headers = {"Host": "localhost"} | headers | ({} if tenant is None else {TENANT_HEADER: tenant})
        raw = [(name.lower().encode(), value.encode()) for name, value in all_headers.items()]
        scope = {"type": "http", "path": "/", "headers": raw, "client": (address, 1), "context": self.context}
        return Request(scope)

    async def caller(self, headers: dict[str, str], tenant: str | None = None) -> Caller:
        return await self.authentication.caller_of(self.request(headers, tenant))


async def test_a_key_is_its_tenants_and_served_at_normal_priority() -> None:
    world = World()
    caller = await world.caller(add_key(world.memory, world.tenant))
    assert caller == Caller("acme", SCOPES, Quota(pairs_per_minute=7), key_id=caller.key_id)
    assert caller.key_id
    assert not caller.low_priority


async def test_a_caller_has_the_special_tokens_of_its_tenant() -> None:
    world = World(require_key=False)
    key = add_key(world.memory, add_tenant(world.memory, special_tokens="text"))
    add_tenant(world.memory, LOCAL_TENANT_ID, special_tokens="text")
    for caller in (await world.caller(key), await world.caller(WORKER, "acme"), await world.caller({})):
        assert caller.special_tokens == "text"


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


async def test_a_caller_without_a_key_is_the_local_tenant_where_none_is_needed() -> None:
    world = World(require_key=False)
    assert await world.caller({}) == Caller(LOCAL_TENANT_ID, DEFAULT_SCOPES, has_key=False)
    assert not world.context.key_ignored
    with pytest.raises(Unauthorized, match="Host header"):
        await world.caller({"Host": "evil.example"})
    with pytest.raises(Unauthorized, match="a valid key is needed"):
        await World().caller({})


@pytest.mark.parametrize(
    "authorization", ["Bearer sk-1", "Bearer ", "", "Basic YTpi", "Bearer wn_1", "Bearer ключ"]
)
async def test_a_key_of_another_service_is_ignored_where_none_is_needed_and_the_answer_says_so(
    authorization: str,
) -> None:
    """Clients that were made for other services always send one."""
    world = World(require_key=False)
    assert (await world.caller({"Authorization": authorization})).tenant_id == LOCAL_TENANT_ID
    assert world.context.response_headers() == [(b"x-wanneng-tenant", b"local")]
    with pytest.raises(Unauthorized, match="Origin"):
        await world.caller({"Authorization": authorization, "Origin": "http://evil.example"})


async def test_a_key_that_was_revoked_is_refused_where_none_is_needed_too() -> None:
    """What its owner asks would be done for `local` otherwise, and nobody would notice."""
    world = World(require_key=False)
    key = add_key(world.memory, world.tenant)
    assert (await world.caller(key)).tenant_id == "acme"
    world.memory.keys.clear()
    world.authentication.forget()
    for headers in (key, bearer(generate_key().key)):
        with pytest.raises(Unauthorized, match="a valid key is needed"):
            await world.caller(headers)
    assert (await world.caller({})).tenant_id == LOCAL_TENANT_ID


async def test_a_known_key_is_its_tenants_where_none_is_needed_too() -> None:
    world = World(require_key=False)
    key = add_key(world.memory, world.tenant)
    assert (await world.caller(key | {"Host": "evil.example"})).tenant_id == "acme"
    assert world.context.response_headers() == []
    world.authentication.forget()
    add_tenant(world.memory, "acme", status=SUSPENDED)
    with pytest.raises(Unauthorized):
        await world.caller(key)


async def test_the_record_of_the_local_tenant_decides() -> None:
    world = World(require_key=False)
    add_tenant(world.memory, LOCAL_TENANT_ID, pairs_per_minute=3)
    assert (await world.caller({})).quota == Quota(pairs_per_minute=3)
    add_tenant(world.memory, LOCAL_TENANT_ID, status=SUSPENDED)
    assert (await world.caller({})).tenant_id == LOCAL_TENANT_ID, "remembered"
    world.clock.advance(TTL_S)
    for headers in ({}, bearer("sk-1")):
        with pytest.raises(Unauthorized, match="'local' of callers without a key is suspended"):
            await world.caller(headers)


async def test_the_local_tenant_outlasts_an_outage_of_the_database() -> None:
    world = World(require_key=False)
    await world.caller({})
    world.memory.down = True
    world.clock.advance(TTL_S)
    assert (await world.caller({})).tenant_id == LOCAL_TENANT_ID


async def test_failures_of_one_address_are_throttled_without_asking_the_store() -> None:
    world = World(failures_per_s=1)
    known, unused = add_key(world.memory, world.tenant), add_key(world.memory, world.tenant)
    await world.caller(known)
    for guess in (generate_key().key, "wrong", "x", "", generate_key().key):
        with pytest.raises(Unauthorized):
            await world.caller(bearer(guess))
    lookups = world.memory.lookups
    as_worker = bearer("wrong") | {TENANT_HEADER: "acme"}
    for headers in (bearer(generate_key().key), bearer("wrong"), as_worker, unused):
        with pytest.raises(TooManyFailures):
            await world.caller(headers)
    with pytest.raises(Unauthorized):
        await world.caller({})
    assert world.memory.lookups == lookups
    # Who was known before, the worker, and whoever comes from elsewhere notice nothing.
    assert (await world.caller(known)).tenant_id == "acme"
    assert (await world.caller(WORKER, "acme")).low_priority
    elsewhere = world.request(unused, address="10.0.0.2")
    assert (await world.authentication.caller_of(elsewhere)).tenant_id == "acme"


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


@pytest.mark.parametrize("require_key", [True, False])
async def test_a_session_is_a_caller_of_its_tenant_for_as_long_as_it_lasts(require_key: bool) -> None:
    """Where no key is needed, one that has ended is nobody's: what it asks is not for `local` to answer."""
    world = World(require_key=require_key)
    session = world.session()
    expected = Caller("acme", (CLASSIFY,), Quota(pairs_per_minute=7), subject="alice")
    assert await world.caller(session) == expected
    world.clock.advance(60)
    with pytest.raises(Unauthorized):
        await world.caller(session)


@pytest.mark.parametrize("require_key", [True, False])
async def test_a_session_ends_with_its_tenant(require_key: bool) -> None:
    world = World(require_key=require_key)
    session, of_nobody = world.session(), world.session("gone")
    add_tenant(world.memory, "acme", status=SUSPENDED)
    for headers in (session, of_nobody):
        with pytest.raises(Unauthorized):
            await world.caller(headers)


async def test_a_session_that_another_deployment_signed_is_nobodys_and_counts_as_a_failure() -> None:
    world = World(failures_per_s=1)
    foreign = world.session(internal_key="another-internal-key-0123456789-0")
    with pytest.raises(Unauthorized):
        await World(require_key=False).caller(foreign)
    for _ in range(5):
        with pytest.raises(Unauthorized):
            await world.caller(foreign)
    with pytest.raises(TooManyFailures):
        await world.caller(foreign)
    assert (await world.caller(world.session())).tenant_id == "acme", "failures of others keep nobody out"


async def test_a_session_names_no_other_tenant() -> None:
    with pytest.raises(Unauthorized):
        await World().caller(World().session(), "globex")
