"""Shared buckets in a real Redis: what it grants, what it forgets, and what a flapping one gives too much."""

from __future__ import annotations

import asyncio
import signal
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from itertools import count
from typing import Any

import pytest
from redis import Redis

from gateway.errors import QuotaExceeded
from gateway.redis.connection import RedisConnection
from gateway.redis.quotas import CLOCK, GATEWAYS, PREFIX, RedisQuotas
from gateway.tenancy.quotas import Quotas
from gateway.tenancy.shared_bucket import Grant, LeaseRequest
from stores.tenants import Quota
from tests.fakes.shared_levels import no_budgets
from tests.redis_server import RedisServer

Connect = Callable[[], RedisConnection]
ids = count()


def request(wanted: float, needed: float = 0.0, **changed: Any) -> LeaseRequest:
    """For one of two gateways that have never heard of the bucket."""
    fields = {
        "id": next(ids), "returned": 0.0, "needed": needed, "wanted": wanted,
        "overdrawn": 0.0, "share_spent": 0.0, "gateways": 2, "since": None,
    }  # fmt: skip
    return LeaseRequest(**fields | changed)


@pytest.fixture
async def connect(redis_server: RedisServer) -> AsyncIterator[Connect]:
    connections: list[RedisConnection] = []

    def connect() -> RedisConnection:
        connections.append(RedisConnection(redis_server.url, 0.5))
        return connections[-1]

    yield connect
    for connection in connections:
        await connection.close()


async def lease(quotas: RedisQuotas, request: LeaseRequest, tenant_id: str = "t") -> Grant:
    grant = await quotas.lease(tenant_id, "pairs", 600, request)
    assert grant is not None
    return grant


async def spend(quotas: Quotas, pairs: int, quota: Quota) -> bool:
    try:
        charge = await quotas.open_charge("t", quota, pairs)
        await charge.lease(pairs)
        charge.settle(pairs)
    except QuotaExceeded:
        return False
    return True


async def test_two_gateways_share_a_bucket(connect: Connect) -> None:
    one, other = (Quotas(lambda: 0.0, no_budgets(), shared=RedisQuotas(connect())) for _ in range(2))
    quota = Quota(pairs_per_minute=60)
    spent = [await spend(gateway, 10, quota) for gateway in (one, other) * 5]
    assert 6 <= spent.count(True) <= 8, "and what flows in meanwhile"
    assert spent[:6] == [True] * 6


async def test_what_is_needed_is_granted_or_nothing_and_every_tenant_has_its_own(connect: Connect) -> None:
    quotas = RedisQuotas(connect())
    first = await lease(quotas, request(400))
    assert (first.amount, first.left) == (400, 200)
    assert (await lease(quotas, request(400, needed=300))).amount == 0
    assert 200 <= (await lease(quotas, request(400, needed=100))).amount < 220
    assert (await lease(quotas, request(400), "u")).left == 200


async def test_a_repeated_request_acts_once(connect: Connect) -> None:
    """Its answer was lost. Another gateway may use the same id."""
    one, other = RedisQuotas(connect()), RedisQuotas(connect())
    repeated = request(400)
    first = await lease(one, repeated)
    again = await lease(one, repeated)
    assert (again.amount, again.left) == (first.amount, first.left)
    assert 200 <= (await lease(other, repeated)).amount < 220


async def test_what_was_spent_and_what_is_returned_counts(connect: Connect) -> None:
    quotas = RedisQuotas(connect())
    started = await lease(quotas, request(600))
    assert (await lease(quotas, request(0, returned=300))).left == pytest.approx(300, abs=20)
    assert (await lease(quotas, request(0, overdrawn=400))).left == pytest.approx(-100, abs=20)
    assert (await lease(quotas, request(0, returned=10_000))).left == 600, "no more than full"
    after = await lease(quotas, request(0, share_spent=250, since=started.clock))
    assert after.left == pytest.approx(600, abs=20), "no share refills that much in so short a time"
    assert (await lease(quotas, request(0, share_spent=500))).left == pytest.approx(300, abs=20), (
        "one of two shares"
    )
    assert (await lease(quotas, request(0, overdrawn=10_000))).left == -600, "a minute's worth at most"


async def test_the_bucket_refills_on_redis_own_clock(connect: Connect) -> None:
    quotas = RedisQuotas(connect())
    await quotas.lease("t", "pairs", 6_000, request(6_000))
    await asyncio.sleep(0.3)
    refilled = await quotas.lease("t", "pairs", 6_000, request(6_000))
    assert refilled is not None
    assert refilled.amount >= 30, "100 a second"


async def test_the_clock_stands_still_while_nobody_asks(connect: Connect, redis_server: RedisServer) -> None:
    quotas = RedisQuotas(connect())
    before = await lease(quotas, request(600))
    redis = Redis.from_url(redis_server.url)
    redis.hset(CLOCK, "at", str(time.time() - 3_600))
    after = await lease(quotas, request(0))
    assert after.clock - before.clock == pytest.approx(1.5)
    assert after.left == pytest.approx(15), "ten a second"


async def test_a_redis_that_has_lost_its_data_begins_with_empty_buckets(
    connect: Connect, redis_server: RedisServer
) -> None:
    known, new = RedisQuotas(connect()), RedisQuotas(connect())
    assert (await lease(known, request(600))).amount == 600
    redis_server.kill()
    redis_server.start()
    while await known.lease("t", "pairs", 600, request(0)) is None:
        await asyncio.sleep(0.02)
    assert (await lease(known, request(600))).amount < 100
    assert (await lease(new, request(600), "u")).amount < 100, "nor do gateways without a memory fill it"


@pytest.mark.parametrize("poison", ["nan", "inf", "-inf", "1e999", "", "x", "\0"])
async def test_what_is_no_number_in_redis_gives_nothing(
    connect: Connect, redis_server: RedisServer, poison: str
) -> None:
    quotas, redis = RedisQuotas(connect()), Redis.from_url(redis_server.url)
    await lease(quotas, request(600))
    for key, field in ((f"{PREFIX}t:pairs:600", "level"), (f"{PREFIX}t:pairs:600", "clock"), (CLOCK, "at")):
        redis.hset(key, field, poison)
        grant = await quotas.lease("t", "pairs", 600, request(600))
        assert grant is None or grant.amount <= 20


async def test_keys_of_another_kind_are_replaced(connect: Connect, redis_server: RedisServer) -> None:
    quotas, redis = RedisQuotas(connect()), Redis.from_url(redis_server.url)
    for key in (CLOCK, GATEWAYS, f"{PREFIX}t:pairs:600"):
        redis.set(key, "text")
    await quotas.announce()
    assert (await lease(quotas, request(600))).left >= 0
    assert quotas.gateways == 1


class LyingConnection(RedisConnection):
    """Its scripts return `answer`."""

    def __init__(self, url: str, answer: object) -> None:
        super().__init__(url, 0.5)
        self.answer = answer

    def script(self, text: str) -> Callable[..., Awaitable[object]]:
        return lambda **arguments: asyncio.sleep(0, self.answer)


@pytest.mark.parametrize(
    "answer", [["nan", 1, 1], [601, 1, 1], [-1, 1, 1], [1, "inf", 1], [1, 1, "nan"], [1], "x"]
)
async def test_an_answer_that_no_bucket_gives_counts_as_none(answer: object) -> None:
    connection = LyingConnection("redis://nowhere", answer)
    quotas = RedisQuotas(connection)
    assert await quotas.lease("t", "pairs", 600, request(600)) is None
    assert quotas.away_since is not None
    await connection.close()


async def test_gateways_hear_of_each_other(connect: Connect, redis_server: RedisServer) -> None:
    one, other = RedisQuotas(connect()), RedisQuotas(connect())
    await one.announce()
    await other.announce()
    await one.announce()
    assert (one.gateways, other.gateways) == (2, 2)
    redis_server.kill()
    await one.announce()
    assert one.gateways == 2
    assert await one.lease("t", "pairs", 60, request(1)) is None
    assert one.away_since is not None
    redis_server.start()
    while await one.lease("t", "pairs", 60, request(1)) is None:
        await one.announce()
    await one.announce()
    assert one.gateways == 2, "the other has had no time yet to announce itself"


@pytest.mark.parametrize("flap", ["stalls", "restarts"])
async def test_a_flapping_redis_gives_two_percent_a_gateway_too_much_at_most(
    redis_server: RedisServer, flap: str
) -> None:
    """Each stall gave every gateway a full bucket of its share: 325 pairs where 90 are allowed."""
    gateways, per_minute, given, running = 3, 90, 0, True
    connections = [RedisConnection(redis_server.url, 0.05) for _ in range(gateways)]
    shared = [RedisQuotas(connection) for connection in connections]
    for quotas in shared * 2:
        await quotas.announce()
    announcing = [asyncio.create_task(quotas.keep_announced()) for quotas in shared]

    async def ask_without_pause(quotas: Quotas) -> None:
        nonlocal given
        while running:
            if await spend(quotas, 1, Quota(pairs_per_minute=per_minute)):
                given += 1
            await asyncio.sleep(0.002)

    began = time.monotonic()
    asking = [
        asyncio.create_task(ask_without_pause(Quotas(time.monotonic, no_budgets(), shared=quotas)))
        for quotas in shared
    ]
    for _ in range(8):
        await asyncio.sleep(0.2)
        if flap == "stalls":
            redis_server.signal(signal.SIGSTOP)
            await asyncio.sleep(0.1)
            redis_server.signal(signal.SIGCONT)
        else:
            redis_server.kill()
            await asyncio.sleep(0.06)
            await asyncio.to_thread(redis_server.start)
    running = False
    await asyncio.gather(*asking)
    passed = time.monotonic() - began
    for task in announcing:
        task.cancel()
    await asyncio.gather(*announcing, *(connection.close() for connection in connections), return_exceptions=True)
    assert any(connection.failures for connection in connections), "it was noticed"
    assert given <= per_minute * (1 + passed / 60) + 0.02 * gateways * per_minute
    if flap == "stalls":
        assert given >= 0.9 * per_minute, "and what there is, is given"
