"""Pacing: what a caller may cost this process, beyond the engine's work that quotas and queues share out.

Large bodies and refusals are charged to nobody, and a few connections that send them without pause would take the
event loop for themselves. Whoever has used up its share of the process's time waits for its next answer instead;
nobody is refused for it, and at an ordinary rate nobody waits.
"""

from __future__ import annotations

import asyncio

from cachetools import LRUCache
from starlette.requests import Request

from web.failure_limit import address_of, subscriber_of

SHARE = 0.2
"""Of the time of this process, for each caller."""
BURST_S = 1.0
"""A caller that has cost nothing for so long may use the share of that time at once."""
MAX_DELAY_S = 5.0
"""So many large bodies do not fit in the memory of those that wait that a caller would need more."""
MAX_WAITING = 1_024
"""Beyond it nobody waits: what waits takes memory too."""
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
        self._waiting = 0

    async def pay(self, request: Request, cost_s: float) -> None:
        """Wait until the caller's share covers what it has cost, and `cost_s` seconds of this process more."""
        caller = request.scope["context"].tenant_id or subscriber_of(address_of(request))
        delay_s = self.delay_s(caller, cost_s, asyncio.get_running_loop().time())
        if delay_s <= 0 or self._waiting >= MAX_WAITING:
            return
        self._waiting += 1
        try:
            await asyncio.sleep(delay_s)
        finally:
            self._waiting -= 1

    def delay_s(self, caller: str, cost_s: float, now: float) -> float:
        """How long a caller that costs so much waits; `now` is in seconds that never go back."""
        free_at = max(self._free_at.get(caller, 0.0), now - BURST_S) + cost_s / SHARE
        self._free_at[caller] = min(free_at, now + MAX_DELAY_S)
        return max(0.0, self._free_at[caller] - now)
