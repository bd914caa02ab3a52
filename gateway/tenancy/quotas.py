"""Quotas: token buckets of requests and of pairs for each tenant, and the charge of one request.

Where there are several gateways, the bucket is in Redis, and each gateway takes blocks of it. While Redis answers,
at most what lies in blocks is given too much: 2% of a minute's quota for each gateway, or the pairs of one request
where those are more. While it does not, each gateway has a bucket of an equal share, full at first: one minute's
quota more for each outage.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from cachetools import LRUCache

from gateway.errors import QuotaExceeded
from stores.tenants import NO_QUOTA, Quota

WINDOW_S = 60.0
MAX_BUCKETS = 20_000
"""Buckets remembered; the one longest unused is dropped, and is full again when it comes back."""


class Bucket:
    """Holds at most a minute's quota and refills evenly; `now` is given in seconds that never go back.

    What may be taken in any time t is at most `per_minute * (1 + t / 60)`.
    """

    def __init__(self, per_minute: int, now: float) -> None:
        self.per_minute = per_minute
        self._level = float(per_minute)
        self._at = now

    def level(self, now: float) -> float:
        """What can be taken now."""
        refilled = self._level + (now - self._at) * self.per_minute / WINDOW_S
        return min(float(self.per_minute), refilled)

    remaining = level

    def take(self, amount: float, now: float) -> float:
        """Seconds until `amount` can be taken: 0, and it is taken; `inf` where it never can be."""
        level = self.level(now)
        if amount > self.per_minute:
            return math.inf
        if amount > level:
            return (amount - level) * WINDOW_S / self.per_minute
        self._level, self._at = level - amount, now
        return 0.0


BLOCK_SHARE = 0.02
"""A block's share of a minute's quota, if not more is asked for."""


@dataclass(frozen=True, slots=True)
class Grant:
    """A block of a shared bucket, and what is left in the bucket."""

    amount: float
    left: float


class SharedQuotas(Protocol):
    """Buckets that all gateways share."""

    @property
    def up(self) -> bool:
        """Whether they are worth asking."""
        ...

    @property
    def gateways(self) -> int:
        """How many share them."""
        ...

    async def lease(self, tenant_id: str, resource: str, per_minute: int, wanted: float) -> Grant | None:
        """At most `wanted`; None when there is no answer."""
        ...


class Block:
    """What was leased of a shared bucket; like a `Bucket`, but it does not refill by itself."""

    def __init__(self, per_minute: int) -> None:
        self.per_minute = per_minute
        self._amount = 0.0
        self._left = float(per_minute)

    def add(self, grant: Grant) -> None:
        self._amount += grant.amount
        self._left = grant.left

    def level(self, now: float) -> float:
        return self._amount

    def remaining(self, now: float) -> float:
        """With what was left in the shared bucket when it was asked last."""
        return min(float(self.per_minute), self._amount + self._left)

    def take(self, amount: float, now: float) -> float:
        """As `Bucket.take`."""
        if amount > self.per_minute:
            return math.inf
        if amount > self._amount:
            return max(1e-3, (amount - self._amount - self._left) * WINDOW_S / self.per_minute)
        self._amount -= amount
        return 0.0


@dataclass(frozen=True, slots=True)
class QuotaStatus:
    """What is left of a quota of pairs, for the headers of an answer."""

    limit: int
    remaining: int
    full_in_s: int
    """Until all of it is there again."""


class Charge:
    """What one request takes from its tenant's quota of pairs; it never takes a pair twice."""

    def __init__(self, quotas: Quotas, tenant_id: str, quota: Quota, pairs: int) -> None:
        self._quotas = quotas
        self._tenant_id = tenant_id
        self._quota = quota
        self._pairs = pairs
        self._charged = 0.0
        self.computed = 0
        """Pairs that were charged as computed; the others are cached ones."""

    def settle(self, computed: int) -> None:
        """`computed` of the pairs are computed for this request, the others are known: charge the difference.

        `QuotaExceeded` when it is not there; nothing is taken then. A retry after an engine change settles again,
        and is charged only for pairs that were not charged before.
        """
        computed = max(self.computed, computed)
        cost = computed + (self._pairs - computed) * self._quotas.cached_pair_cost
        self._quotas.take(self._tenant_id, "pairs", self._quota.pairs_per_minute, cost - self._charged)
        self.computed, self._charged = computed, max(cost, self._charged)


class Quotas:
    """Buckets of every tenant; a changed quota starts with a full bucket."""

    def __init__(
        self,
        now: Callable[[], float],
        cached_pair_cost: float = 0.0,
        default: Quota = NO_QUOTA,
        shared: SharedQuotas | None = None,
    ) -> None:
        self._now = now
        self._default = default
        self._shared = shared
        self._buckets: LRUCache[tuple[str, str], Bucket | Block] = LRUCache(MAX_BUCKETS)
        self.cached_pair_cost = cached_pair_cost

    def limits_of(self, quota: Quota) -> Quota:
        """The tenant's own, the default where it has none."""
        if quota == NO_QUOTA:
            return self._default
        return Quota(
            quota.requests_per_minute or self._default.requests_per_minute,
            quota.pairs_per_minute or self._default.pairs_per_minute,
            quota.pairs_in_flight or self._default.pairs_in_flight,
        )

    async def open_charge(self, tenant_id: str, quota: Quota, pairs: int) -> Charge:
        """Charge one request, and begin the charge of its `pairs`; `QuotaExceeded` after too many requests."""
        await self._lease(tenant_id, quota, pairs)
        self.take(tenant_id, "requests", quota.requests_per_minute, 1)
        return Charge(self, tenant_id, quota, pairs)

    def take(self, tenant_id: str, resource: str, per_minute: int | None, amount: float) -> None:
        """`QuotaExceeded` when it is not there; nothing is taken then."""
        if per_minute is None or amount <= 0:
            return
        wait_s = self._bucket(tenant_id, resource, per_minute).take(amount, self._now())
        if wait_s == math.inf:
            raise QuotaExceeded(
                f"{math.ceil(amount)} {resource} at once; the quota is {per_minute} a minute", None
            )
        if wait_s > 0:
            raise QuotaExceeded(f"the quota is {per_minute} {resource} a minute", math.ceil(wait_s))

    def status(self, tenant_id: str, quota: Quota) -> QuotaStatus | None:
        """None where pairs are unlimited."""
        limit = quota.pairs_per_minute
        if limit is None:
            return None
        remaining = self._bucket(tenant_id, "pairs", limit).remaining(self._now())
        return QuotaStatus(limit, int(remaining), math.ceil((limit - remaining) * WINDOW_S / limit))

    async def _lease(self, tenant_id: str, quota: Quota, pairs: int) -> None:
        """Have a block that lasts for a request of `pairs`, as far as the shared bucket has one."""
        if self._shared is None or not self._shared.up:
            return
        needs = (("requests", quota.requests_per_minute, 1), ("pairs", quota.pairs_per_minute, pairs))
        for resource, per_minute, amount in needs:
            if per_minute is None:
                continue
            missing = amount - self._bucket(tenant_id, resource, per_minute).level(self._now())
            if missing > 0:
                wanted = min(per_minute, max(missing, per_minute * BLOCK_SHARE))
                grant = await self._shared.lease(tenant_id, resource, per_minute, wanted)
                bucket = self._bucket(tenant_id, resource, per_minute)
                if grant is not None and isinstance(bucket, Block):
                    bucket.add(grant)

    def _bucket(self, tenant_id: str, resource: str, per_minute: int) -> Bucket | Block:
        """A block of the shared bucket while Redis answers, a bucket of our own otherwise."""
        shared = self._shared
        kind: type[Bucket | Block] = Bucket
        if shared is not None:
            kind = Block if shared.up else Bucket
            per_minute = per_minute if shared.up else max(1, per_minute // shared.gateways)
        bucket = self._buckets.get((tenant_id, resource))
        if bucket is None or bucket.per_minute != per_minute or type(bucket) is not kind:
            bucket = Block(per_minute) if kind is Block else Bucket(per_minute, self._now())
            self._buckets[tenant_id, resource] = bucket
        return bucket
