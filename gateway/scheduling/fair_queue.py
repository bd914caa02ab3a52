"""The fair queue in front of Triton: bounded in all, and fair between tenants, counted in tokens.

Triton's own queue is first come, first served, so a tenant that sends ten times its share would be served ten
times. Therefore few tokens are at Triton at a time; the others wait here, and are granted by start-time fair
queuing (Goyal, Vin and Cheng, 1996): a call starts at the virtual time at which its tenant's calls before it would
be done if the tenant had an equal share; those that have used less than theirs go first (`Lane.schedule`).

A request that would wait too long is refused at once instead: a queue that admits more than it can serve makes
everybody wait for its whole length, and serves no more.

Batch lines wait in a lane of their own, which is served when no other call waits. While requests come, few of them
are at Triton, which serves in order of arrival. Counts of tokens have one too, of which one at a time is served
beside all others.

Calls that are granted together are merged into one. So that there is something to merge, few of these are at
Triton at a time, however small they are; one that finds fewer there does not wait for company. A merged call holds
at most a full batch of the engine, and on a slow engine what takes it `MAX_CALL_S`, for nobody overtakes it there.
Where tenants share such an engine, each has at most half of the calls there, as small as they can be. Those of two
are executed side by side: a small request does not wait for another's long text, but shares the cores with it.
"""

from __future__ import annotations

import asyncio
import heapq
import math
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Hashable
from contextlib import asynccontextmanager
from itertools import count

from gateway.errors import Overloaded, QuotaExceeded
from gateway.scheduling.lane import CREDIT_S, NO_LOAD, Grant, Lane, Load, Waiting
from gateway.scheduling.throughput import Throughput
from web.metrics import Durations

IN_FLIGHT_RETRY_S = 1
MAX_RETRY_S = 30.0
WINDOWS = 2
"""What may always be ahead of a call, in windows: one at Triton, and one to follow it without a gap."""
MIN_CALLS = 2
"""Merged calls at Triton, however small the window is: one that is executed, and one to follow it."""
MAX_CALL = Load(64, 2_048)
"""64 pairs of 32 tokens."""
MAX_CALL_S = 0.05
"""Longest execution of a call that has more than `MIN_CALL_TOKENS`."""
MIN_CALL_TOKENS, MIN_SHARED_CALL_TOKENS = 1_024, 192
"""What a call may hold on any engine, for a tenant alone and beside others: smaller ones are mostly overhead."""
SHARED_S = 10.0
"""Tenants share the engine for so long after requests of two of them came one after the other."""
BUSY_S, LOW_PRIORITY_S = 1.0, 0.01
"""For so long after a request, batch lines have no more at Triton than it executes in so long: the next waits."""


class FairQueue:
    """At most `max_tokens` of a priority are in flight, queued or at Triton, and at most `window()` at Triton.

    `max_call` is what one call to Triton holds at most, and as many are there as the window has room for.

    A request that would wait longer than `max_delay_s` at the present throughput is refused; but never while less
    is ahead of it than Triton needs to have no gaps. Batch lines are not refused for a long wait.
    """

    def __init__(
        self,
        max_tokens: int,
        window: Callable[[], int],
        max_delay_s: float = math.inf,
        now: Callable[[], float] = time.monotonic,
        max_call: Load = MAX_CALL,
    ) -> None:
        self._max_tokens = max_tokens
        self._max_call = max_call
        self._window = window
        self._max_delay_s = max_delay_s
        self._now = now
        self._throughput = Throughput(now)
        self.wait_seconds = Durations()
        """How long calls have waited for their turn."""
        self.normal, self.low, self.counts = Lane(CREDIT_S), Lane(), Lane()
        """Of requests, of batch lines, and of counts of tokens, in which the engine has no part."""
        self._order = count()
        self._requested_at = self._shared_until = -math.inf
        self._last_tenant: str | None = None

    @property
    def in_flight(self) -> Load:
        """Queued and at Triton, of both priorities."""
        return self.normal.in_flight + self.low.in_flight

    @property
    def at_triton(self) -> Load:
        return self.normal.at_triton + self.low.at_triton

    def max_call(self, lane: Lane) -> Load:
        """What a call may hold at present."""
        calls_at_once = max(1.0, self._window() / (MIN_CALLS * self._max_call.tokens))
        gives_way = lane is self.low and self._is_busy
        in_time = self._throughput.tokens_per_s / calls_at_once * (LOW_PRIORITY_S if gives_way else MAX_CALL_S)
        least = MIN_SHARED_CALL_TOKENS if gives_way or self._is_shared_and_slow else MIN_CALL_TOKENS
        return Load(self._max_call.pairs, int(min(self._max_call.tokens, max(least, in_time))))

    def admit(self, lane: Lane, tenant_id: str, load: Load, max_pairs: int | None = None) -> None:
        """Count `load` as in flight until it is released.

        `QuotaExceeded` when the tenant would have more than `max_pairs`, `Overloaded` when it would have more
        than are left free: alone it gets half of all, one of n gets 1 / (n + 1), and there is always room for one
        more (the dynamic thresholds of Choudhury and Hahne, 1998).
        """
        own = lane.of_tenant.get(tenant_id, NO_LOAD)
        if max_pairs is not None and own.pairs + load.pairs > max_pairs:
            raise QuotaExceeded(
                f"{own.pairs} pairs are in flight and {load.pairs} more were asked for; the quota is {max_pairs}",
                IN_FLIGHT_RETRY_S if load.pairs <= max_pairs else None,
                pairs_refused=load.pairs,
            )
        free = self._max_tokens - lane.in_flight.tokens
        if load.tokens > free or (own.tokens and own.tokens + load.tokens > free):
            raise Overloaded(
                f"{lane.in_flight.tokens} tokens are in flight, {own.tokens} of them this tenant's, of at most "
                f"{self._max_tokens}; try again",
                pairs_refused=load.pairs,
            )
        if lane is self.normal:
            self._requested_at = now = self._now()
            if self._last_tenant not in {None, tenant_id}:
                self._shared_until = now + SHARED_S
            self._last_tenant = tenant_id
            self._refuse_long_delay(tenant_id, load)
        lane.of_tenant[tenant_id] = own + load
        lane.in_flight += load

    def release(self, lane: Lane, tenant_id: str, load: Load) -> None:
        """It is answered, or nobody waits for it any more."""
        lane.in_flight -= load
        left = lane.of_tenant.pop(tenant_id) - load
        if left.tokens:
            lane.of_tenant[tenant_id] = left

    @asynccontextmanager
    async def admitted_turn(
        self, lane: Lane, tenant_id: str, load: Load, group: Hashable | None = None
    ) -> AsyncIterator[Grant]:
        """Admit `load`, wait for its turn, and release it in the end."""
        self.admit(lane, tenant_id, load)
        try:
            async with self.turn(lane, tenant_id, load, group) as grant:
                yield grant
        finally:
            self.release(lane, tenant_id, load)

    @asynccontextmanager
    async def turn(
        self, lane: Lane, tenant_id: str, load: Load, group: Hashable | None = None
    ) -> AsyncIterator[Grant]:
        """Wait until `load` may go to Triton; it is there until the block and the merged call of its grant end.

        Calls of one `group` can be merged: those that are granted together get the same grant. None: never.
        """
        began = self._now()
        start = lane.schedule(tenant_id, load.tokens, self._throughput.tokens_per_s)
        granted: asyncio.Future[Grant] = asyncio.get_running_loop().create_future()
        waiting = Waiting(start, next(self._order), tenant_id, load, group, granted)
        heapq.heappush(lane.waiting.setdefault(group, []), waiting)
        self._grant()
        try:
            grant = await granted
        except asyncio.CancelledError:
            if tenant_id in lane.finish_times:
                lane.finish_times[tenant_id] -= load.tokens
            if not granted.cancelled():
                self._leave(lane, granted.result(), unsent=load)
            raise
        self.wait_seconds.observe(self._now() - began)
        try:
            yield grant
        finally:
            self._leave(lane, grant)

    @property
    def _is_busy(self) -> bool:
        return self._now() - self._requested_at < BUSY_S

    @property
    def _is_shared_and_slow(self) -> bool:
        """Slow: all replicas together do less than a full call in `MAX_CALL_S`."""
        is_shared = self._now() < self._shared_until
        return is_shared and self._throughput.tokens_per_s * MAX_CALL_S < self._max_call.tokens

    def _refuse_long_delay(self, tenant_id: str, load: Load) -> None:
        """`Overloaded` when the call's last pair would wait too long.

        Ahead of it are its tenant's own tokens, and of each other tenant as many as this one would have.
        """
        lane = self.normal
        always = WINDOWS * self._window()
        if lane.in_flight.tokens <= always or math.isinf(self._max_delay_s):
            return
        own = lane.of_tenant.get(tenant_id, NO_LOAD).tokens
        others = (of_other.tokens for other, of_other in lane.of_tenant.items() if other != tenant_id)
        ahead = own + sum(min(tokens, own + load.tokens) for tokens in others)
        tokens_per_s = self._throughput.tokens_per_s
        if math.isinf(tokens_per_s):
            # Not known yet: on a slow engine, most of a burst would wait until its deadline.
            tokens_per_s = always / self._max_delay_s
        if ahead <= (most := max(always, tokens_per_s * self._max_delay_s)):
            return
        excess_s = ahead / tokens_per_s - self._max_delay_s if tokens_per_s else MAX_RETRY_S
        raise Overloaded(
            f"{ahead} tokens are ahead of these, and at most {most:.0f} may be at present; try again",
            math.ceil(min(MAX_RETRY_S, max(1.0, excess_s))),
            pairs_refused=load.pairs,
        )

    def _leave(self, lane: Lane, grant: Grant, unsent: Load = NO_LOAD) -> None:
        """A member has ended; what it has not sent makes room at once."""
        grant.load -= unsent
        lane.at_triton -= unsent
        grant.members -= 1
        if not grant.members:
            if grant.at_triton is not None and not grant.at_triton.done():
                grant.at_triton.add_done_callback(lambda _: self._end(lane, grant))
            else:
                self._end(lane, grant)
        elif unsent.tokens:
            self._grant()

    def _end(self, lane: Lane, grant: Grant) -> None:
        """Nothing of it is at Triton any more."""
        lane.at_triton -= grant.load
        lane.grants[grant.group] -= 1
        lane.tenants_at_triton -= Counter(grant.tenants)
        if lane is not self.counts:
            idle = not (self.normal.at_triton.tokens or self.low.at_triton.tokens)
            self._throughput.done(grant.load.tokens, idle=idle)
        self._grant()

    def _grant(self) -> None:
        """Start what fits: normal calls beside whatever batch lines are at Triton."""
        if self.normal.waiting or self.low.waiting:
            window, max_call = self._window(), self.max_call(self.normal)
            max_grants = max(MIN_CALLS, window // self._max_call.tokens)
            # As many calls as the window holds, but of the present size.
            window_now = min(window, max_grants * max_call.tokens)
            if self._is_shared_and_slow:
                self._grant_lane(self.normal, 0, math.inf, max_call, max_grants, max_grants // MIN_CALLS)
            else:
                self._grant_lane(self.normal, 0, window_now, max_call, max_grants)
            if not self.normal.waiting:
                beside, max_call = self.normal.at_triton.tokens, self.max_call(self.low)
                if self._is_busy and (first := self.low.first(())) is not None:
                    window_now = min(window_now, beside + max(max_call.tokens, first.load.tokens))
                self._grant_lane(self.low, beside, window_now, max_call, max_grants)
        self._grant_lane(self.counts, 0, 0, self._max_call, 1)
        for lane in (self.normal, self.low, self.counts):
            if not lane.at_triton.tokens and not lane.waiting:
                # Nobody waits: the shares of the past are forgotten.
                lane.virtual_time = 0.0
                lane.finish_times.clear()
                lane.grants.clear()

    def _grant_lane(
        self, lane: Lane, beside: int, window: float, max_call: Load, max_grants: int, of_tenant: int | None = None
    ) -> None:
        """`beside`: tokens at Triton that take of the window though they are not the lane's.

        `max_grants`: of a group; with `of_tenant`, a tenant's, in all. Whose turn it is keeps it meanwhile.
        """
        opened: dict[Hashable, Grant] = {}
        # Calls of these groups wait for one of theirs to end, while those of others go on.
        full: set[Hashable] = set()
        while (first := lane.first(full)) is not None:
            start, _, tenant_id, load, group, granted = first
            at_triton = lane.at_triton.tokens + beside
            if at_triton and at_triton + load.tokens > window:
                return
            grant = opened.get(group) if group is not None else None
            if grant is None or not grant.fits(load, max_call):
                if of_tenant and (
                    lane.tenants_at_triton[tenant_id] >= of_tenant or lane.grants.total() >= max_grants
                ):
                    return
                if group is not None and lane.grants[group] >= max_grants:
                    full.add(group)
                    continue
                grant = opened[group] = Grant(group)
                lane.grants[group] += 1
            heapq.heappop(lane.waiting[group])
            # What was passed over starts earlier.
            lane.virtual_time = max(lane.virtual_time, start)
            lane.at_triton += load
            grant.load += load
            if tenant_id not in grant.tenants:
                grant.tenants.add(tenant_id)
                lane.tenants_at_triton[tenant_id] += 1
            grant.members += 1
            if lane is not self.counts:
                self._throughput.begin()
            granted.set_result(grant)
