"""The fair queue in front of Triton: bounded in all, and fair between tenants.

Triton's own queue is first come, first served, so a tenant that sends ten times its share would be served ten
times. Therefore few pairs are at Triton at a time; the others wait here, and are granted by start-time fair
queuing (Goyal, Vin and Cheng, 1996): a call starts at the virtual time at which its tenant's calls before it would
be done if the tenant had an equal share.

A request that would wait too long is refused at once instead: a queue that admits more than it can serve makes
everybody wait for its whole length, and serves no more.

Batch lines wait in a lane of their own, which is served when no other call waits.
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
from gateway.scheduling.throughput import Throughput

IN_FLIGHT_RETRY_S = 1
MAX_RETRY_S = 30.0
MAX_TENANTS = 1_000
"""Tenants whose virtual time is remembered; the one that asked longest ago starts anew."""
WINDOWS = 2
"""Pairs that may always be ahead of a call, in windows: one at Triton, and one to follow it without a gap."""


class _Lane:
    """Calls of one priority."""

    def __init__(self) -> None:
        self.pairs_in_flight = 0
        self.pairs_at_triton = 0
        self.pairs_of: dict[str, int] = {}
        """Pairs in flight, by tenant."""
        self.virtual_time = 0.0
        self.finish_times: dict[str, float] = {}
        """Virtual time at which all that a tenant has asked for so far would be done; who asked last is last."""
        self.waiting: list[tuple[float, int, int, asyncio.Future[None]]] = []
        """A heap of virtual start, order of arrival, pairs, and what is told when they are granted."""

    def schedule(self, tenant_id: str, pairs: int) -> float:
        """The virtual time at which the tenant's next call starts."""
        start = max(self.virtual_time, self.finish_times.pop(tenant_id, 0.0))
        self.finish_times[tenant_id] = start + pairs
        if len(self.finish_times) > MAX_TENANTS:
            del self.finish_times[next(iter(self.finish_times))]
        return start

    def discard_cancelled(self) -> None:
        while self.waiting and self.waiting[0][3].cancelled():
            heapq.heappop(self.waiting)


class FairQueue:
    """At most `max_pairs` of a priority are in flight, queued or at Triton, and at most `window()` at Triton.

    A request that would wait longer than `max_delay_s` at the present throughput is refused; but never while less
    is ahead of it than Triton needs to have no gaps. Batch lines are not refused for a long wait.
    """

    def __init__(
        self,
        max_pairs: int,
        window: Callable[[], int],
        max_delay_s: float = math.inf,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._max_pairs = max_pairs
        self._window = window
        self._max_delay_s = max_delay_s
        self._throughput = Throughput(now)
        self._normal, self._low = _Lane(), _Lane()
        self._order = count()

    @property
    def pairs_in_flight(self) -> int:
        return self._normal.pairs_in_flight + self._low.pairs_in_flight

    @property
    def pairs_at_triton(self) -> int:
        return self._normal.pairs_at_triton + self._low.pairs_at_triton

    def admit(
        self, tenant_id: str, pairs: int, max_in_flight: int | None = None, *, low_priority: bool = False
    ) -> None:
        """Count `pairs` as in flight until they are released.

        `QuotaExceeded` when the tenant would have more than `max_in_flight`, `Overloaded` when it would have more
        than are left free: alone it gets half of all, one of n gets 1 / (n + 1), and there is always room for one
        more (the dynamic thresholds of Choudhury and Hahne, 1998).
        """
        lane = self._lane(low_priority)
        own = lane.pairs_of.get(tenant_id, 0)
        if max_in_flight is not None and own + pairs > max_in_flight:
            raise QuotaExceeded(
                f"{own} pairs are in flight and {pairs} more were asked for; the quota is {max_in_flight}",
                IN_FLIGHT_RETRY_S if pairs <= max_in_flight else None,
                pairs_refused=pairs,
            )
        free = self._max_pairs - lane.pairs_in_flight
        if pairs > free or (own and own + pairs > free):
            raise Overloaded(
                f"{lane.pairs_in_flight} pairs are in flight, {own} of them this tenant's, of at most "
                f"{self._max_pairs}; try again",
                pairs_refused=pairs,
            )
        if not low_priority:
            self._refuse_long_delay(tenant_id, pairs)
        lane.pairs_of[tenant_id] = own + pairs
        lane.pairs_in_flight += pairs

    def release(self, tenant_id: str, pairs: int, *, low_priority: bool = False) -> None:
        """They are answered, or nobody waits for them any more."""
        lane = self._lane(low_priority)
        lane.pairs_in_flight -= pairs
        left = lane.pairs_of.pop(tenant_id) - pairs
        if left:
            lane.pairs_of[tenant_id] = left

    @asynccontextmanager
    async def turn(self, tenant_id: str, pairs: int, *, low_priority: bool = False) -> AsyncIterator[None]:
        """Wait until `pairs` may go to Triton; they are there until the block ends."""
        lane = self._lane(low_priority)
        start = lane.schedule(tenant_id, pairs)
        granted = asyncio.get_running_loop().create_future()
        heapq.heappush(lane.waiting, (start, next(self._order), pairs, granted))
        self._grant()
        try:
            await granted
        except asyncio.CancelledError:
            if tenant_id in lane.finish_times:
                lane.finish_times[tenant_id] -= pairs
            if not granted.cancelled():
                self._finish(lane, pairs)
            raise
        try:
            yield
        finally:
            self._finish(lane, pairs)

    def _lane(self, low_priority: bool) -> _Lane:
        return self._low if low_priority else self._normal

    def _refuse_long_delay(self, tenant_id: str, pairs: int) -> None:
        """`Overloaded` when the call's last pair would wait too long.

        Ahead of it are its tenant's own pairs, and of each other tenant as many as this one would have.
        """
        lane = self._normal
        always = WINDOWS * self._window()
        if lane.pairs_in_flight <= always:
            return
        own = lane.pairs_of.get(tenant_id, 0)
        others = (pairs_of for other, pairs_of in lane.pairs_of.items() if other != tenant_id)
        ahead = own + sum(min(pairs_of, own + pairs) for pairs_of in others)
        pairs_per_s = self._throughput.pairs_per_s
        if ahead <= max(always, pairs_per_s * self._max_delay_s):
            return
        excess_s = ahead / pairs_per_s - self._max_delay_s if pairs_per_s else MAX_RETRY_S
        raise Overloaded(
            f"{ahead} pairs are ahead of these, and about {pairs_per_s:.0f} are done in a second; try again",
            math.ceil(min(MAX_RETRY_S, max(1.0, excess_s))),
            pairs_refused=pairs,
        )

    def _finish(self, lane: _Lane, pairs: int) -> None:
        lane.pairs_at_triton -= pairs
        self._throughput.done(pairs, idle=self.pairs_at_triton == 0)
        self._grant()

    def _grant(self) -> None:
        """Start what fits: normal calls beside whatever batch lines are at Triton, which queues them behind."""
        self._grant_lane(self._normal, beside=0)
        if not self._normal.waiting and self._low.waiting:
            self._grant_lane(self._low, beside=self._normal.pairs_at_triton)
        for lane in (self._normal, self._low):
            if lane.pairs_at_triton == 0 and not lane.waiting:
                # Nobody waits: the shares of the past are forgotten.
                lane.virtual_time = 0.0
                lane.finish_times.clear()

    def _grant_lane(self, lane: _Lane, *, beside: int) -> None:
        """`beside`: pairs at Triton that take of the window though they are not the lane's."""
        lane.discard_cancelled()
        while lane.waiting:
            start, _, pairs, granted = lane.waiting[0]
            at_triton = lane.pairs_at_triton + beside
            if at_triton and at_triton + pairs > self._window():
                return
            heapq.heappop(lane.waiting)
            lane.virtual_time = start
            lane.pairs_at_triton += pairs
            self._throughput.begin()
            granted.set_result(None)
            lane.discard_cancelled()
