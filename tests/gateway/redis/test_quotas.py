"""One quota over many gateways, and what it is while Redis is gone."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.errors import QuotaExceeded
from gateway.redis.connection import RedisConnection
from gateway.redis.quotas import RedisQuotas
from gateway.tenancy.quotas import BLOCK_SHARE, Bucket, Grant, Quotas, QuotaStatus
from stores.tenants import Quota
from tests.redis_server import RedisServer


@dataclass
class FakeSharedQuotas:
    """One bucket for all, as Redis has it; `up` says whether it answers."""

    clock: list[float]
    up: bool = True
    gateways: int = 2
    buckets: dict[tuple[str, str, int], Bucket] = field(default_factory=dict)

    async def lease(self, tenant_id: str, resource: str, per_minute: int, wanted: float) -> Grant | None:
        if not self.up:
            return None
        bucket = self.buckets.setdefault((tenant_id, resource, per_minute), Bucket(per_minute, self.clock[0]))
        granted = min(wanted, bucket.level(self.clock[0]))
        bucket.take(granted, self.clock[0])
        return Grant(granted, bucket.level(self.clock[0]))


async def spend(quotas: Quotas, pairs: int, quota: Quota, computed: int | None = None) -> bool:
    try:
        charge = await quotas.open_charge("t", quota, pairs)
        charge.settle(pairs if computed is None else computed)
    except QuotaExceeded:
        return False
    return True


@given(
    st.integers(1, 500),
    st.lists(st.tuples(st.integers(0, 2), st.integers(1, 60), st.floats(0, 5)), max_size=80),
)
def test_all_gateways_together_give_no_more_than_the_quota_and_what_lies_in_blocks(
    per_minute: int, asked: list[tuple[int, int, float]]
) -> None:
    async def scenario() -> None:
        clock = [0.0]
        shared = FakeSharedQuotas(clock)
        gateways = [Quotas(lambda: clock[0], shared=shared) for _ in range(3)]
        quota, given = Quota(pairs_per_minute=per_minute), 0
        for place, pairs, passes in asked:
            clock[0] += passes
            given += pairs if await spend(gateways[place], pairs, quota) else 0
            blocks = len(gateways) * max(per_minute * BLOCK_SHARE, 60)
            assert given <= per_minute * (1 + clock[0] / 60) + blocks + 1e-6

    asyncio.run(scenario())


async def test_while_redis_is_gone_each_gateway_has_its_share() -> None:
    clock = [0.0]
    shared = FakeSharedQuotas(clock, up=False, gateways=4)
    quotas = Quotas(lambda: clock[0], shared=shared)
    quota = Quota(pairs_per_minute=100)
    assert [await spend(quotas, 5, quota) for _ in range(6)] == [True] * 5 + [False]
    shared.up = True
    assert await spend(quotas, 90, quota)
    assert not await spend(quotas, 20, quota)


async def test_known_pairs_use_no_block_up() -> None:
    clock = [0.0]
    quotas = Quotas(lambda: clock[0], shared=FakeSharedQuotas(clock))
    for _ in range(50):
        assert await spend(quotas, 60, Quota(pairs_per_minute=60), computed=0)
    assert await spend(quotas, 60, Quota(pairs_per_minute=60))


async def test_a_request_of_mostly_known_pairs_may_be_larger_than_the_quota() -> None:
    clock = [0.0]
    quotas = Quotas(lambda: clock[0], shared=FakeSharedQuotas(clock))
    assert await spend(quotas, 500, Quota(pairs_per_minute=60), computed=50)
    assert not await spend(quotas, 500, Quota(pairs_per_minute=60), computed=61)


async def test_what_is_left_is_told() -> None:
    clock = [0.0]
    quotas = Quotas(lambda: clock[0], shared=FakeSharedQuotas(clock))
    await spend(quotas, 40, Quota(pairs_per_minute=100))
    assert quotas.status("t", Quota(pairs_per_minute=100)) == QuotaStatus(100, 60, 24)


@pytest.fixture
async def connection(redis_server: RedisServer) -> AsyncIterator[RedisConnection]:
    connection = RedisConnection(redis_server.url, 0.5)
    yield connection
    await connection.close()


async def test_two_gateways_share_a_bucket_in_redis(connection: RedisConnection) -> None:
    one, other = (Quotas(lambda: 0.0, shared=RedisQuotas(connection)) for _ in range(2))
    quota = Quota(pairs_per_minute=60)
    spent = [await spend(gateway, 10, quota) for gateway in (one, other) * 5]
    assert 6 <= spent.count(True) <= 8, "and what flows in meanwhile"
    assert spent[:6] == [True] * 6


async def test_redis_grants_what_there_is_and_says_what_is_left(connection: RedisConnection) -> None:
    quotas = RedisQuotas(connection)
    first = await quotas.lease("t", "pairs", 600, 400)
    second = await quotas.lease("t", "pairs", 600, 400)
    assert first is not None
    assert second is not None
    assert (first.amount, first.left) == (400, 200)
    assert 200 <= second.amount < 220
    other = await quotas.lease("u", "pairs", 600, 400)
    assert other == Grant(400, 200)


async def test_the_bucket_in_redis_refills_on_redis_own_clock(connection: RedisConnection) -> None:
    quotas = RedisQuotas(connection)
    await quotas.lease("t", "pairs", 6_000, 6_000)
    await asyncio.sleep(0.3)
    refilled = await quotas.lease("t", "pairs", 6_000, 6_000)
    assert refilled is not None
    assert refilled.amount >= 30, "100 a second"


async def test_gateways_hear_of_each_other(connection: RedisConnection, redis_server: RedisServer) -> None:
    one, other = RedisQuotas(connection), RedisQuotas(connection)
    await one.announce()
    await other.announce()
    await one.announce()
    assert (one.gateways, other.gateways) == (2, 2)
    redis_server.kill()
    await one.announce()
    assert one.gateways == 2
    assert await one.lease("t", "pairs", 60, 1) is None
    assert not one.up
