"""Who is asking: one refusal for everything that is wrong with a key, and how long a key is remembered."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from datetime import timedelta

import pytest

from gateway.errors import MissingScope, NotFound, StoreUnavailable, Unauthorized
from gateway.identity import LOCAL, OUTAGE_S, Identities
from gateway.keys import make_key
from gateway.tenants import SCOPES, SUSPENDED, Tenant, Tenants
from tests.fakes.clock import FakeClock
from tests.fakes.stores import FakeKeys, FakeTenants, Memory

REMEMBERED_S = 5.0


@dataclass
class World:
    """One tenant with one key, and the identities that look it up."""

    require_key: bool = True
    memory: Memory = field(default_factory=Memory)
    clock: FakeClock = field(default_factory=FakeClock)

    def __post_init__(self) -> None:
        keys = FakeKeys(self.memory)
        self.tenants = Tenants(FakeTenants(self.memory), keys, self.clock)
        self.identities = Identities(
            keys, self.clock, require_key=self.require_key, remembered_s=REMEMBERED_S, admin_key="operator"
        )

    async def add(self, name: str = "Acme", lifetime_s: float | None = None) -> tuple[Tenant, str, str]:
        """The tenant, the id of its key, and the header that it sends."""
        tenant = await self.tenants.create(name)
        end = None if lifetime_s is None else self.clock.now() + timedelta(seconds=lifetime_s)
        key, new = await self.tenants.add_key(tenant.id, expires_at=end)
        return tenant, key.id, f"Bearer {new.key}"


async def test_a_key_tells_its_tenant() -> None:
    world = World()
    acme, _, header = await world.add()
    other, _, others_header = await world.add("Other")
    assert (await world.identities.caller(header)).tenant_id == acme.id
    assert (await world.identities.caller(others_header)).tenant_id == other.id
    assert (await world.identities.caller(header.replace("Bearer", "bearer"))).tenant_id == acme.id


async def test_everything_that_is_wrong_is_refused_in_the_same_words() -> None:
    world = World()
    _, key_id, header = await world.add()
    suspended, _, suspended_header = await world.add("Suspended")
    await world.tenants.change(suspended.id, status=SUSPENDED)
    _, _, expired_header = await world.add("Expired", lifetime_s=10)
    world.clock.advance(10)
    wrong_secret = f"Bearer wn_{key_id}_{'0' * 48}"
    refused = [
        None,
        "",
        "Bearer",
        "Basic abc",
        f"Bearer {make_key().key}",
        wrong_secret,
        suspended_header,
        expired_header,
    ]
    words = set()
    for given in refused:
        with pytest.raises(Unauthorized) as refusal:
            await world.identities.caller(given)
        words.add(str(refusal.value))
    assert len(words) == 1
    assert (await world.identities.caller(header)).scopes == SCOPES


async def test_without_a_key_where_none_is_needed_the_local_tenant_asks() -> None:
    world = World(require_key=False)
    assert await world.identities.caller(None) == LOCAL
    with pytest.raises(Unauthorized):
        await world.identities.caller("Bearer wrong")


async def test_a_key_is_looked_up_once_while_it_is_remembered() -> None:
    world = World()
    _, _, header = await world.add()
    for _ in range(5):
        await world.identities.caller(header)
    assert world.memory.lookups == 1
    world.clock.advance(REMEMBERED_S)
    await world.identities.caller(header)
    assert world.memory.lookups == 2


async def test_a_stranger_who_guesses_asks_the_store_once_for_each_id() -> None:
    world = World()
    guess = f"Bearer {make_key().key}"
    for _ in range(5):
        with pytest.raises(Unauthorized):
            await world.identities.caller(guess)
    assert world.memory.lookups == 1


async def test_a_revoked_key_works_no_longer_than_it_is_remembered() -> None:
    world = World()
    acme, key_id, header = await world.add()
    await world.identities.caller(header)
    await world.tenants.remove_key(acme.id, key_id)
    assert (await world.identities.caller(header)).tenant_id == acme.id
    world.clock.advance(REMEMBERED_S)
    with pytest.raises(Unauthorized):
        await world.identities.caller(header)


async def test_the_operators_own_gateway_forgets_at_once() -> None:
    world = World()
    acme, key_id, header = await world.add()
    await world.identities.caller(header)
    await world.tenants.remove_key(acme.id, key_id)
    world.identities.forget()
    with pytest.raises(Unauthorized):
        await world.identities.caller(header)


async def test_an_expired_key_is_refused_though_it_is_remembered() -> None:
    world = World()
    _, _, header = await world.add(lifetime_s=2)
    await world.identities.caller(header)
    world.clock.advance(2)
    with pytest.raises(Unauthorized):
        await world.identities.caller(header)


async def test_remembered_keys_outlast_an_outage_of_the_store() -> None:
    world = World()
    acme, _, header = await world.add()
    await world.identities.caller(header)
    world.memory.down = True
    world.clock.advance(OUTAGE_S)
    assert (await world.identities.caller(header)).tenant_id == acme.id
    with pytest.raises(StoreUnavailable):
        await world.identities.caller(f"Bearer {make_key().key}")
    world.clock.advance(1)
    with pytest.raises(StoreUnavailable):
        await world.identities.caller(header)


async def test_a_store_that_hangs_holds_one_caller_and_not_all() -> None:
    world = World()
    acme, _, header = await world.add()
    await world.identities.caller(header)
    world.clock.advance(REMEMBERED_S)
    world.memory.hangs = asyncio.Event()
    held = asyncio.create_task(world.identities.caller(header))
    await asyncio.sleep(0)
    async with asyncio.timeout(1):
        for _ in range(5):
            assert (await world.identities.caller(header)).tenant_id == acme.id
    assert not held.done()
    world.memory.hangs.set()
    assert (await held).tenant_id == acme.id


async def test_a_missing_scope_is_named() -> None:
    world = World()
    acme, _, _ = await world.add()
    _, new = await world.tenants.add_key(acme.id, scopes=[])
    caller = await world.identities.caller(f"Bearer {new.key}")
    with pytest.raises(MissingScope, match="'classify'"):
        caller.require("classify")


async def test_the_last_use_is_stored_and_a_key_that_is_gone_does_no_harm() -> None:
    world = World()
    acme, _, header = await world.add()
    other, gone, others_header = await world.add("Other")
    await world.identities.caller(header)
    await world.identities.caller(others_header)
    await world.tenants.remove_key(other.id, gone)
    await world.identities.store_uses()
    (key,) = await world.tenants.keys(acme.id)
    assert key.last_used_at == world.clock.now()


async def test_only_the_admin_key_opens_the_operators_paths() -> None:
    world = World()
    _, _, header = await world.add()
    world.identities.check_operator("Bearer operator")
    for wrong in (None, "Bearer operato", "Bearer operators", header, "Bearer ключ"):
        with pytest.raises(Unauthorized):
            world.identities.check_operator(wrong)
    without = Identities(FakeKeys(world.memory), world.clock, require_key=True, remembered_s=1)
    with pytest.raises(NotFound, match="WANNENG_ADMIN_KEY"):
        without.check_operator("Bearer ")
