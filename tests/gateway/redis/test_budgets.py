"""Budgets that three gateways share in a real Redis, which stalls, restarts and holds what nobody wrote."""

from __future__ import annotations

import asyncio
import signal
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from datetime import date
from typing import Any

import httpx
import pytest
from redis import Redis

from gateway.cache.pair_cache import VALUE
from gateway.redis.connection import RedisConnection
from gateway.redis.pair_cache import RedisPairCache
from gateway.redis.quotas import RedisQuotas
from gateway.tenancy.quotas import Quotas
from stores.budget_levels import BudgetLevels
from stores.budgets import Budget, Used, limits_of
from stores.errors import BudgetExceeded, StoreUnavailable
from stores.tenants import NO_QUOTA
from tests.fakes.backend import FakeBackend
from tests.fakes.clock import FakeClock
from tests.fakes.gateway import add_key, add_tenant, gateway
from tests.fakes.stores import FakeUsage, Memory
from tests.redis_server import RedisServer

GATEWAYS = 3
PATIENT_S, STALL_S = 5.0, 0.1
"""A busy machine loses no answer, except where that is the test."""
LEVEL = "wanneng:budget:t::pairs:2030-01"
OLDER_SCRIPT = """
if redis.call('TYPE', KEYS[1]).ok ~= 'string' then redis.call('DEL', KEYS[1]) end
local level = (redis.call('GET', KEYS[1]) or ARGV[1]) + ARGV[2]
redis.call('SET', KEYS[1], level)
return level
"""
"""Of gateways whose levels are numbers. ARGV: what one has heard of the level, and what it takes."""


def level_in(redis: Any) -> int:
    """0: there is none."""
    base, taken = redis.hmget(LEVEL, "base", "taken")
    return int(base or 0) + int(taken or 0)


class Gateway:
    """The quotas of one, with all of its tasks."""

    def __init__(self, url: str, timeout_s: float = PATIENT_S) -> None:
        self.connection = RedisConnection(url, timeout_s)
        self.shared = RedisQuotas(self.connection)
        self.levels = BudgetLevels(FakeUsage(Memory()), FakeClock(), self.shared)
        self.quotas = Quotas(time.monotonic, self.levels, shared=self.shared)
        self.tasks = [asyncio.create_task(run()) for run in (self.shared.keep_announced, self.quotas.keep_shared)]

    async def spend(self, limits: tuple[object, ...], pairs: int, tokens: int) -> bool:
        charge = await self.quotas.open_charge("t", NO_QUOTA, pairs, limits)  # type: ignore[arg-type]
        try:
            await charge.lease(pairs, tokens)
            charge.settle(pairs, tokens)
        except (BudgetExceeded, StoreUnavailable):
            return False
        finally:
            charge.close()
        return True

    async def close(self) -> None:
        for task in self.tasks:
            task.cancel()
        await asyncio.gather(*self.tasks, return_exceptions=True)
        await self.connection.close()


@pytest.fixture
async def gateways(redis_server: RedisServer, request: pytest.FixtureRequest) -> AsyncIterator[list[Gateway]]:
    timeout_s: float = getattr(request, "param", PATIENT_S)
    gateways = [Gateway(redis_server.url, timeout_s) for _ in range(GATEWAYS)]
    for each in gateways * 2:
        await each.shared.announce()
    yield gateways
    for each in gateways:
        await each.close()


async def test_three_gateways_spend_a_budget_and_no_pair_more(gateways: list[Gateway]) -> None:
    limits = (*limits_of("t", Budget(1_000, 5_000)), *limits_of("t", Budget(900, None), "abc"))

    async def ask(gateway: Gateway) -> int:
        return sum([await gateway.spend(limits, 3, 15) for _ in range(200)])

    given = sum(await asyncio.gather(*(ask(gateway) for gateway in gateways for _ in range(2))))
    assert given == 300, "the key's budget ends first"


async def test_three_whole_gateways_compute_no_pair_beyond_a_budget(redis_server: RedisServer) -> None:
    memory, backend = Memory(), FakeBackend(delay_s=0.002)
    key = add_key(memory, add_tenant(memory, budget=Budget(300)))
    settings: dict[str, Any] = {
        "redis_url": redis_server.url,
        "internal_key": "k" * 32,
        "require_key": True,
        "redis_timeout_s": 5.0,
    }

    async def ask(client: httpx.AsyncClient, name: str) -> int:
        """Three pairs a request."""
        computed = 0
        for number in range(40):
            body = {"text": f"{name} {number}", "labels": ["a", "b", "c"]}
            answer = await client.post("/v1/classify", json=body, headers=key)
            assert answer.status_code in (200, 429), answer.text
            computed += answer.json()["pairs"]["computed"] if answer.status_code == 200 else 0
        return computed

    async with AsyncExitStack() as stack:
        clients = [await stack.enter_async_context(gateway(backend, memory, **settings)) for _ in range(GATEWAYS)]
        asking = [ask(client, f"{of}-{task}") for of, client in enumerate(clients) for task in range(2)]
        assert sum(await asyncio.gather(*asking)) == 300
    assert memory.usage["acme", date(2030, 1, 1)].pairs_computed == 300


async def test_estimated_tokens_are_corrected_everywhere(gateways: list[Gateway]) -> None:
    one, other, _ = gateways
    limits = limits_of("t", Budget(None, 100))
    charge = await one.quotas.open_charge("t", NO_QUOTA, 1, limits)
    await charge.lease(1, 100)
    charge.settle(1, 100)
    charge.correct(10)
    charge.close()
    await one.levels.send()
    assert not await other.spend(limits, 1, 91)
    assert await other.spend(limits, 1, 90)


async def test_another_value_under_the_key_of_a_level_is_replaced(
    gateways: list[Gateway], redis_server: RedisServer
) -> None:
    limits, redis = limits_of("t", Budget(10)), Redis.from_url(redis_server.url)
    whole = {"generation": "g", "base": 0, "taken": 0}
    poisons: list[Any] = [
        "x",
        {"a": "b"},
        whole | {"generation": "g" * 99},
        whole | {"base": "nan"},
        whole | {"taken": "9" * 400},
    ]
    for poison in poisons:
        redis.delete(LEVEL)
        redis.set(LEVEL, poison) if isinstance(poison, str) else redis.hset(LEVEL, mapping=poison)
        assert await Gateway.spend(gateways[0], limits, 1, 0)
    assert level_in(redis) == 5
    assert not await gateways[1].spend(limits, 6, 0)
    assert 0 < redis.ttl(LEVEL) <= 40 * 86_400
    redis.close()


async def test_an_upgrade_of_gateways_whose_levels_are_numbers_resets_no_budget(
    gateways: list[Gateway], redis_server: RedisServer
) -> None:
    """Each kind replaces what the other has written, and what either has heard still counts."""
    limits = limits_of("t", Budget(1_000))
    redis: Any = Redis.from_url(redis_server.url)
    heard = redis.eval(OLDER_SCRIPT, 1, LEVEL, 0, 700)
    for number in range(6):
        assert await gateways[number % 3].spend(limits, 3, 0)
        assert level_in(redis) >= heard + 3
        heard = redis.eval(OLDER_SCRIPT, 1, LEVEL, heard, 7)
    assert heard == 742
    assert not await gateways[0].spend(limits, 300, 0)
    redis.close()


@pytest.mark.parametrize(
    ("gateways", "flap"), [(STALL_S / 2, "stalls"), (PATIENT_S, "restarts")], indirect=["gateways"]
)
async def test_a_flapping_redis_gives_two_percent_too_much_at_most(
    gateways: list[Gateway], redis_server: RedisServer, flap: str
) -> None:
    budget, given, running = 2_000, 0, True
    limits = limits_of("t", Budget(budget))

    async def ask_without_pause(gateway: Gateway) -> None:
        nonlocal given
        while running:
            if await gateway.spend(limits, 1, 0):
                given += 1
            await asyncio.sleep(0.001)

    asking = [asyncio.create_task(ask_without_pause(gateway)) for gateway in gateways]
    for _ in range(8):
        await asyncio.sleep(0.3)
        if flap == "stalls":
            redis_server.signal(signal.SIGSTOP)
            await asyncio.sleep(STALL_S)
            redis_server.signal(signal.SIGCONT)
        else:
            redis_server.kill()
            await asyncio.sleep(0.06)
            await asyncio.to_thread(redis_server.start)
            # One that was still away at the next restart would come back with an old level.
            async with asyncio.timeout(60):
                while not all(gateway.connection.up for gateway in gateways):
                    await asyncio.sleep(0.01)
    # How much of it is given depends on how many answers were lost: each counts its pair twice.
    with Redis.from_url(redis_server.url) as redis:
        async with asyncio.timeout(120):
            while level_in(redis) < budget:
                await asyncio.sleep(0.1)
    await asyncio.sleep(0.5)
    running = False
    await asyncio.gather(*asking)
    assert any(gateway.connection.failures for gateway in gateways), "it was noticed"
    assert 0 < given <= 1.02 * budget


async def test_a_redis_without_its_data_gives_nothing_twice_whoever_asks_first(
    gateways: list[Gateway], redis_server: RedisServer
) -> None:
    """One that was away, or idle, has heard less than the others."""
    limits = limits_of("t", Budget(1_000))
    idle, busy, third = gateways
    assert await idle.spend(limits, 10, 0)
    assert await busy.spend(limits, 500, 0)
    with Redis.from_url(redis_server.url) as redis:
        redis.flushall()
        assert await idle.spend(limits, 50, 0)
        assert await busy.spend(limits, 1, 0)
        assert level_in(redis) == 561
        assert not await third.spend(limits, 440, 0)
        assert await third.spend(limits, 439, 0)
        assert level_in(redis) == 1_000


async def test_a_level_is_what_the_database_knows_at_least(redis_server: RedisServer) -> None:
    gateway = Gateway(redis_server.url)
    redis = Redis.from_url(redis_server.url)
    redis.hset(LEVEL, mapping={"generation": "another", "base": 1, "taken": 2})
    await gateway.levels.take(limits_of("t", Budget(10)), Used(1))
    assert level_in(redis) == 4
    redis.close()
    await gateway.close()


async def test_a_full_redis_forgets_pairs_and_no_budget(
    redis_server: RedisServer, gateways: list[Gateway]
) -> None:
    """With the policy that docs/operations.md names, though nobody has asked for the budget for longest."""
    limits = limits_of("t", Budget(1_000, None))
    assert await gateways[0].spend(limits, 700, 0)
    redis: Any = Redis.from_url(redis_server.url)
    redis.config_set("maxmemory-policy", "volatile-ttl")
    cache = RedisPairCache(gateways[0].connection, 3_600, "s" * 32)

    async def put(start: int) -> None:
        pairs = {number.to_bytes(32): bytes(VALUE.itemsize) for number in range(start, start + 1_000)}
        await cache.put("t", pairs)

    empty = redis.info("memory")["used_memory"]
    for start in range(0, 8_000, 1_000):
        await put(start)
    used = redis.info("memory")["used_memory"]
    assert 150 < (used - empty) / 8_000 < 300, "bytes a pair: docs/operations.md says about 230"
    redis.config_set("maxmemory", used)
    for start in range(8_000, 40_000, 1_000):
        await put(start)
    assert redis.info("stats")["evicted_keys"] > 10_000
    assert level_in(redis) == 700
    assert not await gateways[1].spend(limits, 301, 0)
