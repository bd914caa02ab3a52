"""Quotas over all gateways: one bucket in Redis, of which each gateway takes blocks."""

from __future__ import annotations

import asyncio
import secrets

from redis.asyncio import Redis

from gateway.redis.connection import RedisConnection
from gateway.tenancy.quotas import WINDOW_S, Grant

BUCKET, GATEWAYS = "wanneng:quota:", "wanneng:gateways"
HEARTBEAT_S, GONE_S = 2.0, 7.0
"""How often a gateway announces itself, and after how long it counts as gone."""
LEASE = """
local now = redis.call('TIME')
local at = now[1] + now[2] / 1e6
local per_minute, wanted = tonumber(ARGV[1]), tonumber(ARGV[2])
local known = redis.call('HMGET', KEYS[1], 'level', 'at')
local level = per_minute
if known[1] then
    level = math.min(per_minute, tonumber(known[1]) + math.max(0, at - tonumber(known[2])) * per_minute / ARGV[3])
end
local granted = math.min(level, wanted)
redis.call('HSET', KEYS[1], 'level', tostring(level - granted), 'at', tostring(at))
redis.call('EXPIRE', KEYS[1], math.ceil(2 * ARGV[3]))
return {tostring(granted), tostring(level - granted)}
"""
HEARTBEAT = """
local now = redis.call('TIME')
redis.call('ZADD', KEYS[1], now[1], ARGV[1])
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now[1] - ARGV[2])
redis.call('EXPIRE', KEYS[1], 60)
return redis.call('ZCARD', KEYS[1])
"""


class RedisQuotas:
    """A `SharedQuotas`."""

    def __init__(self, redis: RedisConnection) -> None:
        self._redis = redis
        self._name = secrets.token_hex(8)
        self._lease = redis.script(LEASE)
        self._heartbeat = redis.script(HEARTBEAT)
        self.gateways = 1
        """How many share the bucket, by the last heartbeat."""

    @property
    def up(self) -> bool:
        return self._redis.up

    async def lease(self, tenant_id: str, resource: str, per_minute: int, wanted: float) -> Grant | None:
        key = f"{BUCKET}{tenant_id}:{resource}:{per_minute}"

        async def command(redis: Redis) -> Grant:
            amount, left = await self._lease(keys=[key], args=[per_minute, wanted, WINDOW_S])
            return Grant(float(amount), float(left))

        return await self._redis.call(command)

    async def announce(self) -> None:
        """Announce this gateway, and learn how many there are."""

        async def command(redis: Redis) -> int:
            return int(await self._heartbeat(keys=[GATEWAYS], args=[self._name, GONE_S]))

        self.gateways = await self._redis.call(command) or self.gateways

    async def keep_announced(self) -> None:
        """Announce it every `HEARTBEAT_S`, until cancelled."""
        while True:
            await self.announce()
            await asyncio.sleep(HEARTBEAT_S)
