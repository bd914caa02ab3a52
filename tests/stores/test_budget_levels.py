"""Levels of budgets: alone, shared, and while what shares them is away."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import date

import pytest

from stores.budget_levels import AHEAD, USED_TTL_S, BudgetLevels, Reservation
from stores.budgets import Budget, Limit, Used, limits_of
from stores.errors import BudgetExceeded, StoreUnavailable
from stores.usage import DailyUsage
from tests.fakes.clock import FakeClock
from tests.fakes.shared_levels import FakeSharedLevels
from tests.fakes.stores import FakeAlerts, FakeUsage, Memory

JANUARY = date(2030, 1, 1)


class World:
    """Gateways on one database."""

    def __init__(self, gateways: int = 1, shared: FakeSharedLevels | None = None) -> None:
        self.memory, self.clock, self.shared = Memory(), FakeClock(), shared
        self.levels = [BudgetLevels(FakeUsage(self.memory), self.clock, shared) for _ in range(gateways)]

    def use(self, pairs: int, tokens: int = 0) -> None:
        """The database hears of it, and gateways ask for it."""
        self.memory.usage["t", JANUARY] = DailyUsage("t", JANUARY, 1, pairs, 0, tokens)
        self.clock.advance(USED_TTL_S + 1)

    async def spend(self, levels: BudgetLevels, limits: Sequence[Limit], each: int = 1, most: int = 10_000) -> int:
        """Pairs until none is left."""
        for spent in range(0, most, each):
            try:
                await levels.take(limits, Used(each))
            except (BudgetExceeded, StoreUnavailable):
                return spent
        return most


def hard(pairs: int | None = None, tokens: int | None = None) -> tuple[Limit, ...]:
    return limits_of("t", Budget(pairs, tokens))


async def test_a_hard_budget_refuses_what_it_has_not_and_says_when_it_is_renewed() -> None:
    world = World()
    (levels,) = world.levels
    await levels.take(hard(10), Used(8))
    with pytest.raises(BudgetExceeded, match="10 pairs a month, and 2 are left") as refusal:
        await levels.take(hard(10), Used(3))
    assert refusal.value.retry_after_s == 31 * 86_400
    assert "renewed at 2030-02-01T00:00:00Z" in str(refusal.value)
    await levels.take(hard(10), Used(2))
    with pytest.raises(BudgetExceeded) as never:
        await levels.take(hard(10), Used(11))
    assert never.value.retry_after_s is None, "it is more than the whole budget"
    world.clock.advance(31 * 86_400)
    await levels.take(hard(10), Used(10))


async def test_all_limits_are_charged_or_none() -> None:
    (levels,) = World().levels
    limits = (*hard(10), *limits_of("t", Budget(None, 100), "key"))
    with pytest.raises(BudgetExceeded, match="the key's budget is 100 tokens"):
        await levels.take(limits, Used(9, 200))
    await levels.take(limits, Used(10, 100))


async def test_soft_and_shadow_budgets_refuse_nothing_and_count_what_they_would_have() -> None:
    (levels,) = World().levels
    limits = (*limits_of("t", Budget(10, None, "soft")), *limits_of("t", Budget(5, None, "shadow"), "key"))
    for _ in range(3):
        await levels.take(limits, Used(4))
    assert levels.exceeded == {"shadow": 2, "soft": 1}
    (status,) = levels.status(limits)
    assert status.header == b'tenant-pairs;limit=10;used=12;renewed="2030-02-01T00:00:00Z"'


async def test_a_caller_is_told_from_four_fifths_on() -> None:
    (levels,) = World().levels
    await levels.take(hard(10), Used(7))
    assert levels.status(hard(10)) == ()
    await levels.take(hard(10), Used(1))
    assert [status.used for status in levels.status(hard(10))] == [8]


async def test_what_was_not_used_comes_back() -> None:
    world = World(2, FakeSharedLevels(2))
    one, other = world.levels
    await one.take(hard(10), Used(10))
    one.give_back(hard(10), Used(4), JANUARY)
    await one.send()
    assert await world.spend(other, hard(10)) == 4


async def test_what_comes_back_after_the_month_ended_does_not_lower_the_next_one() -> None:
    shared = FakeSharedLevels()
    world = World(1, shared)
    (levels,) = world.levels
    world.clock.advance(31 * 86_400 - 1)
    request = Reservation(levels, hard(10))
    await request.extend(Used(8))
    world.clock.advance(2)
    await levels.take(hard(10), Used(3))
    request.end(Used(2))
    await levels.send()
    assert shared.levels == {"t::pairs:2030-01": 2, "t::pairs:2030-02": 3}
    assert await world.spend(levels, hard(10)) == 7


async def test_a_request_stays_in_the_month_in_which_it_began() -> None:
    world = World()
    (levels,) = world.levels
    world.clock.advance(31 * 86_400 - 1)
    request = Reservation(levels, hard(10))
    await request.extend(Used(8))
    world.clock.advance(2)
    with pytest.raises(BudgetExceeded, match="renewed at 2030-02-01T00:00:00Z") as refusal:
        await request.extend(Used(11))
    assert refusal.value.retry_after_s == 1
    request.end(Used(8))
    assert await world.spend(levels, hard(10)) == 10


async def test_what_the_database_knows_counts_after_a_restart() -> None:
    world = World()
    world.use(6)
    assert await world.spend(world.levels[0], hard(10)) == 4


@pytest.mark.parametrize("shared", [None, FakeSharedLevels(3)], ids=["database", "redis"])
async def test_what_others_have_used_counts(shared: FakeSharedLevels | None) -> None:
    world = World(3, shared)
    await world.levels[0].take(hard(10), Used(6))
    world.use(6)
    assert await world.spend(world.levels[1], hard(10)) == 4


async def test_gateways_on_one_redis_give_no_pair_too_much() -> None:
    world = World(3, FakeSharedLevels(3))
    given = 0
    for number in range(200):
        given += await world.spend(world.levels[number % 3], hard(100), most=1)
    assert given == 100


async def test_a_request_that_takes_nothing_asks_nobody() -> None:
    shared = FakeSharedLevels()
    world = World(1, shared)
    world.memory.down = True
    await world.levels[0].take(hard(10), Used())
    await world.levels[0].take(hard(10), Used(0, 5))
    await world.levels[0].send()
    assert (shared.counts, world.memory.usage_reads) == (0, 0)


async def test_without_redis_a_gateway_gives_its_part_and_the_rest_once_the_database_knows_of_it() -> None:
    shared = FakeSharedLevels(3)
    world = World(3, shared)
    for levels in world.levels:
        await levels.take(hard(10_000), Used(1_000))
    shared.up = False
    part = int(10_000 * AHEAD / 3)
    spent = [await world.spend(levels, hard(10_000)) for levels in world.levels]
    assert spent == [part, part, part]
    assert await world.spend(world.levels[2], hard(10_000)) == 0
    world.use(3_000 + sum(spent))
    assert await world.spend(world.levels[2], hard(10_000)) == part
    shared.up = True
    for levels in world.levels:
        await levels.send()
    assert shared.levels["t::pairs:2030-01"] == 3_000 + sum(spent) + part


async def test_a_budget_beyond_its_end_is_refused_without_redis_too() -> None:
    shared = FakeSharedLevels()
    world = World(1, shared)
    (levels,) = world.levels
    await levels.take(hard(10), Used(10))
    shared.up = False
    with pytest.raises(BudgetExceeded):
        await levels.take(hard(10), Used(1))
    with pytest.raises(StoreUnavailable, match="cannot be counted while Redis does not answer"):
        await levels.take(hard(100), Used(50))
    await levels.take(limits_of("t", Budget(100, None, "soft")), Used(50))


async def test_a_redis_without_its_data_gives_nothing_twice() -> None:
    shared = FakeSharedLevels(2)
    world = World(2, shared)
    one, other = world.levels
    await one.take(hard(10), Used(4))
    await other.take(hard(10), Used(4))
    shared.levels.clear()
    assert await world.spend(other, hard(10)) == 2
    assert await world.spend(one, hard(10)) == 0


async def test_a_redis_without_its_data_hears_from_each_gateway_what_it_had_heard() -> None:
    """Also where one comes back first that had heard less, and has told what the database knew."""
    shared = FakeSharedLevels(3)
    world = World(3, shared)
    idle, busy, third = world.levels
    await idle.take(hard(1_000), Used(10))
    await busy.take(hard(1_000), Used(500))
    shared.levels.clear()
    world.use(480)
    await idle.take(hard(1_000), Used(1))
    assert shared.levels["t::pairs:2030-01"] == 481
    await busy.take(hard(1_000), Used(1))
    assert shared.levels["t::pairs:2030-01"] == 512, "neither less nor what the database knew once more"
    world.use(32)
    await third.take(hard(1_000), Used(1))
    await idle.take(hard(1_000), Used(1))
    assert shared.levels["t::pairs:2030-01"] == 514
    assert await world.spend(third, hard(1_000)) == 486


async def test_a_lost_answer_gives_nothing_twice() -> None:
    shared = FakeSharedLevels()
    world = World(1, shared)
    shared.loses_answers = 1
    await world.levels[0].take(hard(1_000), Used(5))
    assert await world.spend(world.levels[0], hard(1_000)) in (990, 995)


async def test_that_a_hard_budget_refuses_is_kept_once_and_again_where_that_failed() -> None:
    memory, clock = Memory(), FakeClock()
    levels = BudgetLevels(FakeUsage(memory), clock, alerts=FakeAlerts(memory))

    async def refuse(pairs: int) -> None:
        with pytest.raises(BudgetExceeded):
            await levels.take(hard(10), Used(pairs))
        await asyncio.sleep(0)
        await asyncio.sleep(0)

    await levels.take(hard(10), Used(7))
    await refuse(4)
    assert memory.refused == [], "much is left"
    await levels.take(hard(10), Used(2))
    memory.down = True
    await refuse(2)
    memory.down = False
    for _ in range(3):
        await refuse(2)
    assert memory.refused == [(*hard(10), JANUARY, 9)]
