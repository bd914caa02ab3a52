"""A token bucket that gateways share: each leases blocks of it, and spends them without asking.

The shared bucket is filled by a clock that stands still while no gateway is in touch with it. While a gateway is
not, it spends what it has leased, and after that what its equal share of the quota refills; never a full bucket.
What it has spent of its share while the clock ran is subtracted from the shared bucket as soon as it is back.

So gateways together give, in t seconds, at most `per_minute * (1 + t / 60)`, and less than 2% of `per_minute` for
each gateway, however often they lose the shared bucket for moments: a block of 1%, and what a share refills until
they are back. Only a gateway that is cut off from a bucket that others reach gives its share on top.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable
from dataclasses import dataclass
from itertools import count
from typing import Protocol

WINDOW_S = 60.0
BLOCK_SHARE = 0.01
"""A block's share of a minute's quota: what a gateway has beside what it needs at once, for smaller requests."""
REFUSAL_S = 1.0
"""How long a bucket that had too little is not asked again, unless enough has flowed in since."""
ROUNDING = 1e-9
"""Less than this is nothing."""
_request_ids = count()


@dataclass(frozen=True, slots=True)
class LeaseRequest:
    """What a gateway asks of a shared bucket."""

    id: int
    """Asked again under the same id, because the answer was lost, it acts only once."""
    returned: float
    """Leased before, and not needed."""
    needed: float
    """Nothing is granted where there is less."""
    wanted: float
    """At least `needed`."""
    overdrawn: float
    """Taken without a lease, whatever the bucket had."""
    share_spent: float
    """Spent of the gateway's own share; counts as far as that refills from `since` on, by the bucket's clock."""
    gateways: int
    since: float | None
    """The bucket's clock at the last grant before; None: there was none."""


@dataclass(frozen=True, slots=True)
class Grant:
    """A block of a shared bucket."""

    amount: float
    left: float
    """In the bucket; less than nothing where gateways have spent in advance."""
    clock: float
    """Seconds by which the bucket refills."""


class SharedQuotas(Protocol):
    """Where shared buckets are."""

    @property
    def away_since(self) -> float | None:
        """When they were lost, on the gateway's monotonic clock; None while they answer."""
        ...

    @property
    def gateways(self) -> int:
        """How many share them."""
        ...

    async def lease(self, tenant_id: str, resource: str, per_minute: int, request: LeaseRequest) -> Grant | None:
        """None when there is no answer."""
        ...


class SharedBucket:
    """A gateway's part of one bucket; `lease` first, then `take` at once, with nothing awaited in between."""

    def __init__(
        self, shared: SharedQuotas, tenant_id: str, resource: str, per_minute: int, now: Callable[[], float]
    ) -> None:
        self.per_minute = per_minute
        self._shared = shared
        self._tenant_id = tenant_id
        self._resource = resource
        self._now = now
        self._lock = asyncio.Lock()
        self._leased = 0.0
        """Less than nothing where more was used than taken."""
        self._left = float(per_minute)
        self._asked_at = -math.inf
        self._clock: float | None = None
        self._unanswered: LeaseRequest | None = None
        self._share = 0.0
        """What this gateway's share has refilled since the bucket was lost, less what was spent of it."""
        self._share_at = 0.0
        self._share_spent = 0.0
        """What the shared bucket does not know of yet."""
        self._since: float | None = None
        self._away_since: float | None = None

    @property
    def settled(self) -> bool:
        """Whether there is nothing to tell the shared bucket."""
        return self._unanswered is None and self._request(0) is None

    def level(self, now: float) -> float:
        """What can be taken now."""
        return self._leased + max(0.0, self._refill_share(now))

    def remaining(self, now: float) -> float:
        """With what was left in the shared bucket when it was asked last."""
        if self._shared.away_since is not None:
            return max(0.0, self.level(now))
        return min(float(self.per_minute), max(0.0, self._leased + self._left))

    def take(self, amount: float, now: float) -> float:
        """As `TokenBucket.take`."""
        if amount > self.per_minute:
            return math.inf
        missing = amount - self.level(now)
        if missing > ROUNDING:
            return self._wait_s(missing)
        from_share = amount - max(0.0, self._leased)
        if from_share > ROUNDING:
            self._since = self._clock
            self._share -= from_share
            self._share_spent += from_share
            amount -= from_share
        self._leased -= amount
        return 0.0

    def give_back(self, amount: float, now: float) -> None:
        """As `TokenBucket.give_back`."""
        self._leased += amount

    async def lease(self, amount: float) -> None:
        """Have `amount` leased, as far as the shared bucket has it; of more than a block, the rest goes back."""
        if self._lock.locked() and amount <= self._leased:
            return
        if self._unanswered is None and self._request(amount) is None:
            return
        async with self._lock:
            while request := self._unanswered or self._request(amount):
                repeated = request is self._unanswered
                if not repeated:
                    self._send(request)
                grant = await self._shared.lease(self._tenant_id, self._resource, self.per_minute, request)
                if grant is None:
                    return
                self._receive(grant)
                if not repeated:
                    return

    def _request(self, amount: float) -> LeaseRequest | None:
        """None where there is nothing to ask."""
        block = self.per_minute * BLOCK_SHARE
        returned = max(0.0, self._leased - block)
        overdrawn = -self._leased if self._leased < -ROUNDING else 0.0
        rest = min(block, max(0.0, self._leased)) - amount
        needed = wanted = max(0.0, -rest)
        if 0 < amount <= block and rest < block / 2:
            # Early, so that a moment without Redis refuses nobody.
            wanted = block - rest
        if needed > ROUNDING and self._is_refused(amount, needed - returned):
            needed = wanted = 0.0
        if returned == wanted == overdrawn == self._share_spent == 0:
            return None
        gateways = self._shared.gateways
        return LeaseRequest(
            next(_request_ids), returned, needed, wanted, overdrawn, self._share_spent, gateways, self._since
        )

    def _is_refused(self, amount: float, missing: float) -> bool:
        """Whether the bucket would grant nothing: it had too little a moment ago, or never has as much."""
        if amount > self.per_minute:
            return True
        passed_s = self._now() - self._asked_at
        return passed_s < REFUSAL_S and missing > self._left + passed_s * self.per_minute / WINDOW_S

    def _send(self, request: LeaseRequest) -> None:
        """What the shared bucket is told of counts as told: an answer that is lost is asked for again."""
        self._unanswered = request
        self._leased += request.overdrawn - request.returned
        self._share_spent -= request.share_spent

    def _receive(self, grant: Grant) -> None:
        self._unanswered = None
        self._leased += grant.amount
        self._left, self._clock, self._asked_at = grant.left, grant.clock, self._now()

    def _refill_share(self, now: float) -> float:
        """As long as the bucket is away, up to an equal share of it.

        Each time that it is lost, the share is empty, and less than empty as long as the bucket was not told what
        was spent before.
        """
        away_since = self._shared.away_since
        if away_since is None:
            return 0.0
        share = self.per_minute / self._shared.gateways
        if away_since != self._away_since:
            untold = self._share_spent + (self._unanswered.share_spent if self._unanswered is not None else 0.0)
            self._share, self._share_at, self._away_since = -min(share, untold), away_since, away_since
        self._share = min(share, self._share + (now - self._share_at) * share / WINDOW_S)
        self._share_at = now
        return self._share

    def _wait_s(self, missing: float) -> float:
        if self._shared.away_since is not None:
            return missing * WINDOW_S * self._shared.gateways / self.per_minute
        return max(1e-3, (missing - self._left) * WINDOW_S / self.per_minute)
