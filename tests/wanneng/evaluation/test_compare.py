"""Intervals and tests against published values."""

from __future__ import annotations

import math
import random
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wanneng.evaluation.compare import compare, holm, mcnemar
from wanneng.evaluation.intervals import bootstrap, paired_difference, wilson
from wanneng.evaluation.metrics import macro_f1


def test_wilsons_interval_is_the_published_one() -> None:
    """81 of 263 and 0 of 20: Newcombe 1998, Two-sided confidence intervals for the single proportion, table I."""
    interval = wilson(81, 263)
    assert (interval.low, interval.high) == pytest.approx((0.2553, 0.3662), abs=5e-5)
    assert (wilson(0, 20).low, wilson(0, 20).high) == pytest.approx((0, 0.1611), abs=5e-5)
    assert wilson(20, 20).high == 1


def test_newcombes_interval_is_the_published_one() -> None:
    """Bentur et al. 2009: −0.286 (−0.507 to −0.026), in Fagerland, Lydersen and Laake 2017, chapter 8."""
    interval = paired_difference(1, 1, 7, 12)
    assert (interval.value, interval.low, interval.high) == pytest.approx((-0.286, -0.507, -0.026), abs=6e-4)


counts = st.integers(0, 60)


@given(counts, counts, counts, counts)
def test_a_difference_is_within_its_interval_and_changes_its_sign_with_the_order(
    both: int, first: int, second: int, neither: int
) -> None:
    if not both + first + second + neither:
        return
    interval, other = (
        paired_difference(both, first, second, neither),
        paired_difference(both, second, first, neither),
    )
    assert -1 <= interval.low <= interval.value + 1e-12
    assert interval.value - 1e-12 <= interval.high <= 1
    assert (other.value, other.low, other.high) == pytest.approx((-interval.value, -interval.high, -interval.low))


def test_mcnemars_test_is_the_binomial_one() -> None:
    """Of eight texts that one alone gets right, 1 and 7: 2 · (1 + 8) / 256."""
    assert mcnemar(1, 7) == mcnemar(7, 1) == pytest.approx(18 / 256)
    assert mcnemar(0, 0) == mcnemar(5, 5) == 1
    exact = 2 * sum(math.comb(900, k) for k in range(401)) / 2**900
    assert mcnemar(400, 500) == pytest.approx(exact)
    assert 0 <= mcnemar(0, 100_000) < 1e-300


def test_holms_correction_multiplies_the_smallest_most() -> None:
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.9, 0.8]) == [1.0, 1.0]
    assert holm([]) == []


def test_the_better_one_comes_first_and_a_small_difference_may_be_chance() -> None:
    good, bad, close = [True] * 90 + [False] * 10, [True] * 50 + [False] * 50, [True] * 88 + [False] * 12
    comparisons = compare([bad, good, close])
    assert [(c.first, c.second) for c in comparisons] == [(1, 0), (2, 0), (1, 2)]
    assert [c.is_significant for c in comparisons] == [True, True, False]
    assert comparisons[0].difference.value == pytest.approx(0.4)
    assert (comparisons[0].only_first, comparisons[0].only_second) == (40, 0)
    assert all(c.adjusted_p_value >= c.p_value for c in comparisons)


def test_chance_alone_is_rarely_significant() -> None:
    """Of 200 rounds in which five variants are equally good, at most a twentieth or so finds a difference."""
    drawn = random.Random(1)
    rounds = [[[drawn.random() < 0.7 for _ in range(100)] for _ in range(5)] for _ in range(200)]
    found = sum(any(c.is_significant for c in compare(correct)) for correct in rounds)
    assert found <= 20


def test_the_bootstrap_repeats_itself_and_covers_the_value() -> None:
    cells: Counter[tuple[str, str | None]] = Counter(
        {("a", "a"): 40, ("a", "b"): 10, ("b", "b"): 20, ("b", "a"): 30}
    )
    interval = bootstrap(macro_f1, cells)
    assert interval == bootstrap(macro_f1, cells)
    assert interval.low < interval.value < interval.high
    assert 0.1 < interval.high - interval.low < 0.3


def test_the_bootstrap_of_a_share_agrees_with_wilsons_interval() -> None:
    cells = Counter({True: 300, False: 100})

    def share(counted: Counter[bool]) -> float:
        return counted[True] / sum(counted.values())

    interval, exact = bootstrap(share, cells), wilson(300, 400)  # type: ignore[arg-type]
    assert (interval.low, interval.high) == pytest.approx((exact.low, exact.high), abs=0.01)
