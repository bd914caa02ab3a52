"""The contract of tenants and API keys: the same for dictionaries, SQLite and PostgreSQL."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import event
from sqlalchemy.engine import Engine

from stores.database import Database
from stores.errors import Conflict, InvalidRequest, NotFound
from stores.factory import Stores
from stores.paging import Page, PageRequest
from stores.sql.tenants import SqlApiKeys
from stores.tenants import SUSPENDED, ApiKey, Quota, Replaced, Tenant

THEN = datetime(2030, 1, 1, 12, 30, 0, 123456, tzinfo=UTC)
FIRST_PAGE, MAX_KEYS = PageRequest(100), 10
KEY = ApiKey("abc", "t_1", "d" * 64, ("classify",), THEN, None)


async def test_a_tenant_comes_back_as_it_was_kept(stores: Stores, acme: Tenant, other: Tenant) -> None:
    await stores.tenants.add(other)
    await stores.tenants.add(acme)
    assert await stores.tenants.get("t_2") == other
    assert await stores.tenants.get("t_3") is None
    assert await stores.tenants.page(FIRST_PAGE) == Page([acme, other], has_more=False)


async def test_a_name_is_unique(stores: Stores, acme: Tenant, other: Tenant) -> None:
    await stores.tenants.add(acme)
    with pytest.raises(Conflict, match="named 'Acme' already"):
        await stores.tenants.add(replace(other, name="Acme"))
    await stores.tenants.add(other)
    with pytest.raises(Conflict, match="named 'Acme' already"):
        await stores.tenants.change("t_2", name="Acme")
    assert await stores.tenants.get("t_2") == other


async def test_a_change_is_kept_and_needs_its_tenant(stores: Stores, acme: Tenant, other: Tenant) -> None:
    await stores.tenants.add(acme)
    changed = replace(acme, name="Acme AG", status=SUSPENDED, quota=Quota(None, 5), special_tokens="text")
    assert await stores.tenants.change("t_1", name="Acme AG", status=SUSPENDED) == replace(
        acme, name="Acme AG", status=SUSPENDED
    )
    await asyncio.gather(
        stores.tenants.change("t_1", quota=Quota(None, 5)), stores.tenants.change("t_1", special_tokens="text")
    )
    assert await stores.tenants.get("t_1") == changed
    with pytest.raises(NotFound):
        await stores.tenants.change("t_2")


async def test_a_key_comes_back_with_its_tenant(stores: Stores, acme: Tenant) -> None:
    await stores.tenants.add(acme)
    await stores.api_keys.add(KEY, MAX_KEYS)
    assert await stores.api_keys.find("abc") == (KEY, acme)
    assert await stores.api_keys.find("abd") is None
    assert (await stores.api_keys.page("t_1", FIRST_PAGE)).items == [KEY]
    assert (await stores.api_keys.page("t_2", FIRST_PAGE)).items == []


async def test_a_key_needs_a_tenant(stores: Stores) -> None:
    with pytest.raises(NotFound):
        await stores.api_keys.add(KEY, MAX_KEYS)


async def test_a_key_is_replaced_by_another_all_or_nothing(stores: Stores, acme: Tenant, other: Tenant) -> None:
    await stores.tenants.add(acme)
    await stores.tenants.add(other)
    await stores.api_keys.add(KEY, MAX_KEYS)
    end, new = THEN + timedelta(days=1), replace(KEY, id="abd", digest="e" * 64, created_at=THEN)
    for refused, replaced in ((replace(new, tenant_id="t_2"), Replaced("abc", end)), (new, Replaced("no", end))):
        with pytest.raises(NotFound):
            await stores.api_keys.add(refused, MAX_KEYS, replaced)
    assert await stores.api_keys.find("abd") is None
    await asyncio.gather(
        stores.api_keys.add(new, MAX_KEYS, Replaced("abc", end)), stores.api_keys.mark_used("abc", THEN)
    )
    assert (await stores.api_keys.page("t_1", FIRST_PAGE)).items == [
        replace(KEY, expires_at=end, last_used_at=THEN),
        new,
    ]
    with pytest.raises(NotFound):
        await stores.api_keys.mark_used("none", THEN)


async def test_ends_of_keys_are_listed_by_time_and_the_first_of_too_many(stores: Stores, acme: Tenant) -> None:
    await stores.tenants.add(acme)
    ends = {"abc": THEN + timedelta(seconds=5), "abd": THEN, "abe": None, "abf": THEN + timedelta(seconds=6)}
    for key_id, end in ends.items():
        await stores.api_keys.add(replace(KEY, id=key_id, digest=key_id[-1] * 64, expires_at=end), MAX_KEYS)
    until = THEN + timedelta(seconds=5)
    assert await stores.api_keys.ends(THEN, until, 9) == {"abd": THEN, "abc": until}
    assert await stores.api_keys.ends(THEN, until, 1) == {"abd": THEN}


async def test_keys_that_end_are_found_without_reading_all_keys(tmp_path: Path) -> None:
    """Each process asks every second."""
    asked: list[tuple[str, Any]] = []

    def listen(*told: Any) -> None:
        asked.append(told[2:4])

    database = Database(f"sqlite:///{tmp_path}/wanneng.db")
    await database.prepare()
    event.listen(Engine, "before_cursor_execute", listen)
    try:
        await SqlApiKeys(database).ends(THEN, THEN + timedelta(seconds=5), 9)
    finally:
        event.remove(Engine, "before_cursor_execute", listen)
    ((query, values),) = [each for each in asked if each[0].startswith("SELECT")]
    async with database.transaction() as connection:
        plan = (await connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {query}", values)).all()
    await database.close()
    assert [row.detail for row in plan] == ["SEARCH keys USING INDEX keys_by_end (expires_at>? AND expires_at<?)"]


async def test_times_are_kept_whatever_their_zone(stores: Stores, acme: Tenant) -> None:
    await stores.tenants.add(acme)
    in_beijing = THEN.astimezone(timezone(timedelta(hours=8)))
    await stores.api_keys.add(replace(KEY, expires_at=in_beijing), MAX_KEYS)
    (key,) = (await stores.api_keys.page("t_1", FIRST_PAGE)).items
    assert key.expires_at == THEN
    assert key.expires_at.tzinfo == UTC


async def test_another_tenants_key_cannot_be_removed(stores: Stores, acme: Tenant, other: Tenant) -> None:
    await stores.tenants.add(acme)
    await stores.tenants.add(other)
    await stores.api_keys.add(KEY, MAX_KEYS)
    with pytest.raises(NotFound):
        await stores.api_keys.remove("t_2", "abc")
    await stores.api_keys.remove("t_1", "abc")
    assert await stores.api_keys.find("abc") is None


async def test_a_removed_tenant_takes_its_keys_along(stores: Stores, acme: Tenant) -> None:
    await stores.tenants.add(acme)
    await stores.api_keys.add(KEY, MAX_KEYS)
    await stores.tenants.remove("t_1")
    assert await stores.api_keys.find("abc") is None
    with pytest.raises(NotFound):
        await stores.tenants.remove("t_1")


async def test_tenants_come_in_pages_by_name_whatever_the_locale(stores: Stores, acme: Tenant) -> None:
    names = ["B", "a", "Ä", "ä", "万能", "Z", "A b", "A", "_", "0"]
    for number, name in enumerate(names):
        await stores.tenants.add(replace(acme, id=f"t_{number}", name=name))
    listed, request = [], PageRequest(3)
    while True:
        page = await stores.tenants.page(request)
        listed += [tenant.name for tenant in page.items]
        if not page.has_more:
            break
        assert len(page.items) == 3
        request = PageRequest(3, page.items[-1].id)
    assert listed == sorted(names)
    with pytest.raises(InvalidRequest, match="after"):
        await stores.tenants.page(PageRequest(3, "t_99"))


async def test_keys_come_in_pages_in_the_order_of_their_creation(
    stores: Stores, acme: Tenant, other: Tenant
) -> None:
    await stores.tenants.add(acme)
    await stores.tenants.add(other)
    keys = [replace(KEY, id=f"k{n}", created_at=THEN + timedelta(seconds=n // 2)) for n in range(5)]
    for key in reversed(keys):
        await stores.api_keys.add(key, MAX_KEYS)
    await stores.api_keys.add(replace(KEY, id="other", tenant_id="t_2"), MAX_KEYS)
    assert await stores.api_keys.page("t_1", PageRequest(2)) == Page(keys[:2], has_more=True)
    assert await stores.api_keys.page("t_1", PageRequest(2, "k1")) == Page(keys[2:4], has_more=True)
    assert await stores.api_keys.page("t_1", PageRequest(2, "k3")) == Page(keys[4:], has_more=False)
    for unknown in ("k9", "other"):
        with pytest.raises(InvalidRequest, match="after"):
            await stores.api_keys.page("t_1", PageRequest(2, unknown))


async def test_pages_begin_behind_a_tenant_or_a_key_that_was_deleted(
    stores: Stores, acme: Tenant, other: Tenant
) -> None:
    names = ["a", "b", "c", "d"]
    for tenant in (acme, other, *(replace(acme, id=f"t_{name}", name=name) for name in names)):
        await stores.tenants.add(tenant)
    keys = [replace(KEY, id=f"k{n}", created_at=THEN + timedelta(seconds=n // 2)) for n in range(4)]
    for key in keys:
        await stores.api_keys.add(key, MAX_KEYS)
    await stores.tenants.remove("t_b")
    await stores.api_keys.remove("t_1", "k1")
    assert [tenant.name for tenant in (await stores.tenants.page(PageRequest(9, "t_b"))).items] == ["c", "d"]
    assert (await stores.api_keys.page("t_1", PageRequest(9, "k1"))).items == keys[2:]
    with pytest.raises(InvalidRequest, match="after"):
        await stores.api_keys.page("t_2", PageRequest(9, "k1"))


async def test_of_many_keys_at_once_as_many_are_kept_as_are_allowed(stores: Stores, acme: Tenant) -> None:
    await stores.tenants.add(acme)
    made = await asyncio.gather(
        *(stores.api_keys.add(replace(KEY, id=f"k{n}"), 3) for n in range(8)), return_exceptions=True
    )
    assert made.count(None) == 3
    assert sum(isinstance(error, Conflict) for error in made) == 5
    assert len((await stores.api_keys.page("t_1", FIRST_PAGE)).items) == 3
