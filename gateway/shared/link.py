"""The connection to Redis: each call has a short deadline, and after a failure nobody asks for a while."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

from redis.asyncio import Redis
from redis.exceptions import RedisError

REST_S = 1.0
"""So long nobody asks after a failure; then one call finds out whether it is back."""
CONNECTIONS = 32

_Answer = TypeVar("_Answer")
log = logging.getLogger(__name__)


class RedisLink:
    """Redis at `url`; no call waits longer than `timeout_s`."""

    def __init__(self, url: str, timeout_s: float, now: Callable[[], float] = time.monotonic) -> None:
        self._redis: Redis = Redis.from_url(
            url,
            socket_timeout=timeout_s,
            socket_connect_timeout=timeout_s,
            max_connections=CONNECTIONS,
        )
        self._timeout_s = timeout_s
        self._now = now
        self._rests_until = float("-inf")
        self.failures = 0

    @property
    def up(self) -> bool:
        """Whether the last call was answered, or enough time has passed to try again."""
        return self._now() >= self._rests_until

    async def ask(self, call: Callable[[Redis], Awaitable[_Answer]]) -> _Answer | None:
        """What `call` returns; None when Redis is away, slow, answers nonsense, or is at rest after that."""
        if not self.up:
            return None
        try:
            async with asyncio.timeout(self._timeout_s):
                return await call(self._redis)
        except (RedisError, OSError, TimeoutError, TypeError, ValueError) as error:
            if self.up:
                log.warning("Redis does not answer (%s); going on without it", type(error).__name__)
            self.failures += 1
            self._rests_until = self._now() + REST_S
            return None

    async def close(self) -> None:
        await self._redis.aclose()

    def script(self, text: str) -> Any:
        """A Lua script, sent once and called by its hash from then on."""
        return self._redis.register_script(text)
