from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import datetime, timedelta

import pytest

from control_plane.tenants import MAX_KEYS, Tenants
from stores.budgets import Budget
from stores.errors import Conflict, InvalidRequest, NotFound
from stores.paging import PageRequest
from stores.tenants import LOCAL_TENANT_ID, SUSPENDED, Quota
from tests.fakes.clock import FakeClock
from tests.fakes.stores import FakeApiKeys, FakeTenants, Memory

ALL = PageRequest(100)


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def tenants(clock: FakeClock) -> Tenants:
    memory = Memory()
    return Tenants(FakeTenants(memory), FakeApiKeys(memory), clock)


@pytest.mark.parametrize("name", ["", "  ", "a" * 101, "a\nb", "a\x00"])
async def test_a_name_must_be_printable_and_short(name: str, tenants: Tenants) -> None:
    with pytest.raises(InvalidRequest, match="name"):
        await tenants.create(name)


async def test_a_tenant_that_does_not_exist_is_not_found(tenants: Tenants) -> None:
    for call in (
        tenants.get("t_0"),
        tenants.keys("t_0", ALL),
        tenants.remove("t_0"),
        tenants.change("t_0", name="x"),
    ):
        with pytest.raises(NotFound):
            await call


async def test_the_local_tenant_is_created_once(tenants: Tenants, clock: FakeClock) -> None:
    await tenants.ensure_local()
    first = await tenants.get(LOCAL_TENANT_ID)
    clock.advance(1)
    await tenants.ensure_local()
    assert await tenants.get(LOCAL_TENANT_ID) == first


async def test_a_status_is_one_of_two(tenants: Tenants) -> None:
    tenant = await tenants.create("Acme")
    with pytest.raises(InvalidRequest, match="must be active or suspended"):
        await tenants.change(tenant.id, status="asleep")
    assert (await tenants.change(tenant.id, status="suspended")).status == "suspended"
    assert (await tenants.change(tenant.id, name="Acme AG")).status == "suspended"


async def test_changes_at_once_are_all_kept(tenants: Tenants) -> None:
    tenant = await tenants.create("Acme")
    await asyncio.gather(
        tenants.change(tenant.id, status=SUSPENDED),
        tenants.set_budget(tenant.id, Budget(5)),
        tenants.set_quota(tenant.id, Quota(7)),
        tenants.change(tenant.id, special_tokens="text"),
    )
    changed = replace(tenant, status=SUSPENDED, quota=Quota(7), special_tokens="text", budget=Budget(5))
    assert await tenants.get(tenant.id) == changed


async def test_a_key_needs_known_scopes_and_an_end_in_the_future(tenants: Tenants, clock: FakeClock) -> None:
    tenant = await tenants.create("Acme")
    with pytest.raises(InvalidRequest, match="'fly' is not one of classify"):
        await tenants.add_key(tenant.id, ["fly"])
    for end in (clock.now(), datetime(2040, 1, 1)):  # noqa: DTZ001 - without a zone on purpose
        with pytest.raises(InvalidRequest, match="expires_at"):
            await tenants.add_key(tenant.id, expires_at=end)


async def test_keys_of_a_tenant_are_bounded(tenants: Tenants) -> None:
    tenant = await tenants.create("Acme")
    for _ in range(MAX_KEYS):
        await tenants.add_key(tenant.id)
    with pytest.raises(Conflict, match="revoke one first"):
        await tenants.add_key(tenant.id)


async def test_a_rotated_key_works_beside_its_successor_for_the_overlap(
    tenants: Tenants, clock: FakeClock
) -> None:
    tenant = await tenants.create("Acme")
    old, _ = await tenants.add_key(tenant.id, expires_at=clock.now() + timedelta(days=90))
    clock.advance(86_400)
    new, secret = await tenants.rotate_key(tenant.id, old.id, overlap_s=3_600)
    by_id = {key.id: key for key in (await tenants.keys(tenant.id, ALL)).items}
    assert by_id[old.id].expires_at == clock.now() + timedelta(hours=1)
    assert by_id[new.id].expires_at == clock.now() + timedelta(days=90)
    assert secret.id == new.id


async def test_rotation_never_lengthens_a_life(tenants: Tenants, clock: FakeClock) -> None:
    tenant = await tenants.create("Acme")
    end = clock.now() + timedelta(seconds=60)
    old, _ = await tenants.add_key(tenant.id, expires_at=end)
    await tenants.rotate_key(tenant.id, old.id, overlap_s=3_600)
    assert {key.id: key.expires_at for key in (await tenants.keys(tenant.id, ALL)).items}[old.id] == end


async def test_another_tenants_key_cannot_be_rotated(tenants: Tenants) -> None:
    acme, other = await tenants.create("Acme"), await tenants.create("Other")
    key, _ = await tenants.add_key(acme.id)
    with pytest.raises(NotFound):
        await tenants.rotate_key(other.id, key.id, overlap_s=0)
    with pytest.raises(InvalidRequest, match="overlap_s"):
        await tenants.rotate_key(acme.id, key.id, overlap_s=-1)
