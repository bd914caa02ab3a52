from __future__ import annotations

import asyncio

import pytest

from gateway.errors import QuotaExceeded
from gateway.tenancy.quotas import Charge, Quotas, QuotaStatus
from stores.budget_levels import BudgetLevels
from stores.budgets import Budget, limits_of
from stores.tenants import NO_QUOTA, Quota
from tests.fakes.clock import FakeClock
from tests.fakes.shared_levels import FakeSharedLevels, no_budgets
from tests.fakes.stores import FakeUsage, Memory


class Seconds:
    def __init__(self) -> None:
        self.at = 1_000.0

    def __call__(self) -> float:
        return self.at


async def charge(quotas: Quotas, quota: Quota, computed: int, cached: int = 0, tenant: str = "t_1") -> Charge:
    """Of one request, settled."""
    charge = await quotas.open_charge(tenant, quota, computed + cached)
    charge.settle(computed)
    return charge


async def test_each_tenant_has_its_own_buckets_and_cached_pairs_cost_what_they_are_set_to() -> None:
    seconds = Seconds()
    quotas = Quotas(seconds, no_budgets(), cached_pair_cost=0.5)
    quota = Quota(requests_per_minute=2, pairs_per_minute=10)
    await charge(quotas, quota, computed=8, cached=4)
    with pytest.raises(QuotaExceeded, match="the quota is 10 pairs a minute") as refusal:
        await charge(quotas, quota, computed=1)
    assert refusal.value.retry_after_s == 6
    await charge(quotas, quota, computed=10, tenant="t_2")
    assert quotas.status("t_1", quota) == QuotaStatus(10, 0, 60)
    seconds.at += 30
    assert quotas.status("t_1", quota) == QuotaStatus(10, 5, 30)


async def test_requests_are_counted_apart() -> None:
    quotas = Quotas(Seconds(), no_budgets())
    quota = Quota(requests_per_minute=2)
    for _ in range(2):
        await quotas.open_charge("t_1", quota, 0)
    with pytest.raises(QuotaExceeded, match="2 requests a minute"):
        await quotas.open_charge("t_1", quota, 0)
    quotas.take("t_1", "pairs", quota.pairs_per_minute, 10**9)
    assert quotas.status("t_1", quota) is None


async def test_more_than_a_minutes_worth_is_never_there() -> None:
    with pytest.raises(QuotaExceeded, match="11 pairs at once; the quota is 10 a minute") as refusal:
        await charge(Quotas(Seconds(), no_budgets()), Quota(pairs_per_minute=10), computed=11)
    assert refusal.value.retry_after_s is None


async def test_a_changed_quota_counts_at_once() -> None:
    quotas = Quotas(Seconds(), no_budgets())
    await charge(quotas, Quota(pairs_per_minute=10), computed=10)
    await charge(quotas, Quota(pairs_per_minute=20), computed=20)


async def test_a_charge_that_is_settled_again_takes_only_the_difference() -> None:
    quotas, quota = Quotas(Seconds(), no_budgets(), cached_pair_cost=0.5), Quota(pairs_per_minute=100)
    settled = await charge(quotas, quota, computed=4, cached=6)
    assert quotas.status("t_1", quota) == QuotaStatus(100, 93, 5)
    settled.settle(4)
    settled.settle(1)
    assert quotas.status("t_1", quota) == QuotaStatus(100, 93, 5), "a pair is never given back"
    settled.settle(6)
    assert quotas.status("t_1", quota) == QuotaStatus(100, 92, 5), "two cost 1 instead of 0.5"
    assert settled.computed == 6


async def test_a_charge_that_is_refused_takes_nothing() -> None:
    quotas, quota = Quotas(Seconds(), no_budgets()), Quota(pairs_per_minute=10)
    settled = await charge(quotas, quota, computed=4, cached=10)
    with pytest.raises(QuotaExceeded):
        settled.settle(11)
    assert settled.computed == 4
    assert quotas.status("t_1", quota) == QuotaStatus(10, 6, 24)
    settled.settle(10)


def test_what_a_tenants_quota_does_not_say_is_the_gateways() -> None:
    quotas = Quotas(Seconds(), no_budgets(), 0.0, Quota(1, 2, 3))
    assert quotas.limits_of(Quota()) == Quota(1, 2, 3)
    assert quotas.limits_of(Quota(pairs_per_minute=20)) == Quota(1, 20, 3)


async def test_leases_of_one_request_at_once_reserve_a_budget_once() -> None:
    """Those of several flights that it had joined and that failed, while Redis answers the first."""
    shared = FakeSharedLevels()
    quotas = Quotas(Seconds(), BudgetLevels(FakeUsage(Memory()), FakeClock(), shared))
    charge = await quotas.open_charge("t", NO_QUOTA, 4, limits_of("t", Budget(100)))
    await asyncio.gather(*(charge.lease(pairs) for pairs in (2, 4, 4, 3)))
    assert shared.levels == {"t::pairs:2030-01": 4}
    charge.settle(3)
    charge.close()
    await quotas.budgets.send()
    assert shared.levels == {"t::pairs:2030-01": 3}
