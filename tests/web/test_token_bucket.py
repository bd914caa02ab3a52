"""A token bucket gives no more than it holds and refills, and says how long to wait."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from web.token_bucket import TokenBucket

WINDOW_S = 60.0
STEPS = st.lists(st.tuples(st.floats(0, 90), st.floats(0.5, 40)), max_size=40)


@given(st.integers(1, 60), STEPS)
def test_no_time_gives_more_than_its_share_and_a_full_bucket(
    capacity: int, steps: list[tuple[float, float]]
) -> None:
    """However takers come: what was given in the last t seconds is at most `capacity * (1 + t / window_s)`."""
    bucket, now = TokenBucket(capacity, WINDOW_S, 0.0), 0.0
    given_at: list[tuple[float, float]] = []
    for wait, amount in steps:
        now += wait
        if bucket.take(amount, now) == 0:
            given_at.append((now, amount))
    for place, (start, _) in enumerate(given_at):
        for end in range(place, len(given_at)):
            taken = sum(amount for _, amount in given_at[place : end + 1])
            span = given_at[end][0] - start
            assert taken <= capacity * (1 + span / WINDOW_S) + 1e-6


@given(st.integers(1, 60), STEPS)
def test_who_waits_as_told_is_given(capacity: int, steps: list[tuple[float, float]]) -> None:
    bucket, now = TokenBucket(capacity, WINDOW_S, 0.0), 0.0
    for wait, amount in steps:
        now += wait
        told = bucket.take(amount, now)
        if 0 < told < math.inf:
            assert bucket.take(amount, now + told - 1e-3) > 0
            now += told + 1e-6
            assert bucket.take(amount, now) == 0
        assert (told == math.inf) == (amount > capacity)


def test_a_refusal_takes_nothing() -> None:
    bucket = TokenBucket(10, WINDOW_S, 0.0)
    assert bucket.take(4, 0.0) == 0
    assert bucket.take(7, 0.0) == pytest.approx(6.0)
    assert bucket.level(0.0) == 6
