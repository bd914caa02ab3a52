"""The contract of the stores: the same for dictionaries, SQLite and PostgreSQL."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone

import pytest

from gateway.assembly import Stores
from gateway.errors import Conflict, NotFound
from gateway.quotas import Quota
from gateway.tenants import ACTIVE, SUSPENDED, Key, Tenant

THEN = datetime(2030, 1, 1, 12, 30, 0, 123456, tzinfo=UTC)
ACME = Tenant("t_1", "Acme", ACTIVE, THEN)
OTHER = Tenant("t_2", "Other 万能", ACTIVE, THEN, Quota(60, 1_000_000))
KEY = Key("abc", "t_1", "d" * 64, ("classify",), THEN, None)


async def test_a_tenant_comes_back_as_it_was_kept(stores: Stores) -> None:
    await stores.tenants.add(OTHER)
    await stores.tenants.add(ACME)
    assert await stores.tenants.get("t_2") == OTHER
    assert await stores.tenants.get("t_3") is None
    assert list(await stores.tenants.all()) == [ACME, OTHER]


async def test_a_name_is_there_once(stores: Stores) -> None:
    await stores.tenants.add(ACME)
    with pytest.raises(Conflict, match="named 'Acme' already"):
        await stores.tenants.add(replace(OTHER, name="Acme"))
    await stores.tenants.add(OTHER)
    with pytest.raises(Conflict, match="named 'Acme' already"):
        await stores.tenants.change(replace(OTHER, name="Acme"))
    assert await stores.tenants.get("t_2") == OTHER


async def test_a_change_is_kept_and_needs_its_tenant(stores: Stores) -> None:
    await stores.tenants.add(ACME)
    changed = replace(ACME, name="Acme AG", status=SUSPENDED, quota=Quota(None, 5))
    await stores.tenants.change(changed)
    assert await stores.tenants.get("t_1") == changed
    with pytest.raises(NotFound):
        await stores.tenants.change(OTHER)


async def test_a_key_comes_back_with_its_tenant(stores: Stores) -> None:
    await stores.tenants.add(ACME)
    await stores.keys.add(KEY)
    assert await stores.keys.find("abc") == (KEY, ACME)
    assert await stores.keys.find("abd") is None
    assert list(await stores.keys.of("t_1")) == [KEY]
    assert list(await stores.keys.of("t_2")) == []


async def test_a_key_needs_a_tenant(stores: Stores) -> None:
    with pytest.raises(NotFound):
        await stores.keys.add(KEY)


async def test_only_what_is_given_changes(stores: Stores) -> None:
    await stores.tenants.add(ACME)
    await stores.keys.add(KEY)
    end = THEN + timedelta(days=1)
    await asyncio.gather(stores.keys.change("abc", expires_at=end), stores.keys.change("abc", last_used_at=THEN))
    assert list(await stores.keys.of("t_1")) == [replace(KEY, expires_at=end, last_used_at=THEN)]
    with pytest.raises(NotFound):
        await stores.keys.change("none", last_used_at=THEN)


async def test_times_are_kept_whatever_their_zone(stores: Stores) -> None:
    await stores.tenants.add(ACME)
    in_beijing = THEN.astimezone(timezone(timedelta(hours=8)))
    await stores.keys.add(replace(KEY, expires_at=in_beijing))
    (found,) = await stores.keys.of("t_1")
    assert found.expires_at == THEN
    assert found.expires_at.tzinfo == UTC


async def test_another_tenants_key_cannot_be_removed(stores: Stores) -> None:
    await stores.tenants.add(ACME)
    await stores.tenants.add(OTHER)
    await stores.keys.add(KEY)
    with pytest.raises(NotFound):
        await stores.keys.remove("t_2", "abc")
    await stores.keys.remove("t_1", "abc")
    assert await stores.keys.find("abc") is None


async def test_a_removed_tenant_takes_its_keys_along(stores: Stores) -> None:
    await stores.tenants.add(ACME)
    await stores.keys.add(KEY)
    await stores.tenants.remove("t_1")
    assert await stores.keys.find("abc") is None
    with pytest.raises(NotFound):
        await stores.tenants.remove("t_1")
