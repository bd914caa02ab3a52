"""Known pairs over all gateways, with a Redis that lies, sleeps and dies."""

from __future__ import annotations

import signal
import time
from collections.abc import AsyncIterator

import pytest
from redis import Redis

from gateway.cache.pair_cache import MemoryPairCache
from gateway.redis.connection import BREAK_S, RedisConnection
from gateway.redis.pair_cache import PREFIX, RedisPairCache, TieredPairCache
from tests.redis_server import RedisServer

KEYS = [bytes([n]) * 32 for n in range(3)]
VALUES = [bytes([n]) * 24 for n in range(3)]


@pytest.fixture
async def connection(redis_server: RedisServer) -> AsyncIterator[RedisConnection]:
    connection = RedisConnection(redis_server.url, 0.2)
    yield connection
    await connection.close()


async def test_what_one_gateway_keeps_another_knows(
    redis_server: RedisServer, connection: RedisConnection
) -> None:
    one = TieredPairCache(MemoryPairCache(10_000, 60), RedisPairCache(connection, 60))
    await one.put(dict(zip(KEYS[:2], VALUES, strict=False)))
    other = TieredPairCache(MemoryPairCache(10_000, 60), RedisPairCache(connection, 60))
    assert await other.get(KEYS) == [*VALUES[:2], None]
    redis_server.kill()
    assert await other.get(KEYS) == [*VALUES[:2], None], "what it has heard it knows by itself"


async def test_a_value_that_no_gateway_wrote_is_absent(
    redis_server: RedisServer, connection: RedisConnection
) -> None:
    cache = RedisPairCache(connection, 60)
    await cache.put(dict(zip(KEYS, VALUES, strict=True)))
    redis = Redis.from_url(redis_server.url)
    good = redis.get(PREFIX + KEYS[0])
    assert isinstance(good, bytes)
    for wrong in (b"", b"x", VALUES[0], good[:-1], good + b"x", bytes([good[0] ^ 1]) + good[1:]):
        redis.set(PREFIX + KEYS[0], wrong)
        assert await cache.get(KEYS) == [None, *VALUES[1:]]
    redis.set(PREFIX + KEYS[0], redis.get(PREFIX + KEYS[1]))  # type: ignore[arg-type]
    assert await cache.get(KEYS[:1]) == [None], "another pair's value"
    redis.delete(PREFIX + KEYS[1])
    redis.lpush(PREFIX + KEYS[1], "a list")
    assert await cache.get(KEYS[1:]) == [None, VALUES[2]]


async def test_a_pair_is_forgotten_after_its_time(redis_server: RedisServer, connection: RedisConnection) -> None:
    await RedisPairCache(connection, 60).put({KEYS[0]: VALUES[0]})
    left = Redis.from_url(redis_server.url).pttl(PREFIX + KEYS[0])
    assert isinstance(left, int)
    assert 50_000 < left <= 60_000


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGSTOP])
async def test_without_redis_one_call_waits_and_the_next_do_not(
    redis_server: RedisServer, how: signal.Signals
) -> None:
    """Until the circuit breaker closes again; on a busy machine a hundred calls may take longer than that."""
    at = [100.0]
    connection = RedisConnection(redis_server.url, 0.2, now=lambda: at[0])
    cache = RedisPairCache(connection, 60)
    await cache.put({KEYS[0]: VALUES[0]})
    redis_server.signal(how)
    assert await cache.get(KEYS[:1]) == [None]
    assert (connection.up, connection.failures) == (False, 1)
    for _ in range(100):
        assert await cache.get(KEYS[:1]) == [None]
        await cache.put({KEYS[1]: VALUES[1]})
    assert connection.failures == 1, "nobody asked again"
    if how is signal.SIGSTOP:
        redis_server.signal(signal.SIGCONT)
        assert await cache.get(KEYS[:1]) == [None], "nobody asks yet"
        deadline = time.monotonic() + 10
        at[0] += BREAK_S
        while await cache.get(KEYS[:1]) != [VALUES[0]]:
            assert time.monotonic() < deadline
            at[0] += BREAK_S
        assert connection.up
    await connection.close()
