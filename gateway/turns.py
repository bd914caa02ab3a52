"""Whose pairs go to Triton next: bounded in all, and fair between tenants. Knows no request and no replica.

Triton's own queue is first come, first served, so a tenant that sends ten times its share would be served ten
times. Therefore few pairs are at Triton at a time; the others wait here, a queue for each tenant, and are taken
by start-time fair queuing (Goyal, Vin and Cheng, 1996): a call's turn comes at the virtual time at which its
tenant's calls before it would be done, if the tenant had an equal share.

Whoever would wait too long for that turn is refused at once instead: a queue that takes more than it can serve
makes everybody wait for its whole length, and serves no more.
"""

from __future__ import annotations

import asyncio
import heapq
import math
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from itertools import count

from gateway.errors import Overloaded, QuotaExceeded
from gateway.pace import Pace

IN_FLIGHT_RETRY_S = 1
MOST_RETRY_S = 30.0
KNOWN_TENANTS = 1_000
WINDOWS = 2
"""Pairs that may always be ahead of a call, in windows: one at Triton, and one to follow it without a gap."""


class Turns:
    """At most `max_pairs` are in flight, waiting or at Triton, and at most `window()` at Triton.

    Who would wait longer than `most_wait_s` for its turn, at the pace at which Triton answers at present, is
    refused; but never while less is ahead of it than Triton needs to have no gaps.
    """

    def __init__(
        self,
        max_pairs: int,
        window: Callable[[], int],
        most_wait_s: float = math.inf,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._max_pairs = max_pairs
        self._window = window
        self._most_wait_s = most_wait_s
        self._pace = Pace(now)
        self._held: dict[str, int] = {}
        self.pairs_in_flight = 0
        self.pairs_at_triton = 0
        self._virtual = 0.0
        self._done: dict[str, float] = {}
        """Virtual time at which all that a tenant has asked for so far would be done."""
        self._queue: list[tuple[float, int, int, asyncio.Future[None]]] = []
        self._order = count()

    def take(self, tenant_id: str, pairs: int, most: int | None = None) -> None:
        """Hold `pairs` places until they are given back.

        `QuotaExceeded` when the tenant would hold more than `most` of its own, `Overloaded` when it would hold
        more than are left free: alone it gets half of all, one of n gets 1 / (n + 1), and there is always room
        for one more (the dynamic thresholds of Choudhury and Hahne, 1998).
        """
        mine = self._held.get(tenant_id, 0)
        if most is not None and mine + pairs > most:
            raise QuotaExceeded(
                f"{mine} pairs are in flight and {pairs} more were asked for, the quota is {most}",
                IN_FLIGHT_RETRY_S if pairs <= most else None,
            )
        free = self._max_pairs - self.pairs_in_flight
        if pairs > free or (mine and mine + pairs > free):
            raise Overloaded(
                f"{self.pairs_in_flight} pairs are in flight, {mine} of them this tenant's, of at most "
                f"{self._max_pairs}; try again"
            )
        self._refuse_a_long_wait(tenant_id, pairs)
        self._held[tenant_id] = mine + pairs
        self.pairs_in_flight += pairs

    def _refuse_a_long_wait(self, tenant_id: str, pairs: int) -> None:
        """`Overloaded` when the call's last pair would have to wait too long.

        Ahead of it are its tenant's own pairs, and of each other tenant as many as this one would have had.
        """
        always = WINDOWS * self._window()
        if self.pairs_in_flight <= always:
            return
        mine = self._held.get(tenant_id, 0)
        others = (held for other, held in self._held.items() if other != tenant_id)
        ahead = mine + sum(min(held, mine + pairs) for held in others)
        pace = self._pace.per_s
        if ahead <= max(always, pace * self._most_wait_s):
            return
        too_long_s = ahead / pace - self._most_wait_s if pace else MOST_RETRY_S
        raise Overloaded(
            f"{ahead} pairs are ahead of these, and about {pace:.0f} are done in a second; try again",
            math.ceil(min(MOST_RETRY_S, max(1.0, too_long_s))),
        )

    def give_back(self, tenant_id: str, pairs: int) -> None:
        self.pairs_in_flight -= pairs
        left = self._held.pop(tenant_id) - pairs
        if left:
            self._held[tenant_id] = left

    @asynccontextmanager
    async def turn(self, tenant_id: str, pairs: int) -> AsyncIterator[None]:
        """Wait for the tenant's turn to have `pairs` at Triton; they are there until the block ends."""
        start = max(self._virtual, self._done.get(tenant_id, 0.0))
        self._done.pop(tenant_id, None)
        self._done[tenant_id] = start + pairs
        if len(self._done) > KNOWN_TENANTS:
            # Who asked longest ago is forgotten, and starts at the virtual time when it comes again.
            del self._done[next(iter(self._done))]
        granted = asyncio.get_running_loop().create_future()
        heapq.heappush(self._queue, (start, next(self._order), pairs, granted))
        self._grant()
        try:
            await granted
        except asyncio.CancelledError:
            if tenant_id in self._done:
                self._done[tenant_id] -= pairs
            if not granted.cancelled():
                self._end(pairs)
            raise
        try:
            yield
        finally:
            self._end(pairs)

    def _end(self, pairs: int) -> None:
        self.pairs_at_triton -= pairs
        self._pace.done(pairs, idle=self.pairs_at_triton == 0)
        self._grant()

    def _grant(self) -> None:
        while self._queue:
            start, _, pairs, granted = self._queue[0]
            if not granted.cancelled():
                if self.pairs_at_triton and self.pairs_at_triton + pairs > self._window():
                    return
                self._virtual = start
                self._pace.begin()
                self.pairs_at_triton += pairs
                granted.set_result(None)
            heapq.heappop(self._queue)
        if self.pairs_at_triton == 0:
            # Nobody waits: the shares of the past are forgotten.
            self._virtual = 0.0
            self._done.clear()
