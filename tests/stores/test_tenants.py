"""The contract of tenants and API keys: the same for dictionaries, SQLite and PostgreSQL."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone

import pytest

from stores.errors import Conflict, NotFound
from stores.factory import Stores
from stores.tenants import SUSPENDED, ApiKey, Quota, Tenant

THEN = datetime(2030, 1, 1, 12, 30, 0, 123456, tzinfo=UTC)
KEY = ApiKey("abc", "t_1", "d" * 64, ("classify",), THEN, None)


async def test_a_tenant_comes_back_as_it_was_kept(stores: Stores, acme: Tenant, other: Tenant) -> None:
    await stores.tenants.add(other)
    await stores.tenants.add(acme)
    assert await stores.tenants.get("t_2") == other
    assert await stores.tenants.get("t_3") is None
    assert list(await stores.tenants.all()) == [acme, other]


async def test_a_name_is_unique(stores: Stores, acme: Tenant, other: Tenant) -> None:
    await stores.tenants.add(acme)
    with pytest.raises(Conflict, match="named 'Acme' already"):
        await stores.tenants.add(replace(other, name="Acme"))
    await stores.tenants.add(other)
    with pytest.raises(Conflict, match="named 'Acme' already"):
        await stores.tenants.change(replace(other, name="Acme"))
    assert await stores.tenants.get("t_2") == other


async def test_a_change_is_kept_and_needs_its_tenant(stores: Stores, acme: Tenant, other: Tenant) -> None:
    await stores.tenants.add(acme)
    changed = replace(acme, name="Acme AG", status=SUSPENDED, quota=Quota(None, 5))
    await stores.tenants.change(changed)
    assert await stores.tenants.get("t_1") == changed
    with pytest.raises(NotFound):
        await stores.tenants.change(other)


async def test_a_key_comes_back_with_its_tenant(stores: Stores, acme: Tenant) -> None:
    await stores.tenants.add(acme)
    await stores.api_keys.add(KEY)
    assert await stores.api_keys.find("abc") == (KEY, acme)
    assert await stores.api_keys.find("abd") is None
    assert list(await stores.api_keys.of("t_1")) == [KEY]
    assert list(await stores.api_keys.of("t_2")) == []


async def test_a_key_needs_a_tenant(stores: Stores) -> None:
    with pytest.raises(NotFound):
        await stores.api_keys.add(KEY)


async def test_only_what_is_given_changes(stores: Stores, acme: Tenant) -> None:
    await stores.tenants.add(acme)
    await stores.api_keys.add(KEY)
    end = THEN + timedelta(days=1)
    await asyncio.gather(
        stores.api_keys.change("abc", expires_at=end), stores.api_keys.change("abc", last_used_at=THEN)
    )
    assert list(await stores.api_keys.of("t_1")) == [replace(KEY, expires_at=end, last_used_at=THEN)]
    with pytest.raises(NotFound):
        await stores.api_keys.change("none", last_used_at=THEN)


async def test_times_are_kept_whatever_their_zone(stores: Stores, acme: Tenant) -> None:
    await stores.tenants.add(acme)
    in_beijing = THEN.astimezone(timezone(timedelta(hours=8)))
    await stores.api_keys.add(replace(KEY, expires_at=in_beijing))
    (key,) = await stores.api_keys.of("t_1")
    assert key.expires_at == THEN
    assert key.expires_at.tzinfo == UTC


async def test_another_tenants_key_cannot_be_removed(stores: Stores, acme: Tenant, other: Tenant) -> None:
    await stores.tenants.add(acme)
    await stores.tenants.add(other)
    await stores.api_keys.add(KEY)
    with pytest.raises(NotFound):
        await stores.api_keys.remove("t_2", "abc")
    await stores.api_keys.remove("t_1", "abc")
    assert await stores.api_keys.find("abc") is None


async def test_a_removed_tenant_takes_its_keys_along(stores: Stores, acme: Tenant) -> None:
    await stores.tenants.add(acme)
    await stores.api_keys.add(KEY)
    await stores.tenants.remove("t_1")
    assert await stores.api_keys.find("abc") is None
    with pytest.raises(NotFound):
        await stores.tenants.remove("t_1")
