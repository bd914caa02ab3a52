"""What the metrics tell of Redis' memory, with a real Redis."""

from __future__ import annotations

from redis import Redis

from gateway.redis.connection import RedisConnection
from gateway.redis.server_memory import RedisMemory
from tests.redis_server import RedisServer


async def test_memory_and_evictions_are_those_of_redis(redis_server: RedisServer) -> None:
    with Redis.from_url(redis_server.url) as client:
        client.config_set("maxmemory-policy", "allkeys-lru")
        client.config_set("maxmemory", client.info("memory")["used_memory"] + 200_000)
        for number in range(100):
            client.set(str(number), b"x" * 10_000)
    connection = RedisConnection(redis_server.url, 1.0)
    memory = RedisMemory(connection)
    await memory.look()
    await connection.close()
    assert 0 < memory.used_bytes <= memory.limit_bytes
    assert memory.evicted_keys > 50


async def test_a_user_who_may_not_ask_for_them_can_still_use_redis(redis_server: RedisServer) -> None:
    with Redis.from_url(redis_server.url) as client:
        client.acl_setuser("default", enabled=True, nopass=True, commands=["+@all", "-info"], keys=["*"])
    connection = RedisConnection(redis_server.url, 1.0)
    memory = RedisMemory(connection)
    await memory.look()
    assert (memory.used_bytes, connection.up, connection.failures) == (0, True, 0)
    await connection.close()
