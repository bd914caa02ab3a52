"""Quotas over all gateways: one bucket in Redis, of which each gateway takes blocks. Knows no tenant's status."""

from __future__ import annotations

import asyncio
import secrets

from redis.asyncio import Redis

from gateway.quotas import WINDOW_S, Grant
from gateway.shared.link import RedisLink

BUCKET, GATEWAYS = "wanneng:quota:", "wanneng:gateways"
BEAT_S, GONE_S = 2.0, 7.0
"""How often a gateway says that it is there, and when it counts as gone."""
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
BEAT = """
local now = redis.call('TIME')
redis.call('ZADD', KEYS[1], now[1], ARGV[1])
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now[1] - ARGV[2])
redis.call('EXPIRE', KEYS[1], 60)
return redis.call('ZCARD', KEYS[1])
"""


class RedisQuotas:
    """A `SharedQuotas`."""

    def __init__(self, link: RedisLink) -> None:
        self._link = link
        self._name = secrets.token_hex(8)
        self._lease = link.script(LEASE)
        self._beat = link.script(BEAT)
        self.gateways = 1
        """How many share the bucket, as was heard last."""

    @property
    def up(self) -> bool:
        return self._link.up

    async def lease(self, tenant_id: str, what: str, per_minute: int, wanted: float) -> Grant | None:
        key = f"{BUCKET}{tenant_id}:{what}:{per_minute}"

        async def call(redis: Redis) -> Grant:
            amount, left = await self._lease(keys=[key], args=[per_minute, wanted, WINDOW_S])
            return Grant(float(amount), float(left))

        return await self._link.ask(call)

    async def beat(self) -> None:
        """Say that this gateway is there, and hear how many are."""

        async def call(redis: Redis) -> int:
            return int(await self._beat(keys=[GATEWAYS], args=[self._name, GONE_S]))

        self.gateways = await self._link.ask(call) or self.gateways

    async def keep(self) -> None:
        """Beat until cancelled."""
        while True:
            await self.beat()
            await asyncio.sleep(BEAT_S)
