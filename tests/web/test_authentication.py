"""Who asks: one refusal for everything that is wrong with a key, and how long a key's record is trusted."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

import pytest

from stores.api_keys import generate_key
from stores.errors import MissingScope, NotFound, StoreUnavailable, Unauthorized
from stores.record_cache import OUTAGE_S
from stores.tenants import ACTIVE, SCOPES, SUSPENDED, ApiKey, Quota, Tenant
from tests.fakes.clock import FakeClock
from tests.fakes.stores import FakeApiKeys, Memory
from web.authentication import Authenticator, is_internal_key

TTL_S = 5.0


@dataclass
class World:
    """Tenants with a key each, and the authenticator that looks them up."""

    memory: Memory = field(default_factory=Memory)
    clock: FakeClock = field(default_factory=FakeClock)

    def __post_init__(self) -> None:
        self.authenticator = Authenticator(
            FakeApiKeys(self.memory),
            self.clock,
            ttl_s=TTL_S,
            admin_key="operator",
        )

    def add(
        self,
        tenant_id: str = "acme",
        *,
        status: str = ACTIVE,
        quota: Quota | None = None,
        scopes: tuple[str, ...] = SCOPES,
        lifetime_s: float | None = None,
    ) -> tuple[str, str]:
        """The id of the tenant's key, and the header of who has it."""
        now, new = self.clock.now(), generate_key()
        end = None if lifetime_s is None else now + timedelta(seconds=lifetime_s)
        self.memory.tenants[tenant_id] = Tenant(tenant_id, tenant_id, status, now, quota or Quota())
        self.memory.keys[new.id] = ApiKey(new.id, tenant_id, new.digest, scopes, now, end)
        return new.id, f"Bearer {new.key}"


async def test_a_key_tells_its_tenant() -> None:
    world = World()
    _, header = world.add("acme", quota=Quota(5, 6, 7))
    _, others_header = world.add("other")
    caller = await world.authenticator.caller(header)
    assert (caller.tenant_id, caller.quota, caller.low_priority) == ("acme", Quota(5, 6, 7), False)
    assert (await world.authenticator.caller(others_header)).tenant_id == "other"
    assert (await world.authenticator.caller(header.replace("Bearer", "bearer"))).tenant_id == "acme"


async def test_everything_that_is_wrong_is_refused_in_the_same_words() -> None:
    world = World()
    key_id, header = world.add()
    _, suspended_header = world.add("suspended", status=SUSPENDED)
    _, expired_header = world.add("expired", lifetime_s=10)
    world.clock.advance(10)
    wrong_secret = f"Bearer wn_{key_id}_{'0' * 48}"
    refused = [
        None,
        "",
        "Bearer",
        "Basic abc",
        f"Bearer {generate_key().key}",
        wrong_secret,
        suspended_header,
        expired_header,
    ]
    words = set()
    for authorization in refused:
        with pytest.raises(Unauthorized) as refusal:
            await world.authenticator.caller(authorization)
        words.add(str(refusal.value))
    assert len(words) == 1
    assert (await world.authenticator.caller(header)).scopes == SCOPES


async def test_a_key_that_nobody_has_is_told_from_one_that_may_not_be_used() -> None:
    """A gateway that needs no key takes no notice of the first, and refuses the second."""
    world = World()
    key_id, header = world.add()
    for unknown in (
        "",
        "Basic abc",
        "Bearer sk-1",
        f"Bearer {generate_key().key}",
        f"Bearer wn_{key_id}_{'0' * 48}",
    ):
        assert await world.authenticator.find(unknown) is None
    assert await world.authenticator.find(header) == await world.authenticator.caller(header)
    _, suspended_header = world.add("suspended", status=SUSPENDED)
    _, expired_header = world.add("expired", lifetime_s=-1)
    for invalid in (suspended_header, expired_header):
        with pytest.raises(Unauthorized):
            await world.authenticator.find(invalid)


async def test_a_key_is_remembered_once_it_was_found() -> None:
    world = World()
    key_id, header = world.add()
    assert not world.authenticator.remembers(header)
    await world.authenticator.caller(header)
    world.clock.advance(10 * TTL_S)
    assert world.authenticator.remembers(header)
    assert not world.authenticator.remembers(f"Bearer wn_{key_id}_{'0' * 48}")
    assert not world.authenticator.remembers("Basic abc")
    assert world.memory.lookups == 1


@pytest.mark.parametrize(
    ("authorization", "internal_key", "is_right"),
    [
        ("Bearer " + "k" * 32, "k" * 32, True),
        ("Bearer " + "k" * 31, "k" * 32, False),
        ("k" * 32, "k" * 32, False),
        ("Bearer ", "", False),
        ("Bearer ключ", "k" * 32, False),
    ],
)
def test_another_process_is_recognized_by_the_internal_key(
    authorization: str, internal_key: str, is_right: bool
) -> None:
    assert is_internal_key(authorization, internal_key) == is_right


async def test_a_key_is_looked_up_once_while_its_record_is_trusted() -> None:
    world = World()
    _, header = world.add()
    for _ in range(5):
        await world.authenticator.caller(header)
    assert world.memory.lookups == 1
    world.clock.advance(TTL_S)
    await world.authenticator.caller(header)
    assert world.memory.lookups == 2


async def test_a_stranger_who_guesses_asks_the_store_once_for_each_id() -> None:
    world = World()
    guess = f"Bearer {generate_key().key}"
    for _ in range(5):
        with pytest.raises(Unauthorized):
            await world.authenticator.caller(guess)
    assert world.memory.lookups == 1


async def test_a_revoked_key_works_no_longer_than_its_record_is_trusted() -> None:
    world = World()
    key_id, header = world.add()
    await world.authenticator.caller(header)
    del world.memory.keys[key_id]
    assert (await world.authenticator.caller(header)).tenant_id == "acme"
    world.clock.advance(TTL_S)
    with pytest.raises(Unauthorized):
        await world.authenticator.caller(header)


async def test_what_was_forgotten_is_looked_up_at_once() -> None:
    world = World()
    key_id, header = world.add()
    await world.authenticator.caller(header)
    del world.memory.keys[key_id]
    world.authenticator.forget()
    with pytest.raises(Unauthorized):
        await world.authenticator.caller(header)


async def test_an_expired_key_is_refused_though_its_record_is_trusted() -> None:
    world = World()
    _, header = world.add(lifetime_s=2)
    await world.authenticator.caller(header)
    world.clock.advance(2)
    with pytest.raises(Unauthorized):
        await world.authenticator.caller(header)


async def test_a_key_that_is_replaced_ends_on_time_though_its_record_is_trusted_for_longer() -> None:
    """Another process has replaced it, a moment after this one read it."""
    world = World()
    key_id, header = world.add()
    _, others_header = world.add("other", lifetime_s=3.0)
    for each in (header, others_header):
        await world.authenticator.caller(each)
    world.memory.keys[key_id] = replace(
        world.memory.keys[key_id], expires_at=world.clock.now() + timedelta(seconds=2)
    )
    lookups = world.memory.lookups
    await world.authenticator.learn_ends()
    world.clock.advance(1.9)
    assert (await world.authenticator.caller(header)).tenant_id == "acme"
    assert world.memory.lookups == lookups + 1, "only the one that has changed is read again"
    world.clock.advance(0.2)
    with pytest.raises(Unauthorized):
        await world.authenticator.caller(header)
    assert (await world.authenticator.caller(others_header)).tenant_id == "other"


async def test_known_keys_outlast_an_outage_of_the_store() -> None:
    world = World()
    _, header = world.add()
    await world.authenticator.caller(header)
    world.memory.down = True
    world.clock.advance(OUTAGE_S)
    assert (await world.authenticator.caller(header)).tenant_id == "acme"
    with pytest.raises(StoreUnavailable):
        await world.authenticator.caller(f"Bearer {generate_key().key}")
    world.clock.advance(1)
    with pytest.raises(StoreUnavailable):
        await world.authenticator.caller(header)


async def test_a_store_that_hangs_holds_nobody_whose_key_is_in_use() -> None:
    world = World()
    _, header = world.add()
    await world.authenticator.caller(header)
    world.clock.advance(TTL_S / 2)
    world.memory.hangs = asyncio.Event()
    for _ in range(5):
        asking = asyncio.create_task(world.authenticator.caller(header))
        for _ in range(5):
            await asyncio.sleep(0)
        assert asking.done(), "it waits for the store"
        assert asking.result().tenant_id == "acme"
        world.clock.advance(TTL_S)
    stranger = asyncio.create_task(world.authenticator.caller(f"Bearer {generate_key().key}"))
    await asyncio.sleep(0)
    assert not stranger.done()
    world.memory.hangs.set()
    with pytest.raises(Unauthorized):
        await stranger


async def test_a_missing_scope_is_named() -> None:
    world = World()
    _, header = world.add(scopes=())
    caller = await world.authenticator.caller(header)
    with pytest.raises(MissingScope, match="'classify'"):
        caller.require("classify")


async def test_the_last_use_is_stored_and_a_key_that_is_gone_does_no_harm() -> None:
    world = World()
    kept, header = world.add("acme")
    gone, others_header = world.add("other")
    await world.authenticator.caller(others_header)
    await world.authenticator.caller(header)
    del world.memory.keys[gone]
    await world.authenticator.store_last_used()
    assert world.memory.keys[kept].last_used_at == world.clock.now()


async def test_last_uses_that_a_failing_database_does_not_take_are_stored_the_next_time() -> None:
    """Also of a key that is used again while its last use is being written."""
    world = World()
    headers_by_id = dict(world.add(tenant) for tenant in ("acme", "other", "third"))
    for header in headers_by_id.values():
        await world.authenticator.caller(header)
    first, *others = headers_by_id
    used_at = world.clock.now()

    class FailingApiKeys(FakeApiKeys):
        """Writes the first, which is used again meanwhile, and nothing after it."""

        async def mark_used(self, key_id: str, used_at: datetime) -> None:
            if key_id in others:
                raise StoreUnavailable("the database does not answer")
            await super().mark_used(key_id, used_at)
            world.clock.advance(1)
            await world.authenticator.caller(headers_by_id[first])

    world.authenticator._api_keys = FailingApiKeys(world.memory)
    with pytest.raises(StoreUnavailable):
        await world.authenticator.store_last_used()
    world.authenticator._api_keys = FakeApiKeys(world.memory)
    await world.authenticator.store_last_used()
    assert {key_id: world.memory.keys[key_id].last_used_at for key_id in headers_by_id} == {
        first: world.clock.now(),
        **dict.fromkeys(others, used_at),
    }


async def test_only_the_admin_key_is_the_operators() -> None:
    world = World()
    _, header = world.add()
    world.authenticator.require_operator("Bearer operator")
    for wrong in (None, "Bearer operato", "Bearer operators", header, "Bearer ключ"):
        with pytest.raises(Unauthorized):
            world.authenticator.require_operator(wrong)
    without = Authenticator(FakeApiKeys(world.memory), world.clock, ttl_s=1)
    with pytest.raises(NotFound, match="WANNENG_ADMIN_KEY"):
        without.require_operator("Bearer ")
