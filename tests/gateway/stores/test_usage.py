"""The contract of the usage store: the same for dictionaries, SQLite and PostgreSQL."""

from __future__ import annotations

import asyncio
from datetime import date

import pytest

from gateway.assembly import Stores
from gateway.usage import Use
from tests.gateway.stores.test_tenants import ACME, OTHER

FIRST, SECOND = date(2030, 1, 1), date(2030, 1, 2)


@pytest.fixture(autouse=True)
async def tenants(stores: Stores) -> None:
    await stores.tenants.add(ACME)
    await stores.tenants.add(OTHER)


async def test_uses_add_up_however_many_gateways_count(stores: Stores) -> None:
    one = [Use("t_2", FIRST, 1, 0, 2), Use("t_1", SECOND, 1, 2, 3), Use("t_9", FIRST, 1, 1, 1)]
    await asyncio.gather(*(stores.usage.add(uses) for uses in (one, one[::-1], one, one[::-1])))
    assert await stores.usage.of("t_1", FIRST, SECOND) == [Use("t_1", SECOND, 4, 8, 12)]
    assert await stores.usage.of("t_2", FIRST, FIRST) == [Use("t_2", FIRST, 4, 0, 8)]
    assert await stores.usage.of("t_1", FIRST, FIRST) == []
    assert await stores.usage.of("t_9", FIRST, SECOND) == []


async def test_a_removed_tenant_takes_its_usage_along(stores: Stores) -> None:
    await stores.usage.add([Use("t_1", FIRST, 1, 1, 1)])
    await stores.tenants.remove("t_1")
    await stores.tenants.add(ACME)
    assert await stores.usage.of("t_1", FIRST, FIRST) == []
