"""The connection to Redis: each call has a short deadline, and a failure opens a circuit breaker for a while."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

from redis.asyncio import Redis
from redis.exceptions import RedisError

from gateway.redis.causes import cause_of
from web.settings import SettingsError

BREAK_S = 1.0
"""How long Redis is not asked after a failure; then one call finds out whether it is back."""
MAX_CONNECTIONS = 32

_Answer = TypeVar("_Answer")
log = logging.getLogger(__name__)


class RedisConnection:
    """Redis at `url`, or `SettingsError`; no call waits longer than `timeout_s`."""

    def __init__(self, url: str, timeout_s: float, now: Callable[[], float] = time.monotonic) -> None:
        try:
            # No timeout of the client's own beside that of `call`: it would send with `asyncio.wait_for`, which
            # before Python 3.12 loses a cancellation that comes as a command has just been sent.
            self._redis: Redis = Redis.from_url(
                url, socket_timeout=None, socket_connect_timeout=timeout_s, max_connections=MAX_CONNECTIONS
            )
        except ValueError:
            # Its words may repeat part of a password that is not percent-encoded.
            raise SettingsError(
                "WANNENG_REDIS_URL is not redis://USER:PASSWORD@HOST:PORT/0, or rediss:// for TLS; characters of "
                "user and password that are no letters or digits must be percent-encoded"
            ) from None
        self._timeout_s = timeout_s
        self._now = now
        self._asked_again_at = float("-inf")
        self.failures = 0
        self._cause = ""
        """Why it cannot be used, as it was logged; empty while it can."""

    @property
    def up(self) -> bool:
        """Whether the last call was answered."""
        return not self._cause

    async def call(self, command: Callable[[Redis], Awaitable[_Answer]], *, probe: bool = False) -> _Answer | None:
        """What `command` returns; None when Redis is away, slow or answers nonsense, or was so a moment ago.

        `probe`: ask even then.
        """
        if not self.up and not probe:
            if self._now() < self._asked_again_at:
                return None
            self._asked_again_at = self._now() + BREAK_S
        try:
            async with asyncio.timeout(self._timeout_s):
                answer = await command(self._redis)
        except (RedisError, OSError, TimeoutError, TypeError, ValueError) as error:
            cause = cause_of(error)
            if cause != self._cause:
                self._cause = cause
                log.warning("%s; going on without it", cause)
            self.failures += 1
            self._asked_again_at = self._now() + BREAK_S
            return None
        if not self.up:
            log.warning("Redis answers again")
            self._cause = ""
        return answer

    async def close(self) -> None:
        await self._redis.aclose()

    def script(self, text: str) -> Any:
        """A Lua script, sent once and called by its hash from then on."""
        return self._redis.register_script(text)
