"""Pacing: what a caller may cost this process, beyond the engine's work that quotas and queues share out.

Large bodies and refusals are charged to nobody, and a few connections that send them without pause would take the
event loop for themselves. Whoever has used up its share of the process's time waits, a large body before it is
received and a refusal before it is sent; at an ordinary rate nobody waits.
"""

from __future__ import annotations

import asyncio
from collections import Counter

from cachetools import LRUCache
from starlette.requests import Request

from web.failure_limit import address_of, subscriber_of

SHARE = 0.2
"""Of the time of this process, for what one caller costs in these ways together."""
BURST_S = 1.0
"""A caller that has cost nothing for so long may use the share of that time at once."""
MAX_DELAY_S = 5.0
MAX_WAITING_OF_CALLER, MAX_WAITING = 64, 1_024
"""Requests that may wait, of one caller and of all; one more is cut off, because waiting takes memory."""
MAX_CALLERS = 10_000
"""Remembered; the one longest unused is dropped."""
BODY_BYTE_S = 1e-8
"""To receive, decompress, decode and check a byte of a body: 5 to 15 ns were measured."""
MIN_BODY_BYTES = 4_096
"""Smaller bodies cost as much as the rest of their request."""
REFUSAL_S = 2e-4
"""To read a request and refuse it."""


class Pacing:
    """Of one process; callers are tenants, or addresses where no tenant is known."""

    def __init__(self) -> None:
        self._free_at: LRUCache[str, float] = LRUCache(MAX_CALLERS)
        """By caller: when what it has cost is its share of the time until then."""
        self._waiting: Counter[str] = Counter()

    async def pay(self, request: Request, cost_s: float) -> bool:
        """Wait until the caller's share covers what it has cost, and `cost_s` seconds of this process more.

        False at once where too many wait already.
        """
        caller = caller_of(request)
        delay_s = self.delay_s(caller, cost_s, asyncio.get_running_loop().time())
        if delay_s <= 0:
            return True
        if self._waiting[caller] >= MAX_WAITING_OF_CALLER or self._waiting.total() >= MAX_WAITING:
            return False
        self._waiting[caller] += 1
        try:
            await asyncio.sleep(delay_s)
        finally:
            self._waiting -= Counter([caller])
        return True

    def charge(self, request: Request, cost_s: float) -> None:
        """What has been done already: the caller's next request waits for it."""
        self.delay_s(caller_of(request), cost_s, asyncio.get_running_loop().time())

    def delay_s(self, caller: str, cost_s: float, now: float) -> float:
        """How long a caller that costs so much waits; `now` is in seconds that never go back."""
        free_at = max(self._free_at.get(caller, 0.0), now - BURST_S) + cost_s / SHARE
        self._free_at[caller] = min(free_at, now + MAX_DELAY_S)
        return max(0.0, self._free_at[caller] - now)


def caller_of(request: Request) -> str:
    return request.scope["context"].tenant_id or subscriber_of(address_of(request))
