"""Requests of tenants whose quotas several gateways share: each leases what it is charged."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from gateway.errors import QuotaExceeded, TritonFailed
from gateway.scheduling.fair_queue import FairQueue
from gateway.scheduling.lane import Lane, Load
from stores.tenants import Quota
from tests.fakes.backend import FakeBackend
from tests.fakes.gateway import FakeService
from tests.fakes.shared_quotas import FakeRedis, FakeSharedQuotas


def gateways(**settings: Any) -> list[FakeService]:
    """Two, whose quotas do not refill."""
    redis = FakeRedis(lambda: 0.0)
    return [FakeService(shared_quotas=FakeSharedQuotas(redis, 2), **settings) for _ in range(2)]


@pytest.mark.parametrize("text", ["手", "手" * 700, "word " * 300])
async def test_tokens_and_pairs_are_leased_as_they_are_charged(text: str) -> None:
    """A lease of less than is charged refused every request."""
    one, other = gateways(max_tokens_per_call=256)
    quota = Quota(requests_per_minute=1_000, pairs_per_minute=1_000, tokens_per_minute=20_000)
    for number in range(3):
        for gateway in (one, other):
            await gateway.classify(("投", "诉", "询"), f"{number}{text}", quota=quota)


class ShrinkingQueue(FairQueue):
    """Triton turns out to be slow after the first request has asked how much a call may hold."""

    asked = 0

    def max_call(self, lane: Lane) -> Load:
        self.asked += 1
        return super().max_call(lane) if self.asked == 1 else Load(1, 32)


async def test_a_request_is_charged_for_calls_of_the_size_that_it_has_leased() -> None:
    """A long text is encoded for each call, so that more calls take more tokens."""
    quotas = FakeSharedQuotas(FakeRedis(lambda: 0.0), 1)
    gateway = FakeService(shared_quotas=quotas, queue_type=ShrinkingQueue)
    await gateway.classify(("投", "诉", "询"), "手" * 700, quota=Quota(tokens_per_minute=20_000))


async def test_all_gateways_together_give_the_quota_of_pairs() -> None:
    one, other = gateways()
    given = 0
    for number in range(100):
        for gateway in (one, other):
            try:
                await gateway.classify(("投", "诉"), str(number), quota=Quota(pairs_per_minute=100))
                given += 2
            except QuotaExceeded:
                pass
    assert given == 100


async def test_known_pairs_are_leased_at_what_they_cost() -> None:
    one, _ = gateways(cached_pair_cost=0.5)
    quota = Quota(pairs_per_minute=100)
    for _ in range(10):
        await one.classify(("投", "诉"), quota=quota)
    status = one.quotas.status("t_1", quota)
    assert status is not None
    assert status.remaining == 100 - 2 - 9


async def test_requests_at_the_same_time_are_all_given_what_there_is() -> None:
    one, other = gateways()
    quota = Quota(pairs_per_minute=200)
    asked = [gateway.classify(("投", "诉"), str(n), quota=quota) for n in range(50) for gateway in (one, other)]
    assert len(await asyncio.gather(*asked)) == 100


async def test_work_that_is_repeated_after_a_joined_call_failed_is_leased() -> None:
    shared = FakeSharedQuotas(FakeRedis(lambda: 0.0), 2)
    one = FakeService(FakeBackend(delay_s=0.1), shared_quotas=shared)
    one.backend.logits_failure = TritonFailed("broken")
    quota = Quota(pairs_per_minute=100)
    leader = asyncio.create_task(one.classify(("投", "诉", "询"), quota=quota))
    await asyncio.sleep(0.03)
    follower = asyncio.create_task(one.classify(("投", "诉", "询"), quota=quota))
    await asyncio.sleep(0.03)
    await one.quotas.lease("t_1", "pairs", 100, 1)  # Returns what joining has not needed.
    with pytest.raises(TritonFailed):
        await leader
    one.backend.logits_failure = None
    assert (await follower).values.computed == 3
