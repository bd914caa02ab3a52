from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.errors import QuotaExceeded
from gateway.quotas import Bucket, Quota, Quotas, Standing

STEPS = st.lists(st.tuples(st.floats(0, 90), st.floats(0.5, 40)), max_size=40)


class Seconds:
    def __init__(self) -> None:
        self.at = 1_000.0

    def __call__(self) -> float:
        return self.at


@given(st.integers(1, 60), STEPS)
def test_no_time_gives_more_than_its_share_and_a_full_bucket(
    per_minute: int, steps: list[tuple[float, float]]
) -> None:
    """However takers come: what was given in the last t seconds is at most `per_minute * (1 + t / 60)`."""
    bucket, now = Bucket(per_minute, 0.0), 0.0
    given_at: list[tuple[float, float]] = []
    for wait, amount in steps:
        now += wait
        if bucket.take(amount, now) == 0:
            given_at.append((now, amount))
    for place, (start, _) in enumerate(given_at):
        for end in range(place, len(given_at)):
            taken = sum(amount for _, amount in given_at[place : end + 1])
            span = given_at[end][0] - start
            assert taken <= per_minute * (1 + span / 60) + 1e-6


@given(st.integers(1, 60), STEPS)
def test_who_waits_as_told_is_given(per_minute: int, steps: list[tuple[float, float]]) -> None:
    bucket, now = Bucket(per_minute, 0.0), 0.0
    for wait, amount in steps:
        now += wait
        told = bucket.take(amount, now)
        if 0 < told < math.inf:
            assert bucket.take(amount, now + told - 1e-3) > 0
            now += told + 1e-6
            assert bucket.take(amount, now) == 0
        assert (told == math.inf) == (amount > per_minute)


def test_a_refusal_takes_nothing() -> None:
    bucket = Bucket(10, 0.0)
    assert bucket.take(4, 0.0) == 0
    assert bucket.take(7, 0.0) == pytest.approx(6.0)
    assert bucket.level(0.0) == 6


def test_each_tenant_has_its_own_buckets_and_known_pairs_cost_what_they_are_set_to() -> None:
    seconds = Seconds()
    quotas = Quotas(seconds, cached_pair_cost=0.5)
    quota = Quota(requests=2, pairs=10)
    quotas.take_pairs("t_1", quota, computed=8, cached=4)
    with pytest.raises(QuotaExceeded, match="the quota is 10 pairs a minute") as refusal:
        quotas.take_pairs("t_1", quota, computed=1, cached=0)
    assert refusal.value.retry_after_s == 6
    quotas.take_pairs("t_2", quota, computed=10, cached=0)
    assert quotas.standing("t_1", quota) == Standing(10, 0, 60)
    seconds.at += 30
    assert quotas.standing("t_1", quota) == Standing(10, 5, 30)


def test_requests_are_counted_apart() -> None:
    quotas = Quotas(Seconds(), 0)
    quota = Quota(requests=2)
    for _ in range(2):
        quotas.take_request("t_1", quota)
    with pytest.raises(QuotaExceeded, match="2 requests a minute"):
        quotas.take_request("t_1", quota)
    quotas.take_pairs("t_1", quota, computed=10**9, cached=0)
    assert quotas.standing("t_1", quota) is None


def test_more_than_a_minutes_worth_is_never_there() -> None:
    with pytest.raises(QuotaExceeded, match="11 pairs at once, the quota is 10 a minute") as refusal:
        Quotas(Seconds(), 0).take_pairs("t_1", Quota(pairs=10), computed=11, cached=0)
    assert refusal.value.retry_after_s is None


def test_a_changed_quota_counts_at_once() -> None:
    quotas = Quotas(Seconds(), 0)
    quotas.take_pairs("t_1", Quota(pairs=10), computed=10, cached=0)
    quotas.take_pairs("t_1", Quota(pairs=20), computed=20, cached=0)
