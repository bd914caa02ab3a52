"""The contract of alerts: the same for SQLite and PostgreSQL."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta

import pytest

from stores.alerts import BudgetAlert
from stores.budgets import Budget, Used, limits_of
from stores.database import Database, migrate
from stores.factory import Stores, sql_stores
from stores.sql.alerts import KEPT, SqlAlerts
from stores.tenants import ApiKey, Tenant
from stores.usage import DailyUsage, KeyUsage

NOW = datetime(2030, 1, 31, 12, tzinfo=UTC)
LATER = NOW + timedelta(minutes=1)
JANUARY = date(2030, 1, 1)


class World:
    def __init__(self, database: Database, stores: Stores, tenant: Tenant) -> None:
        self.alerts, self.stores, self.tenant = SqlAlerts(database), stores, tenant

    async def budget(self, *budget: object) -> None:
        await self.stores.tenants.change("t_1", budget=Budget(*budget))  # type: ignore[arg-type]

    async def use(self, pairs: int, tokens: int = 0, day: date = JANUARY) -> None:
        await self.stores.usage.add([DailyUsage("t_1", day, 1, pairs, 0, tokens)])

    async def noticed(self, now: datetime = NOW) -> list[tuple[str, str, int, int, int]]:
        """Key, resource, percent, limit and use of those that are new."""
        return sorted(
            (each.key_id, each.resource, each.percent, each.limit, each.used) for each in await self.new(now)
        )

    async def new(self, now: datetime = NOW) -> Sequence[BudgetAlert]:
        await self.alerts.notice(now)
        return await self.alerts.claim(now, now + timedelta(days=365), 100)


@pytest.fixture
async def world(database_url: str, acme: Tenant, other: Tenant) -> AsyncIterator[World]:
    await migrate(database_url)
    database = Database(database_url)
    stores = sql_stores(database)
    await stores.tenants.add(acme)
    await stores.tenants.add(other)
    yield World(database, stores, acme)
    await stores.close()


async def test_each_share_of_each_limit_is_told_once_a_month(world: World) -> None:
    await world.budget(100, 1_000)
    await world.use(79, 799)
    assert await world.noticed() == []
    await world.use(1)
    assert await world.noticed() == [("", "pairs", 80, 100, 80)]
    assert await world.noticed() == []
    await world.use(30, 300)
    assert await world.noticed() == [
        ("", "pairs", 100, 100, 110),
        ("", "tokens", 80, 1_000, 1_099),
        ("", "tokens", 100, 1_000, 1_099),
    ]
    february = datetime(2030, 2, 1, tzinfo=UTC)
    assert await world.noticed(february) == []
    await world.use(90, day=date(2030, 2, 1))
    assert await world.noticed(february) == [("", "pairs", 80, 100, 90)]


async def test_a_raised_budget_is_told_of_again(world: World) -> None:
    await world.budget(10)
    await world.use(10)
    assert len(await world.noticed()) == 2
    await world.budget(20)
    assert await world.noticed() == []
    await world.use(6)
    assert await world.noticed() == [("", "pairs", 80, 20, 16)]


async def test_a_key_has_alerts_of_its_own_and_a_shadow_budget_none(world: World) -> None:
    await world.budget(10, None, "shadow")
    key = ApiKey("abc", "t_1", "d" * 64, ("classify",), NOW, None, budget=Budget(None, 50, "soft"))
    await world.stores.api_keys.add(key, 10)
    await world.use(10)
    await world.stores.usage.add([], [KeyUsage("abc", JANUARY, Used(9, 45))])
    assert await world.noticed() == [("abc", "tokens", 80, 50, 45)]


async def test_one_worker_gets_an_alert_until_its_claim_ends(world: World) -> None:
    await world.budget(10)
    await world.use(9)
    await asyncio.gather(*(world.alerts.notice(NOW) for _ in range(4)))
    claims = await asyncio.gather(*(world.alerts.claim(NOW, LATER, 10) for _ in range(4)))
    assert sorted(map(len, claims)) == [0, 0, 0, 1]
    (alert,) = await world.alerts.claim(LATER, LATER + timedelta(minutes=1), 10)
    await world.alerts.failed(alert, LATER + timedelta(minutes=5))
    assert await world.alerts.claim(LATER + timedelta(minutes=4), LATER, 10) == []
    (again,) = await world.alerts.claim(LATER + timedelta(minutes=5), LATER, 10)
    assert again == replace(alert, attempts=1)
    await world.alerts.delivered(again)
    assert await world.alerts.claim(LATER + timedelta(days=1), LATER, 10) == []


async def test_a_hard_budget_that_refuses_is_told_of_once_and_its_end_too(world: World) -> None:
    (limit,) = limits_of("t_1", Budget(1_000))
    await world.budget(1_000)
    await world.use(815)
    await asyncio.gather(*(world.alerts.refused(limit, JANUARY, used, NOW) for used in (815, 820, 830)))
    refused, reached = sorted(await world.new(), key=lambda alert: alert.kind, reverse=True)
    assert (reached.kind, reached.percent, reached.used) == ("reached", 80, 815)
    assert (refused.kind, refused.percent) in (("refused", 81), ("refused", 82), ("refused", 83))
    await world.use(185)
    assert await world.noticed() == [("", "pairs", 100, 1_000, 1_000)]
    (gone,) = limits_of("t_9", Budget(10))
    await world.alerts.refused(gone, JANUARY, 9, NOW)
    assert await world.noticed() == []


async def test_alerts_of_earlier_months_are_forgotten(world: World) -> None:
    await world.budget(10)
    await world.use(9)
    await world.alerts.notice(NOW)
    await world.alerts.notice(NOW + KEPT + timedelta(days=32))
    assert await world.alerts.claim(NOW + KEPT + timedelta(days=32), LATER, 10) == []
