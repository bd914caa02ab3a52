"""Shared buckets and levels of budgets in Redis: scripts, each of which changes some or announces one gateway."""

from __future__ import annotations

import asyncio
import math
import secrets
import time
from collections.abc import Callable, Sequence
from dataclasses import astuple
from pathlib import Path
from typing import TypeVar

from redis.asyncio import Redis

from gateway.redis.connection import RedisConnection
from gateway.tenancy.shared_bucket import WINDOW_S, Grant, LeaseRequest
from stores.budget_levels import Heard, Step

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
KEPT_MONTH_S = 40 * 86_400
"""How long a level of a budget is kept after its last change."""
MAX_GENERATION = 40
"""Characters of the name of a level's generation."""
SCRIPTS = Path(__file__).with_name("scripts")

_Answer = TypeVar("_Answer")


class RedisQuotas:
    """A `SharedQuotas`; `now` as that of the buckets."""

    def __init__(self, redis: RedisConnection, now: Callable[[], float] = time.monotonic) -> None:
        self._redis = redis
        self._now = now
        self._name = secrets.token_hex(8)
        self._known = False
        self._lease = redis.script(_script("lease"))
        self._count, self._heartbeat = redis.script(_script("count")), redis.script(_script("heartbeat"))
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

    async def count(self, steps: Sequence[Step]) -> Sequence[Heard] | None:
        keys = [f"wanneng:budget:{step.name}" for step in steps]
        arguments: list[int | str] = []
        for step in steps:
            numbers = (step.known, step.heard.level, step.unsent, step.amount, step.bound)
            arguments += [*numbers, step.heard.generation]

        async def command(redis: Redis) -> list[Heard]:
            answer = await self._count(keys=keys, args=arguments)
            return [
                Heard(int(level), generation.decode())
                for level, generation in zip(answer[::2], answer[1::2], strict=True)
            ]

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


def _script(name: str) -> str:
    constants = {"WINDOW_S": WINDOW_S, "MAX_TICK_S": MAX_TICK_S, "KEPT_S": KEPT_S, "GONE_S": GONE_S}
    constants |= {"KEPT_MONTH_S": KEPT_MONTH_S, "MAX_GENERATION": MAX_GENERATION}
    declared = [f"local {constant} = {value}\n" for constant, value in constants.items()]
    texts = [(SCRIPTS / f"{part}.lua").read_text(encoding="utf-8") for part in ("clock", name)]
    return "".join(declared + texts)
