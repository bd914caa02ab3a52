"""How much memory Redis uses, and what it has evicted, for the metrics."""

from __future__ import annotations

import asyncio
from typing import Any

from redis.asyncio import Redis
from redis.exceptions import ResponseError

from gateway.redis.connection import RedisConnection

INTERVAL_S = 15.0
"""Between two looks: Prometheus' usual interval."""


class RedisMemory:
    """Of all that Redis holds: nothing in it says what the pairs alone take."""

    def __init__(self, redis: RedisConnection) -> None:
        self._redis = redis
        self.used_bytes = self.limit_bytes = self.evicted_keys = 0
        """As of the last look, 0 where it was refused; the limit is 0 where there is none."""

    async def watch(self) -> None:
        """Look again and again, until it is cancelled."""
        while True:
            await self.look()
            await asyncio.sleep(INTERVAL_S)

    async def look(self) -> None:
        if (told := await self._redis.call(_info)) is not None:
            self.used_bytes, self.limit_bytes = told.get("used_memory", 0), told.get("maxmemory", 0)
            self.evicted_keys = told.get("evicted_keys", 0)


async def _info(redis: Redis) -> dict[str, Any]:
    try:
        return dict(await redis.info())
    except ResponseError:
        # A user of Redis that may not ask for this can still share pairs and quotas.
        return {}
