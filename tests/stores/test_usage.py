"""The contract of usage: the same for dictionaries, SQLite and PostgreSQL."""

from __future__ import annotations

import asyncio
from datetime import date

import pytest

from stores.factory import Stores
from stores.tenants import Tenant
from stores.usage import DailyUsage

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


async def test_a_removed_tenant_takes_its_usage_along(stores: Stores, acme: Tenant) -> None:
    await stores.usage.add([DailyUsage("t_1", FIRST, 1, 1, 1)])
    await stores.tenants.remove("t_1")
    await stores.tenants.add(acme)
    assert await stores.usage.of("t_1", FIRST, FIRST) == []
