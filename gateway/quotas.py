"""How much a tenant may ask for in a minute: a bucket of requests, and one of pairs, that refill. Pure.

Where gateways are many, the bucket is in a place that they share, and each takes blocks of it. While that place
answers, the most that is given too much is what lies in blocks: 2% of a minute's worth for each gateway, or the
pairs of one request where those are more. While it does not, each gateway has a bucket of an equal share, full at
first: one minute's worth more for each outage.
"""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from gateway.errors import QuotaExceeded

WINDOW_S = 60.0
KNOWN_TENANTS = 10_000
"""Buckets remembered; the one longest unused goes first, and is full again when it comes back."""


@dataclass(frozen=True, slots=True)
class Quota:
    """Per minute; None: as many as there is room for."""

    requests: int | None = None
    pairs: int | None = None
    pairs_in_flight: int | None = None
    """At one gateway, at a time."""


NO_QUOTA = Quota()


class Bucket:
    """Holds at most a minute's worth and refills evenly; `now` is given in seconds that never go back.

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

    standing = level

    def take(self, amount: float, now: float) -> float:
        """Seconds to wait until `amount` is there: 0, and it is taken; `inf` where it never will be."""
        level = self.level(now)
        if amount > self.per_minute:
            return math.inf
        if amount > level:
            return (amount - level) * WINDOW_S / self.per_minute
        self._level, self._at = level - amount, now
        return 0.0


BLOCK_SHARE = 0.02
"""A block is so much of a minute's worth, if not more is asked for."""


@dataclass(frozen=True, slots=True)
class Grant:
    """A block of a shared bucket, and what stays in that."""

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

    async def lease(self, tenant_id: str, what: str, per_minute: int, wanted: float) -> Grant | None:
        """At most `wanted`; None when nobody answers."""
        ...


class Block:
    """Has what was taken of a shared bucket; like a `Bucket`, but it never refills by itself."""

    def __init__(self, per_minute: int) -> None:
        self.per_minute = per_minute
        self._amount = 0.0
        self._left = float(per_minute)

    def add(self, grant: Grant) -> None:
        self._amount += grant.amount
        self._left = grant.left

    def level(self, now: float) -> float:
        return self._amount

    def standing(self, now: float) -> float:
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
class Standing:
    """What is left of a quota of pairs, for the headers of an answer."""

    quota: int
    left: int
    full_in_s: int
    """Until all of it is there again."""


class Quotas:
    """Buckets of every tenant; a changed quota starts with a full bucket."""

    def __init__(
        self, now: Callable[[], float], cached_pair_cost: float, shared: SharedQuotas | None = None
    ) -> None:
        self._now = now
        self._cached_pair_cost = cached_pair_cost
        self._shared = shared
        self._buckets: OrderedDict[tuple[str, str], Bucket | Block] = OrderedDict()

    async def prepare(self, tenant_id: str, quota: Quota, pairs: int) -> None:
        """Have a block that lasts for a request of `pairs`, as far as the shared bucket has one."""
        if self._shared is None or not self._shared.up:
            return
        for what, per_minute, amount in (("requests", quota.requests, 1), ("pairs", quota.pairs, pairs)):
            if per_minute is None:
                continue
            missing = amount - self._bucket(tenant_id, what, per_minute).level(self._now())
            if missing > 0:
                wanted = min(per_minute, max(missing, per_minute * BLOCK_SHARE))
                grant = await self._shared.lease(tenant_id, what, per_minute, wanted)
                bucket = self._bucket(tenant_id, what, per_minute)
                if grant is not None and isinstance(bucket, Block):
                    bucket.add(grant)

    def take_request(self, tenant_id: str, quota: Quota) -> None:
        """`QuotaExceeded` when the tenant has asked too often."""
        self._take(tenant_id, "requests", quota.requests, 1)

    def take_pairs(self, tenant_id: str, quota: Quota, *, computed: int, cached: int) -> None:
        """`QuotaExceeded` when the pairs are not there; nothing is taken then."""
        self._take(tenant_id, "pairs", quota.pairs, computed + cached * self._cached_pair_cost)

    def standing(self, tenant_id: str, quota: Quota) -> Standing | None:
        """None where pairs are not bounded."""
        if quota.pairs is None:
            return None
        level = self._bucket(tenant_id, "pairs", quota.pairs).standing(self._now())
        return Standing(quota.pairs, int(level), math.ceil((quota.pairs - level) * WINDOW_S / quota.pairs))

    def _take(self, tenant_id: str, what: str, per_minute: int | None, amount: float) -> None:
        if per_minute is None or amount <= 0:
            return
        wait_s = self._bucket(tenant_id, what, per_minute).take(amount, self._now())
        if wait_s == math.inf:
            raise QuotaExceeded(f"{math.ceil(amount)} {what} at once, the quota is {per_minute} a minute", None)
        if wait_s > 0:
            raise QuotaExceeded(f"the quota is {per_minute} {what} a minute", math.ceil(wait_s))

    def _bucket(self, tenant_id: str, what: str, per_minute: int) -> Bucket | Block:
        """A block of the shared bucket while that answers, a bucket of our own otherwise."""
        shared = self._shared
        kind: type[Bucket | Block] = Bucket
        if shared is not None:
            kind = Block if shared.up else Bucket
            per_minute = per_minute if shared.up else max(1, per_minute // shared.gateways)
        bucket = self._buckets.get((tenant_id, what))
        if bucket is None or bucket.per_minute != per_minute or type(bucket) is not kind:
            bucket = Block(per_minute) if kind is Block else Bucket(per_minute, self._now())
            self._buckets[tenant_id, what] = bucket
            if len(self._buckets) > KNOWN_TENANTS:
                self._buckets.popitem(last=False)
        self._buckets.move_to_end((tenant_id, what))
        return bucket
