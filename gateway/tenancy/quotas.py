"""Quotas: token buckets of requests, of pairs and of tokens for each tenant, and the charge of one request.

Where several gateways share Redis, they share the buckets: `shared_bucket.py`.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Sequence
from functools import lru_cache

from msgspec import Struct

from gateway.errors import QuotaExceeded
from gateway.tenancy.shared_bucket import WINDOW_S, SharedBucket, SharedQuotas
from stores.budget_levels import BudgetLevels, Reservation
from stores.budgets import Limit, Used
from stores.tenants import NO_QUOTA, Quota
from web.token_bucket import TokenBucket

RETURN_S = 0.5
MAX_BUCKETS = 20_000
"""Buckets remembered; the one longest unused is dropped, and is full again when it comes back."""


class QuotaStatus(Struct, frozen=True):
    """What is left of a quota of pairs, for the headers of an answer."""

    limit: int
    remaining: int
    full_in_s: int
    """Until all of it is there again."""


class Charge:
    """What one request takes from its tenant's quota of pairs, and of budgets; it never takes a pair twice."""

    def __init__(
        self, quotas: Quotas, tenant_id: str, quota: Quota, pairs: int, limits: Sequence[Limit] = ()
    ) -> None:
        self._quotas, self._budgets = quotas, Reservation(quotas.budgets, limits)
        self.needs_lease = quotas.shared or bool(limits)
        self._tenant_id = tenant_id
        self.quota = quota
        self._pairs = pairs
        self._charged_pairs = 0.0
        self._charged_tokens = 0
        self.computed = 0
        """Pairs that were charged as computed; the others are cached ones."""

    @property
    def tokens(self) -> int:
        """Tokens that were charged: an estimate until the engine has counted them."""
        return self._charged_tokens

    async def lease(self, computed: int, tokens: int = 0) -> None:
        """Have at hand what `settle` takes for no more than this; nothing may be awaited in between.

        Budgets are charged with all of it, until `close`. Only where it `needs_lease`.
        """
        await self._budgets.extend(Used(computed, tokens))
        needs = (
            ("pairs", self.quota.pairs_per_minute, self._cost(computed) - self._charged_pairs),
            ("tokens", self.quota.tokens_per_minute, tokens - self._charged_tokens),
        )
        # Twice: what was at hand of the first may be taken while the second is asked for.
        for resource, per_minute, amount in needs * 2:
            await self._quotas.lease(self._tenant_id, resource, per_minute, amount)

    def settle(self, computed: int, tokens: int = 0) -> None:
        """`computed` of the pairs, of about `tokens`, are computed for this request: charge what is not yet.

        `QuotaExceeded` when it is not there; nothing is taken then. A retry after an engine change settles again,
        and is charged only for pairs that were not charged before.
        """
        computed = max(self.computed, computed)
        cost = self._cost(computed)
        new_pairs, new_tokens = cost - self._charged_pairs, tokens - self._charged_tokens
        self._quotas.take(self._tenant_id, "pairs", self.quota.pairs_per_minute, new_pairs)
        try:
            self._quotas.take(self._tenant_id, "tokens", self.quota.tokens_per_minute, new_tokens)
        except QuotaExceeded:
            self._quotas.give_back(self._tenant_id, "pairs", self.quota.pairs_per_minute, new_pairs)
            raise
        self.computed, self._charged_pairs = computed, max(cost, self._charged_pairs)
        self._charged_tokens = max(tokens, self._charged_tokens)

    def _cost(self, computed: int) -> float:
        return computed + (self._pairs - computed) * self._quotas.cached_pair_cost

    def cancel(self) -> None:
        """Give all of it back: nothing is computed."""
        self._quotas.give_back(self._tenant_id, "pairs", self.quota.pairs_per_minute, self._charged_pairs)
        self.computed, self._charged_pairs = 0, 0.0
        self.correct(0)
        self.close()

    def close(self) -> None:
        """Nothing more is computed: what budgets are charged with is what was."""
        self._budgets.end(Used(self.computed, self._charged_tokens))

    def correct(self, tokens: int) -> None:
        """The engine has counted `tokens`: give back or take what the estimate was off by."""
        excess = self._charged_tokens - tokens
        self._quotas.give_back(self._tenant_id, "tokens", self.quota.tokens_per_minute, excess)
        self._charged_tokens = tokens


class Quotas:
    """Buckets of every tenant; a changed quota starts with a full bucket."""

    def __init__(
        self,
        now: Callable[[], float],
        budgets: BudgetLevels,
        cached_pair_cost: float = 0.0,
        default: Quota = NO_QUOTA,
        shared: SharedQuotas | None = None,
    ) -> None:
        self._now, self.budgets = now, budgets
        self._default = default
        self._shared = shared
        self.shared = shared is not None
        """Whether several gateways share the buckets."""
        self._bucket = lru_cache(MAX_BUCKETS)(self._new_bucket)
        self._used: set[SharedBucket] = set()
        """Since the last round of `keep_shared`, or not settled in it."""
        self.cached_pair_cost = cached_pair_cost

    def limits_of(self, quota: Quota) -> Quota:
        """The tenant's own, the default where it has none."""
        if NO_QUOTA in (quota, self._default):
            return quota if self._default == NO_QUOTA else self._default
        return Quota(
            quota.requests_per_minute or self._default.requests_per_minute,
            quota.pairs_per_minute or self._default.pairs_per_minute,
            quota.pairs_in_flight or self._default.pairs_in_flight,
            quota.tokens_per_minute or self._default.tokens_per_minute,
        )

    async def open_charge(self, tenant_id: str, quota: Quota, pairs: int, limits: Sequence[Limit] = ()) -> Charge:
        """Charge one request, and begin the charge of its pairs; `QuotaExceeded` after too many requests."""
        quota = self.limits_of(quota)
        if self.shared:
            await self.lease(tenant_id, "requests", quota.requests_per_minute, 1)
        self.take(tenant_id, "requests", quota.requests_per_minute, 1)
        return Charge(self, tenant_id, quota, pairs, limits)

    async def lease(self, tenant_id: str, resource: str, per_minute: int | None, amount: float) -> None:
        """Have `amount` at hand for `take`, as far as the bucket that gateways share has it."""
        if self._shared is not None and per_minute is not None and amount > 0:
            bucket = self._bucket(tenant_id, resource, per_minute)
            if isinstance(bucket, SharedBucket):
                await bucket.lease(amount)
                self._used.add(bucket)

    async def keep_shared(self) -> None:
        """Return what requests have leased and not needed, within `RETURN_S`, until cancelled."""
        while True:
            await asyncio.sleep(RETURN_S)
            await self.budgets.send()
            used, self._used = self._used, set()
            for bucket in used:
                await bucket.lease(0)
                if not bucket.settled:
                    self._used.add(bucket)

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

    def give_back(self, tenant_id: str, resource: str, per_minute: int | None, amount: float) -> None:
        """What was taken and not used; a negative `amount` is taken, though it may not be there."""
        if per_minute is not None and amount:
            bucket = self._bucket(tenant_id, resource, per_minute)
            bucket.give_back(amount, self._now())
            if isinstance(bucket, SharedBucket):
                self._used.add(bucket)

    def status(self, tenant_id: str, quota: Quota) -> QuotaStatus | None:
        """What is left of the tenant's pairs; None where they are unlimited."""
        limit = self.limits_of(quota).pairs_per_minute
        if limit is None:
            return None
        bucket, now = self._bucket(tenant_id, "pairs", limit), self._now()
        remaining = bucket.remaining(now) if isinstance(bucket, SharedBucket) else bucket.level(now)
        return QuotaStatus(limit, int(remaining), math.ceil((limit - remaining) * WINDOW_S / limit))

    def _new_bucket(self, tenant_id: str, resource: str, per_minute: int) -> TokenBucket | SharedBucket:
        if self._shared is None:
            return TokenBucket(per_minute, WINDOW_S, self._now())
        return SharedBucket(self._shared, tenant_id, resource, per_minute, self._now)
