"""Shared buckets in Redis: scripts, each of which leases from one bucket or announces one gateway."""

from __future__ import annotations

import asyncio
import math
import secrets
import time
from collections.abc import Callable
from dataclasses import astuple
from typing import TypeVar

from redis.asyncio import Redis

from gateway.redis.connection import RedisConnection
from gateway.tenancy.shared_bucket import WINDOW_S, Grant, LeaseRequest

PREFIX = "wanneng:quota:"
CLOCK, GATEWAYS = PREFIX + "clock", PREFIX + "gateways"
HEARTBEAT_S, GONE_S = 1.0, 7.0
"""How often a gateway announces itself, and after how long it counts as gone."""
PROBE_S = 0.1
"""How often a gateway that has lost Redis asks for it."""
MAX_TICK_S = 1.5
"""What the clock gains at most from one call to the next: it stands still while no gateway reaches Redis."""
KEPT_S = 3_600
"""How long a bucket that nobody asks is kept; it is full long before, unless the clock stood still."""
CLOCK_SCRIPT = f"""
local function number(text)
    local value = tonumber(text or '')
    if value and value > -1e15 and value < 1e15 then return value end  -- false for NaN
end

local function exact(value)
    return string.format('%.17g', value)
end

local function fields(key, ...)
    if redis.call('TYPE', key).ok ~= 'hash' then redis.call('DEL', key) end
    return redis.call('HMGET', key, ...)
end

-- Seconds during which gateways were in touch with Redis. It begins at 0 where a gateway has known another clock:
-- Redis has lost its buckets, and none may be full again. It begins at a full minute where all is new.
local function tick(key, known)
    local time = redis.call('TIME')
    local now = time[1] + time[2] / 1e6
    local stored = fields(key, 'clock', 'at')
    local clock, at = number(stored[1]), number(stored[2])
    if clock and at then
        clock = clock + math.max(0, math.min(now - at, {MAX_TICK_S}))
    else
        clock = known == '1' and 0 or {WINDOW_S}
    end
    redis.call('HSET', key, 'clock', exact(clock), 'at', exact(now))
    return clock
end
"""
LEASE = (
    CLOCK_SCRIPT
    + f"""
local per_minute, id = tonumber(ARGV[2]), ARGV[3]
local returned, needed, wanted = ARGV[4] + 0, ARGV[5] + 0, ARGV[6] + 0
local overdrawn, share_spent, gateways, since = ARGV[7] + 0, ARGV[8] + 0, ARGV[9] + 0, tonumber(ARGV[10])
local clock = tick(KEYS[1], ARGV[1])

local last = fields(KEYS[3], 'id', 'amount', 'left')
if last[1] == id then return {{last[2], last[3], exact(clock)}} end

local bucket = fields(KEYS[2], 'level', 'clock')
local level, at = number(bucket[1]), number(bucket[2])
if bucket[1] or bucket[2] then
    level = (level or 0) + math.max(0, clock - (at or clock)) * per_minute / {WINDOW_S}
else
    level = clock * per_minute / {WINDOW_S}
end
local refilled = per_minute
if since then refilled = math.max(0, clock - since) * per_minute / {WINDOW_S} end
share_spent = math.min(share_spent, math.min(per_minute, refilled) / gateways)
level = math.min(per_minute, math.min(per_minute, level) + returned)
level = math.max(-per_minute, level - overdrawn - share_spent)
local amount = 0
if level >= needed then amount = math.max(0, math.min(level, wanted)) end
level = level - amount

redis.call('HSET', KEYS[2], 'level', exact(level), 'clock', exact(clock))
redis.call('HSET', KEYS[3], 'id', id, 'amount', exact(amount), 'left', exact(level))
redis.call('EXPIRE', KEYS[2], {KEPT_S})
redis.call('EXPIRE', KEYS[3], {KEPT_S})
return {{exact(amount), exact(level), exact(clock)}}
"""
)
HEARTBEAT = (
    CLOCK_SCRIPT
    + f"""
local clock = tick(KEYS[1], ARGV[1])
if redis.call('TYPE', KEYS[2]).ok ~= 'zset' then redis.call('DEL', KEYS[2]) end
redis.call('ZADD', KEYS[2], clock, ARGV[2])
redis.call('ZREMRANGEBYSCORE', KEYS[2], '-inf', clock - {GONE_S})
redis.call('ZREMRANGEBYSCORE', KEYS[2], clock + 1, '+inf')
return {{redis.call('ZCARD', KEYS[2]), exact(clock)}}
"""
)

_Answer = TypeVar("_Answer")


class RedisQuotas:
    """A `SharedQuotas`; `now` as that of the buckets."""

    def __init__(self, redis: RedisConnection, now: Callable[[], float] = time.monotonic) -> None:
        self._redis = redis
        self._now = now
        self._name = secrets.token_hex(8)
        self._known = False
        self._lease = redis.script(LEASE)
        self._heartbeat = redis.script(HEARTBEAT)
        self.away_since: float | None = None
        self.gateways = 1
        """How many share the buckets, by the last heartbeat."""

    async def lease(self, tenant_id: str, resource: str, per_minute: int, request: LeaseRequest) -> Grant | None:
        bucket = f"{PREFIX}{tenant_id}:{resource}:{per_minute}"
        keys = [CLOCK, bucket, f"{bucket}:{self._name}"]
        arguments = [int(self._known), per_minute, *("" if field is None else field for field in astuple(request))]

        async def command(redis: Redis) -> Grant:
            grant = Grant(*map(float, await self._lease(keys=keys, args=arguments)))
            if not (
                0 <= grant.amount <= request.wanted
                and abs(grant.left) <= per_minute
                and math.isfinite(grant.clock)
            ):
                raise ValueError(f"Redis has granted {grant}")
            return grant

        return self._noted(await self._redis.call(command))

    async def announce(self) -> None:
        """Announce this gateway, and learn how many there are."""

        async def command(redis: Redis) -> tuple[int, float]:
            gateways, clock = await self._heartbeat(keys=[CLOCK, GATEWAYS], args=[int(self._known), self._name])
            return max(1, int(gateways)), float(clock)

        answer = self._noted(await self._redis.call(command, probe=True))
        if answer is not None:
            gateways, clock = answer
            # A Redis that has lost its data hears of the other gateways within a heartbeat.
            self.gateways = max(gateways, self.gateways) if clock < GONE_S else gateways

    async def keep_announced(self) -> None:
        """Announce it every `HEARTBEAT_S`, and every `PROBE_S` while Redis is away, until cancelled."""
        due = -math.inf
        while True:
            if self._now() >= due or self.away_since is not None:
                await self.announce()
                due = self._now() + HEARTBEAT_S
            await asyncio.sleep(PROBE_S)

    def _noted(self, answer: _Answer | None) -> _Answer | None:
        if answer is not None:
            self._known, self.away_since = True, None
        elif self.away_since is None:
            self.away_since = self._now()
        return answer
