"""The connections of a server, with bounds on all of them together."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import Protocol

from msgspec import Struct

IDLE_CHECK_S = 1.0


class ConnectionLimits(Struct, frozen=True, kw_only=True):
    max_header_bytes: int
    max_headers: int
    header_timeout_s: float
    max_connections: int
    max_connections_per_address: int
    """0: unlimited."""
    max_unsent_bytes: int
    max_unfinished_bytes: int
    """Of heads that have not come whole."""


class Connection(Protocol):
    def close(self) -> None: ...

    def abort(self) -> None:
        """Close at once, without sending what is buffered."""
        ...


class HeldBytes:
    """What connections hold in memory. Beyond `max_bytes`, those that have held theirs for longest are cut off."""

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._of: dict[Connection, int] = {}
        self.total = 0

    def hold(self, connection: Connection, size: int) -> None:
        """So many bytes in place of those before."""
        self.total += size - self._of.get(connection, 0)
        self._of[connection] = size
        while self.total > self._max_bytes:
            longest = next(iter(self._of))
            self.release(longest)
            longest.abort()

    def release(self, connection: Connection) -> int:
        """How many they were."""
        size = self._of.pop(connection, 0)
        self.total -= size
        return size


class Connections:
    """The connections of a server, by what they are about."""

    def __init__(self, limits: ConnectionLimits, keep_alive_s: float) -> None:
        self.limits = limits
        self._keep_alive_s = keep_alive_s
        self.count = 0
        self.by_address: Counter[str] = Counter()
        self.idle: dict[Connection, float] = {}
        """Those without a request under way, and since when, the longest idle first: they make room for others."""
        self._is_watching = False
        self.heads = HeldBytes(limits.max_unfinished_bytes)
        """Of those that have not come whole."""
        self.unsent = HeldBytes(limits.max_unsent_bytes)
        """Of answers that clients have not read."""

    def make_room(self, address: str) -> bool:
        """Whether one more connection may be taken; an idle one is closed for it where that is needed."""
        per_address = self.limits.max_connections_per_address
        if per_address and self.by_address[address] >= per_address:
            return False
        if self.count < self.limits.max_connections:
            return True
        if not self.idle:
            return False
        next(iter(self.idle)).abort()
        return True

    def become_idle(self, connection: Connection, loop: asyncio.AbstractEventLoop, wait_s: float = 0.0) -> None:
        """It has no request under way from now on; it is not closed as idle for `wait_s` longer."""
        self.idle.pop(connection, None)
        self.idle[connection] = loop.time() + wait_s
        if not self._is_watching:
            self._close_idle(loop)

    def _close_idle(self, loop: asyncio.AbstractEventLoop) -> None:
        """Close what has been idle for too long: one timer for all connections, and none for each request."""
        while self.idle:
            connection, since = next(iter(self.idle.items()))
            if loop.time() - since < self._keep_alive_s:
                break
            connection.close()
        self._is_watching = bool(self.idle)
        if self._is_watching:
            loop.call_later(IDLE_CHECK_S, self._close_idle, loop)
