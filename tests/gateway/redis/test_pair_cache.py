"""Known pairs over all gateways, with a Redis that lies, sleeps and dies."""

from __future__ import annotations

import hashlib
import signal
import time
from collections.abc import AsyncIterator

import numpy as np
import pytest
from redis import Redis

from gateway.cache.pair_cache import VALUE, pack
from gateway.cache.tenant_cache import TenantCache
from gateway.redis.connection import BREAK_S, RedisConnection
from gateway.redis.pair_cache import RedisPairCache, TieredPairCache
from tests.redis_server import RedisServer

KEYS = [bytes([n]) * 32 for n in range(3)]
VALUES = [bytes([n]) * VALUE.itemsize for n in range(3)]
SECRET = "s" * 32


@pytest.fixture
async def connection(redis_server: RedisServer) -> AsyncIterator[RedisConnection]:
    connection = RedisConnection(redis_server.url, 0.2)
    yield connection
    await connection.close()


async def test_what_one_gateway_keeps_another_knows(
    redis_server: RedisServer, connection: RedisConnection
) -> None:
    one = TieredPairCache(TenantCache(10_000, 60), RedisPairCache(connection, 60, SECRET))
    await one.put("t", dict(zip(KEYS[:2], VALUES, strict=False)))
    other = TieredPairCache(TenantCache(10_000, 60), RedisPairCache(connection, 60, SECRET))
    assert await other.get("t", KEYS) == [*VALUES[:2], None]
    redis_server.kill()
    assert await other.get("t", KEYS) == [*VALUES[:2], None], "what it has heard it knows by itself"


async def test_a_value_that_no_gateway_wrote_is_absent(
    redis_server: RedisServer, connection: RedisConnection
) -> None:
    cache = RedisPairCache(connection, 60, SECRET)
    await cache.put("t", dict(zip(KEYS, VALUES, strict=True)))
    redis = Redis.from_url(redis_server.url)
    name, other_name = cache.name(KEYS[0]), cache.name(KEYS[1])
    good = redis.get(name)
    assert isinstance(good, bytes)
    changed = [good[:index] + bytes([good[index] ^ 1]) + good[index + 1 :] for index in range(len(good))]
    checksum = hashlib.blake2b(KEYS[0] + VALUES[0], digest_size=16).digest()
    for wrong in (b"", b"x", VALUES[0], good[:-1], good + b"x", VALUES[0] + checksum, *changed):
        redis.set(name, wrong)
        assert await cache.get("t", KEYS) == [None, *VALUES[1:]]
    redis.set(name, redis.get(other_name))  # type: ignore[arg-type]
    assert await cache.get("t", KEYS[:1]) == [None], "another pair's value"
    redis.delete(other_name)
    redis.lpush(other_name, "a list")
    assert await cache.get("t", KEYS[1:]) == [None, VALUES[2]]


async def test_gateways_with_another_secret_share_nothing_and_disturb_nobody(connection: RedisConnection) -> None:
    one, other = (RedisPairCache(connection, 60, secret * 32) for secret in "ab")
    await one.put("t", {KEYS[0]: VALUES[0]})
    assert await other.get("t", KEYS[:1]) == [None]
    await other.put("t", {KEYS[0]: VALUES[1]})
    assert await one.get("t", KEYS[:1]) == [VALUES[0]]


async def test_redis_does_not_learn_which_pairs_are_cached(
    redis_server: RedisServer, connection: RedisConnection
) -> None:
    """Whoever guesses a text can compute its key, but not its name."""
    await RedisPairCache(connection, 60, SECRET).put("t", dict(zip(KEYS, VALUES, strict=True)))
    names = Redis.from_url(redis_server.url).keys("*")
    assert isinstance(names, list)
    assert len(names) == 3
    assert not any(key in name for key in KEYS for name in names)


@pytest.mark.parametrize("number", [float("nan"), float("inf"), float("-inf")])
async def test_a_value_that_is_no_number_is_absent(connection: RedisConnection, number: float) -> None:
    """Even where a gateway signed it."""
    values = pack(
        np.array([[0, number, 0], [0, 0, 1]], np.float32), np.zeros((2, 3), np.int32), np.zeros((2, 2), np.float32)
    )
    cache = RedisPairCache(connection, 60, SECRET)
    await cache.put("t", dict(zip(KEYS[:2], values, strict=True)))
    assert await cache.get("t", KEYS[:2]) == [None, values[1]]


async def test_a_pair_is_forgotten_after_its_time(redis_server: RedisServer, connection: RedisConnection) -> None:
    cache = RedisPairCache(connection, 60, SECRET)
    await cache.put("t", {KEYS[0]: VALUES[0]})
    left = Redis.from_url(redis_server.url).pttl(cache.name(KEYS[0]))
    assert isinstance(left, int)
    assert 50_000 < left <= 60_000


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGSTOP])
async def test_without_redis_one_call_waits_and_the_next_do_not(
    redis_server: RedisServer, how: signal.Signals
) -> None:
    """Until the circuit breaker closes again; on a busy machine a hundred calls may take longer than that."""
    at = [100.0]
    connection = RedisConnection(redis_server.url, 0.2, now=lambda: at[0])
    cache = RedisPairCache(connection, 60, SECRET)
    await cache.put("t", {KEYS[0]: VALUES[0]})
    redis_server.signal(how)
    assert await cache.get("t", KEYS[:1]) == [None]
    assert (connection.up, connection.failures) == (False, 1)
    for _ in range(100):
        assert await cache.get("t", KEYS[:1]) == [None]
        await cache.put("t", {KEYS[1]: VALUES[1]})
    assert connection.failures == 1, "nobody asked again"
    if how is signal.SIGSTOP:
        redis_server.signal(signal.SIGCONT)
        assert await cache.get("t", KEYS[:1]) == [None], "nobody asks yet"
        deadline = time.monotonic() + 10
        at[0] += BREAK_S
        while await cache.get("t", KEYS[:1]) != [VALUES[0]]:
            assert time.monotonic() < deadline
            at[0] += BREAK_S
        assert connection.up
    await connection.close()
