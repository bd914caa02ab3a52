"""Figures against values that were computed by hand."""

from __future__ import annotations

import itertools
import math
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wanneng.evaluation.metrics import MAX_POINTS, Point, Prediction, label_scores, macro_f1, score

GOLD = ["a", "a", "a", "b", "b", "c", None]
PREDICTED = [
    Prediction("a", 0.9),
    Prediction("a", 0.8),
    Prediction("b", 0.6),
    Prediction("b", 0.7),
    Prediction("a", 0.95),
    Prediction(None, error="too long"),
    Prediction("b", 0.65),
]
LABELS = ["a", "b", "c"]


def test_precision_recall_and_f1_are_those_of_each_label() -> None:
    scores = score(GOLD, PREDICTED, LABELS)
    figures = {s.label: (s.precision, s.recall, s.f1, s.support, s.predicted) for s in scores.labels}
    assert figures["a"] == pytest.approx((2 / 3, 2 / 3, 2 / 3, 3, 3))
    assert figures["b"] == pytest.approx((1 / 2, 1 / 2, 1 / 2, 2, 2))
    assert figures["c"] == (0, 0, 0, 1, 0)
    assert scores.macro_f1.value == pytest.approx((2 / 3 + 1 / 2 + 0) / 3)
    assert scores.macro_f1.low <= scores.macro_f1.value <= scores.macro_f1.high


def test_a_refused_text_is_wrong_and_one_of_no_label_is_left_out() -> None:
    scores = score(GOLD, PREDICTED, LABELS)
    assert (scores.texts, scores.refused, scores.accuracy.value) == (6, 1, 0.5)
    assert scores.confusion == {("a", "a"): 2, ("a", "b"): 1, ("b", "b"): 1, ("b", "a"): 1, ("c", None): 1}


def test_macro_f1_is_the_mean_over_the_labels_that_occur() -> None:
    """As scikit-learn's `f1_score(average="macro")`: a label neither given nor predicted does not count."""
    cells: Counter[tuple[str, str | None]] = Counter({("a", "a"): 1, ("a", "d"): 1})
    assert macro_f1(cells) == pytest.approx((2 / 3 + 0) / 2)
    assert [s.label for s in label_scores(cells, LABELS)] == LABELS


def test_the_calibration_error_is_the_weighted_gap_of_15_bins() -> None:
    """0.9 and 0.93 share the bin (13/15, 14/15]; 1/15 is in the first bin, whose upper end it is."""
    gold = ["a", "a", "a", "a"]
    predicted = [Prediction("a", 0.9), Prediction("b", 0.93), Prediction("a", 0.5), Prediction("b", 1 / 15)]
    scores = score(gold, predicted, ["a", "b"])
    expected = (abs(1 - 1.83) + abs(1 - 0.5) + abs(0 - 1 / 15)) / 4
    assert scores.calibration_error == pytest.approx(expected)
    assert [b.texts for b in scores.reliability] == [1, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 2, 0]


def test_scores_of_0_and_1_have_a_bin() -> None:
    scores = score(["a", "a"], [Prediction("a", 1.0), Prediction("b", 0.0)], ["a", "b"])
    assert scores.calibration_error == 0
    assert (scores.reliability[0].texts, scores.reliability[-1].texts) == (1, 1)


def test_rejecting_low_scores_raises_accuracy_at_the_cost_of_coverage() -> None:
    """An accepted text of no label is a mistake, and a refused one is never accepted."""
    scores = score(GOLD, PREDICTED, LABELS, thresholds=(0.7, 0.99))
    assert scores.thresholds == [Point(0.7, 4 / 7, 3 / 4), Point(0.99, 0.0, None)]
    assert scores.coverage == [
        Point(0.95, 1 / 7, 0),
        Point(0.9, 2 / 7, 1 / 2),
        Point(0.8, 3 / 7, 2 / 3),
        Point(0.7, 4 / 7, 3 / 4),
        Point(0.65, 5 / 7, 3 / 5),
        Point(0.6, 6 / 7, 3 / 6),
    ]


def test_a_long_curve_is_thinned_evenly_and_keeps_its_end() -> None:
    count = 1_234
    predicted = [Prediction("a", n / count) for n in range(count)]
    curve = score(["a"] * count, predicted, ["a"]).coverage
    assert len(curve) <= MAX_POINTS
    assert curve[-1] == Point(0.0, 1.0, 1.0)
    assert max(b.coverage - a.coverage for a, b in itertools.pairwise(curve)) < 1.1 / MAX_POINTS


answers = st.lists(
    st.tuples(
        st.sampled_from(["a", "b", "c", None]),
        st.sampled_from(["a", "b", "c", None]),
        st.sampled_from([0.0, 0.2, 0.5, 1.0]),
    ),
    min_size=1,
)


@settings(max_examples=25)
@given(answers.filter(lambda rows: any(label for label, _, _ in rows)))
def test_figures_agree_with_each_other(rows: list[tuple[str | None, str | None, float]]) -> None:
    gold = [label for label, _, _ in rows]
    predicted = [Prediction(label, score_) for _, label, score_ in rows]
    scores = score(gold, predicted, LABELS)
    weighted = math.fsum(s.recall * s.support for s in scores.labels) / scores.texts
    assert weighted == pytest.approx(scores.accuracy.value)
    assert sum(scores.confusion.values()) == scores.texts == sum(s.support for s in scores.labels)
    assert 0 <= scores.calibration_error <= 1
    if scores.coverage:
        accepted = [p.label is not None for p in predicted]
        assert scores.coverage[-1].coverage == sum(accepted) / len(rows)
