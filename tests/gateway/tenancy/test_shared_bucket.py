"""One bucket over many gateways: how much they give together, whatever happens to Redis."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.errors import QuotaExceeded
from gateway.tenancy.quotas import RETURN_S, Quotas, QuotaStatus
from gateway.tenancy.shared_bucket import BLOCK_SHARE, SharedBucket
from stores.tenants import Quota
from tests.fakes.shared_levels import no_budgets
from tests.fakes.shared_quotas import FakeRedis, FakeSharedQuotas

SURPLUS = 0.02
"""What each gateway may give beyond the quota, as a share of a minute's."""


class World:
    """Gateways that share a Redis and a clock; what they give together is never more than `Meter` lets through."""

    def __init__(self, gateways: int, per_minute: int = 60) -> None:
        self.at = 1_000.0
        self.redis = FakeRedis(self.now)
        self.shared = [FakeSharedQuotas(self.redis, gateways) for _ in range(gateways)]
        self.buckets = [SharedBucket(shared, "t", "pairs", per_minute, self.now) for shared in self.shared]
        self.given = 0.0
        self.meter = Meter(per_minute, SURPLUS * per_minute * gateways, self.at)

    def now(self) -> float:
        return self.at

    async def pass_s(self, seconds: float) -> None:
        """Time in which gateways announce themselves and return what they do not need."""
        end = self.at + seconds
        while self.at < end:
            self.at = min(end, self.at + 0.5)
            for shared, bucket in zip(self.shared, self.buckets, strict=True):
                shared.announce()
                await bucket.lease(0)

    async def spend(self, gateway: int, amount: float, used: float | None = None) -> bool:
        """One request that may need `amount`, and takes what it has used."""
        await self.buckets[gateway].lease(amount)
        taken = amount if used is None else used
        if self.buckets[gateway].take(taken, self.at) > 0:
            return False
        self.given += taken
        self.meter.take(taken, self.at)
        return True

    async def drain(self, gateways: Sequence[int] | None = None, amount: float = 1.0) -> float:
        """All that these gateways give now."""
        before = self.given
        for gateway in range(len(self.buckets)) if gateways is None else gateways:
            while await self.spend(gateway, amount):
                pass
        return self.given - before


class Meter:
    """In any t seconds at most `per_minute * (1 + t / 60) + surplus`."""

    def __init__(self, per_minute: int, surplus: float, at: float) -> None:
        self.capacity = self.level = per_minute + surplus
        self.per_minute = per_minute
        self.at = at

    def take(self, amount: float, now: float) -> None:
        refilled = self.level + (now - self.at) * self.per_minute / 60
        self.level, self.at = min(self.capacity, refilled) - amount, now
        assert self.level >= -1e-6, f"{-self.level} too much"


EVENTS = st.sampled_from(["", "", "", "stall", "stall of one", "outage", "restart", "lost answer", "lost answer"])
STEPS = st.tuples(
    st.integers(0, 2),
    st.floats(0.5, 60),
    st.sampled_from([0.0, 0.0, 1.0]),
    st.sampled_from([0.0, 0.1, 0.9, 3.0, 70.0]),
    EVENTS,
    st.booleans(),
)


@given(st.integers(1, 500), st.integers(1, 3), st.lists(STEPS, max_size=40))
def test_all_gateways_together_give_no_more_than_the_quota_and_two_percent_each(
    per_minute: int, gateways: int, steps: list[tuple[int, float, float, float, str, bool]]
) -> None:
    """In any span of time: with requests of known pairs, and a Redis that stalls, restarts and loses answers."""

    async def scenario() -> None:
        world = World(gateways, per_minute)
        for number, amount, used, passes, event, drains in steps:
            gateway = number % gateways
            if event == "lost answer":
                world.shared[gateway].loses_answers = 1
            elif event == "restart":
                world.redis.restart()
            elif event:
                lost = world.shared if event != "stall of one" else [world.shared[gateway]]
                for shared in lost:
                    shared.connected = False
                await world.spend(gateway, amount, amount * used)
                await world.pass_s(passes if event == "outage" else 0.2)
                await world.drain()
                for shared in lost:
                    shared.connected = True
            await world.pass_s(passes)
            await world.spend(gateway, amount, amount * used)
            if drains:
                await world.drain()

    asyncio.run(scenario())


async def test_a_stall_gives_no_bucket_of_its_own() -> None:
    """Each of a hundred stalls of 0.2 s gave a full bucket."""
    world = World(3, 90)
    for _ in range(100):
        world.redis.up = False
        await world.drain()
        await world.pass_s(0.2)
        await world.drain()
        world.redis.up = True
        await world.pass_s(0.3)
        await world.drain()
    assert world.given >= 0.9 * 90 * (1 + 50 / 60), "and what there is, is given"


async def test_a_moment_without_redis_refuses_nobody_who_is_within_the_quota() -> None:
    """A block is asked for before it is needed."""
    world = World(2, 600)
    for number in range(100):
        world.shared[0].connected = number % 2 == 0
        assert await world.spend(0, 1), f"request {number}"
        world.shared[0].connected = True
        await world.pass_s(0.1)


async def test_while_redis_is_gone_each_gateway_gives_what_it_has_leased_and_what_its_share_refills() -> None:
    world = World(4, 400)
    assert await world.spend(0, 1)
    world.redis.up = False
    assert await world.drain() == 400 * BLOCK_SHARE
    await world.pass_s(6)
    assert [await world.drain([gateway]) for gateway in range(4)] == [pytest.approx(10, abs=1)] * 4
    await world.pass_s(600)
    assert await world.drain() == pytest.approx(400, abs=4), "a share holds no more than a minute's"


async def test_what_was_spent_meanwhile_is_told_when_redis_is_back() -> None:
    world = World(2, 600)
    await world.drain()
    world.shared[0].connected = False
    world.shared[0].announce()
    await world.pass_s(1)
    assert await world.drain([0]) == pytest.approx(5, abs=1)
    world.shared[0].connected = True
    await world.pass_s(0.5)
    assert not await world.spend(0, 11), "10 have flowed in since the beginning, and 5 are given"
    assert await world.drain() == pytest.approx(10, abs=1)


async def test_what_was_spent_before_an_answer_that_comes_late_is_told_too() -> None:
    world = World(2, 600)
    assert await world.spend(0, 7)
    assert await world.spend(1, 589)
    world.shared[0].connected = False
    assert not await world.spend(0, 1), "the answer comes later"
    world.at += 1
    assert await world.spend(0, 5)
    world.shared[0].connected = True
    assert await world.spend(0, 9)
    assert await world.drain() == 0


async def test_losing_redis_again_gives_no_share_again_before_the_last_one_is_told() -> None:
    world = World(2, 600)
    await world.drain()
    for _ in range(20):
        world.shared[0].connected = False
        world.shared[0].announce()
        world.at += 1
        while world.buckets[0].take(1, world.at) == 0:
            world.given += 1
        world.shared[0].connected = True
        world.shared[0].announce()
    assert world.given == 600 + 5


async def test_the_bucket_does_not_fill_while_nobody_reaches_it() -> None:
    """Gateways have given their shares meanwhile."""
    world = World(2, 600)
    await world.drain()
    world.redis.up = False
    for _ in range(60):
        await world.pass_s(1)
        await world.drain()
    world.redis.up = True
    assert await world.drain() <= SURPLUS * 600 * 2
    assert world.given == pytest.approx(600 * 2, rel=0.03)


async def test_a_redis_that_has_lost_its_data_begins_with_empty_buckets() -> None:
    world = World(2, 600)
    await world.drain()
    world.redis.restart()
    await world.pass_s(1)
    assert await world.drain() == pytest.approx(10, abs=1)


async def test_a_lease_whose_answer_is_lost_is_granted_once() -> None:
    world = World(2, 600)
    world.shared[0].loses_answers = 3
    for _ in range(3):
        assert not await world.spend(0, 300)
    assert await world.spend(0, 300)
    assert await world.drain() == 300, "nothing is lost either"


async def test_what_was_leased_and_not_needed_goes_back() -> None:
    """Requests of known pairs must not leave a gateway with what a burst could take twice."""
    world = World(2, 600)
    assert await world.spend(0, 500, used=0)
    assert await world.spend(0, 1)
    assert await world.drain([1]) >= 600 - 1 - BLOCK_SHARE * 600


async def test_a_refused_request_leaves_nothing_with_its_gateway() -> None:
    world = World(2, 600)
    assert await world.spend(0, 550)
    assert not await world.spend(1, 100)
    assert await world.spend(0, 50), "which another one can have"
    await world.pass_s(60)
    assert await world.drain() <= 600 + SURPLUS * 600


async def test_who_is_refused_does_not_ask_redis_again_at_once() -> None:
    world = World(1, 600)
    await world.drain()
    leases = world.redis.leases
    for _ in range(1_000):
        await world.spend(0, 500)
    assert world.redis.leases <= leases + 1
    await world.pass_s(50)
    assert await world.spend(0, 500)


async def test_more_than_was_taken_may_have_been_used_and_is_told() -> None:
    """An estimate was too low."""
    world = World(2, 600)
    assert await world.spend(0, 10)
    world.buckets[0].give_back(-300, world.at)
    world.given += 300
    assert await world.spend(0, 1)
    await world.drain()
    assert world.given <= 600 + SURPLUS * 600


async def test_who_is_refused_is_told_when_there_is_enough() -> None:
    world = World(2, 60)
    bucket = world.buckets[0]
    assert bucket.take(61, world.at) == math.inf
    world.redis.up = False
    await world.pass_s(1)
    assert bucket.take(10, world.at) == pytest.approx(20, abs=1.1), "half of one a second"


class SlowSharedQuotas(FakeSharedQuotas):
    """Each answer takes a turn of the event loop."""

    async def lease(self, *arguments, **options):  # type: ignore[no-untyped-def]
        await asyncio.sleep(0)
        return await super().lease(*arguments, **options)


async def test_requests_at_the_same_time_lease_no_more_than_they_take_and_none_is_refused() -> None:
    redis = FakeRedis(lambda: 0.0)
    quotas = [Quotas(lambda: 0.0, no_budgets(), shared=SlowSharedQuotas(redis, 2)) for _ in range(2)]
    quota = Quota(pairs_per_minute=1_000)

    async def ask(gateway: Quotas) -> int:
        charge = await gateway.open_charge("t", quota, 50)
        await charge.lease(50)
        charge.settle(50)
        return 50

    assert sum(await asyncio.gather(*(ask(gateway) for gateway in quotas * 10))) == 1_000
    with pytest.raises(QuotaExceeded):
        await ask(quotas[0])


async def test_the_headers_tell_what_is_left_for_all_gateways() -> None:
    redis = FakeRedis(lambda: 0.0)
    one, other = (Quotas(lambda: 0.0, no_budgets(), shared=FakeSharedQuotas(redis, 2)) for _ in range(2))
    quota = Quota(pairs_per_minute=100)
    for gateway in (one, other):
        charge = await gateway.open_charge("t", quota, 40)
        await charge.lease(40)
        charge.settle(40)
    assert other.status("t", quota) == QuotaStatus(100, 20, 48)


async def test_known_pairs_use_no_lease_up() -> None:
    redis = FakeRedis(lambda: 0.0)
    quotas = Quotas(lambda: 0.0, no_budgets(), shared=FakeSharedQuotas(redis))
    quota = Quota(pairs_per_minute=60)
    for _ in range(50):
        charge = await quotas.open_charge("t", quota, 500)
        await charge.lease(0)
        charge.settle(0)
    assert redis.leases == 0
    charge = await quotas.open_charge("t", quota, 500)
    await charge.lease(60)
    charge.settle(60)
    with pytest.raises(QuotaExceeded):
        charge.settle(61)


async def test_what_nobody_asks_for_any_more_is_returned_and_told_by_itself() -> None:
    redis = FakeRedis(lambda: 0.0)
    shared = FakeSharedQuotas(redis)
    quotas = Quotas(lambda: 0.0, no_budgets(), shared=shared)
    charge = await quotas.open_charge("t", Quota(pairs_per_minute=100), 50)
    await charge.lease(50)
    assert redis.levels["t", "pairs", 100] == (50, 60)
    shared.connected = False
    keeping = asyncio.create_task(quotas.keep_shared())
    await asyncio.sleep(1.2 * RETURN_S)
    shared.connected = True
    while redis.levels["t", "pairs", 100] != (99, 60):
        await asyncio.sleep(0.01)
    keeping.cancel()
