"""Shares the lines that a worker may have under way between the turns of its batches.

A turn always has one line of its own, so that slow lines of one tenant hold up nobody else's; the others go round.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager

LINES_A_TURN = 4
"""As many turns at a time as there are lines for."""
MAX_TURNS = 4


class LineSlots:
    def __init__(self, lines_at_once: int) -> None:
        self.turns = max(1, min(MAX_TURNS, lines_at_once // LINES_A_TURN))
        """Turns at a time."""
        self._shared = lines_at_once - self.turns
        self._shares: list[LineShare] = []
        self._released = asyncio.Condition()

    @contextmanager
    def share(self) -> Iterator[LineShare]:
        """A turn's part."""
        share = LineShare(self)
        self._shares.append(share)
        try:
            yield share
        finally:
            self._shares.remove(share)

    def may_take(self, share: LineShare) -> bool:
        """Its own line, or one of the others while it has no more of them than its part."""
        if share.taken == 0:
            return True
        shared_taken = sum(max(other.taken - 1, 0) for other in self._shares)
        part = -(-self._shared // len(self._shares))
        return shared_taken < self._shared and share.taken <= part

    @asynccontextmanager
    async def take(self, share: LineShare) -> AsyncIterator[None]:
        """Wait until `share` may have another line under way, and have it for the length of the block."""
        async with self._released:
            await self._released.wait_for(lambda: self.may_take(share))
            share.taken += 1
        try:
            yield
        finally:
            share.taken -= 1
            async with self._released:
                self._released.notify_all()


class LineShare:
    """Lines that one turn has under way."""

    def __init__(self, slots: LineSlots) -> None:
        self._slots = slots
        self.taken = 0

    @asynccontextmanager
    async def line(self) -> AsyncIterator[None]:
        """One line more, as soon as that is possible."""
        async with self._slots.take(self):
            yield
