"""The contract of usage: the same for dictionaries, SQLite and PostgreSQL."""

from __future__ import annotations

import asyncio
from datetime import UTC, date, datetime

import pytest

from stores.budgets import Used
from stores.factory import Stores
from stores.tenants import ApiKey, Tenant
from stores.usage import DailyUsage, KeyUsage, LabelSetUsage

pytestmark = pytest.mark.usefixtures("tenants")
FIRST, SECOND = date(2030, 1, 1), date(2030, 1, 2)


async def test_usage_adds_up_however_many_gateways_count(stores: Stores) -> None:
    usage = [
        DailyUsage("t_2", FIRST, 1, 0, 2),
        DailyUsage("t_1", SECOND, 1, 2, 3, 7),
        DailyUsage("t_9", FIRST, 1, 1, 1),
    ]
    await asyncio.gather(*(stores.usage.add(daily) for daily in (usage, usage[::-1], usage, usage[::-1])))
    assert await stores.usage.of("t_1", FIRST, SECOND) == [DailyUsage("t_1", SECOND, 4, 8, 12, 28)]
    assert await stores.usage.of("t_2", FIRST, FIRST) == [DailyUsage("t_2", FIRST, 4, 0, 8)]
    assert await stores.usage.of("t_1", FIRST, FIRST) == []
    assert await stores.usage.of("t_9", FIRST, SECOND) == []


async def test_usage_of_a_label_set_is_a_part_of_the_tenants(stores: Stores) -> None:
    usage = [
        DailyUsage("t_1", FIRST, 1, 9, 0, 90),
        DailyUsage("t_1", FIRST, 1, 2, 3, 7, "mails"),
        DailyUsage("t_1", SECOND, 2, 4, 1, 20, "mails"),
        DailyUsage("t_1", SECOND, 1, 8, 0, 40, "tickets"),
        DailyUsage("t_2", FIRST, 1, 1, 1, 1, "mails"),
    ]
    await asyncio.gather(*(stores.usage.add(daily) for daily in (usage, usage[::-1])))
    assert await stores.usage.of("t_1", FIRST, FIRST) == [DailyUsage("t_1", FIRST, 4, 22, 6, 194)]
    assert await stores.usage.of("t_1", FIRST, SECOND, "mails") == [
        DailyUsage("t_1", FIRST, 2, 4, 6, 14, "mails"),
        DailyUsage("t_1", SECOND, 4, 8, 2, 40, "mails"),
    ]
    mails, tickets = LabelSetUsage("mails", 6, 12, 8, 54), LabelSetUsage("tickets", 2, 16, 0, 80)
    assert await stores.usage.by_label_set("t_1", FIRST, SECOND, 9) == [tickets, mails]
    assert await stores.usage.by_label_set("t_1", FIRST, SECOND, 1) == [tickets]
    assert await stores.usage.by_label_set("t_1", FIRST, SECOND, 1, "mails") == [mails]
    assert [used.label_set for used in await stores.usage.by_label_set("t_1", FIRST, FIRST, 9)] == ["mails"]


async def test_usage_of_a_key_adds_up_over_its_label_sets(stores: Stores) -> None:
    key = ApiKey("k", "t_1", "d", (), datetime(2030, 1, 1, tzinfo=UTC), None)
    await stores.api_keys.add(key, 9)
    await stores.usage.add([], [KeyUsage("k", FIRST, Used(2, 5)), KeyUsage("k", FIRST, Used(3, 7))])
    assert await stores.usage.used("t_1", "k", FIRST) == Used(5, 12)


async def test_a_removed_tenant_takes_its_usage_along(stores: Stores, acme: Tenant) -> None:
    await stores.usage.add([DailyUsage("t_1", FIRST, 1, 1, 1)])
    await stores.tenants.remove("t_1")
    await stores.tenants.add(acme)
    assert await stores.usage.of("t_1", FIRST, FIRST) == []
