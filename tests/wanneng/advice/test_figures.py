"""The tests of labels and pairs, and the information of scores, against their definitions."""

from __future__ import annotations

import math
import random
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.wanneng.advice.scorers import softmax
from wanneng.advice.figures import (
    CONFUSABLE_SHARE,
    binomial_tail,
    dominant_share,
    gain,
    information,
    label_figures,
    mean_interval,
    pair_figures,
)

CLEAR = {"a": (0.9, 0.05, 0.05), "b": (0.05, 0.9, 0.05), "c": (0.05, 0.05, 0.9)}
LABELS = ["退款", "退货", "物流"]
SETS = 200


def drawn(texts: int, labels: int, spread: float, seed: int = 0) -> list[tuple[float, ...]]:
    numbers = random.Random(seed)
    return [softmax([numbers.gauss(0, spread) for _ in range(labels)]) for _ in range(texts)]


@given(st.integers(1, 60), st.integers(0, 60), st.sampled_from([Fraction(1, 4), Fraction(2, 3), Fraction(9, 10)]))
def test_the_binomial_tail_is_exact(total: int, successes: int, share: Fraction) -> None:
    expected = sum(
        math.comb(total, k) * share**k * (1 - share) ** (total - k) for k in range(successes, total + 1)
    )
    expected = Fraction(1) if successes <= share * total else expected
    assert binomial_tail(successes, total, float(share)) == pytest.approx(float(expected), rel=1e-9)


def test_labels_that_are_close_in_most_texts_are_confusable() -> None:
    scores = [(0.5, 0.4, 0.1)] * 10 + [(0.4, 0.5, 0.1)] * 8 + [CLEAR["a"], CLEAR["b"], *[CLEAR["c"]] * 10]
    first, *others = pair_figures(LABELS, scores)
    assert (first.labels, first.close, first.texts, first.is_confusable) == (("退款", "退货"), 18, 20, True)
    assert first.share.value == 0.9
    assert others == []


def test_half_of_the_best_score_is_close_and_less_is_not() -> None:
    assert pair_figures(LABELS, [(0.6, 0.3, 0.1)])[0].close == 1
    assert pair_figures(LABELS, [(0.6, 0.29, 0.11)]) == []


def test_a_pair_that_is_close_now_and_then_is_not_confusable() -> None:
    scores = [(0.5, 0.4, 0.1)] * 6 + [CLEAR["a"]] * 14
    (pair,) = pair_figures(LABELS, scores)
    assert pair.share.value > CONFUSABLE_SHARE
    assert not pair.is_confusable


def test_few_texts_show_nothing() -> None:
    assert not pair_figures(LABELS, [(0.5, 0.4, 0.1)] * 2)[0].is_confusable
    assert not any(label.is_dominant for label in label_figures(LABELS, [CLEAR["a"]] * 5))


def test_a_label_that_is_first_nearly_always_is_dominant() -> None:
    figures = label_figures(LABELS, [CLEAR["c"]] * 29 + [CLEAR["a"]])
    assert [label.is_dominant for label in figures] == [False, False, True]
    assert [label.first for label in figures] == [1, 0, 29]
    assert figures[2].mean_score == pytest.approx((29 * 0.9 + 0.05) / 30)


def test_a_label_that_is_frequent_is_not_dominant() -> None:
    figures = label_figures(LABELS, [CLEAR["c"]] * 18 + [CLEAR["a"]] * 6 + [CLEAR["b"]] * 6)
    assert not any(label.is_dominant for label in figures)
    assert [dominant_share(count) for count in (2, 4, 10)] == [0.9, 0.5, 0.2]


def close_by_chance(labels: int, numbers: random.Random) -> list[float]:
    """Scores of a text: each label that is not the best is close to it in `CONFUSABLE_SHARE` of such texts."""
    scores = [0.9 if numbers.random() < CONFUSABLE_SHARE else 0.1 for _ in range(labels)]
    scores[numbers.randrange(labels)] = 1.0
    return scores


def first_by_chance(labels: int, numbers: random.Random) -> list[float]:
    """Scores of a text: as many labels as can be are the best one in `dominant_share` of all texts."""
    scores = [0.0] * labels
    scores[int(numbers.random() / dominant_share(labels))] = 1.0
    return scores


@pytest.mark.parametrize(("labels", "texts"), [(5, 60), (12, 200)])
def test_labels_at_the_limits_rarely_give_advice(labels: int, texts: int) -> None:
    """None is beyond its limit: there is an alarm in 5% of such sets at most, however many are tested."""
    names, confusable, dominant = [str(number) for number in range(labels)], 0, 0
    for seed in range(SETS):
        numbers = random.Random(seed)
        pairs = pair_figures(names, [close_by_chance(labels, numbers) for _ in range(texts)])
        confusable += any(pair.is_confusable for pair in pairs)
        firsts = label_figures(names, [first_by_chance(labels, numbers) for _ in range(texts)])
        dominant += any(label.is_dominant for label in firsts)
    assert confusable <= 0.05 * SETS
    assert dominant <= 0.05 * SETS


def test_information_is_the_entropy_of_the_mean_less_the_mean_entropy() -> None:
    def entropy(row: list[float]) -> float:
        return -sum(value * math.log2(value) for value in row if value)

    scores = drawn(50, 4, 2.0)
    means = [sum(column) / 50 for column in zip(*scores, strict=True)]
    expected = entropy(means) - sum(entropy(list(row)) for row in scores) / 50
    assert mean_interval(information(scores)).value == pytest.approx(expected)


def test_information_is_0_for_one_answer_to_all_and_2_bits_for_four_certain_labels() -> None:
    assert information([(0.7, 0.2, 0.1)] * 5) == pytest.approx([0] * 5)
    certain = [tuple(float(column == row) for column in range(4)) for row in range(4)]
    assert information(certain) == pytest.approx([2] * 4)


def test_the_interval_of_a_gain_is_that_of_a_bootstrap() -> None:
    present, new = drawn(200, 5, 1.0, 1), drawn(200, 5, 1.3, 2)
    found = gain(new, present)
    numbers, differences = random.Random(3), []
    for _ in range(400):
        chosen = numbers.choices(range(200), k=200)
        both = [[scores[position] for position in chosen] for scores in (new, present)]
        differences.append(mean_interval(information(both[0])).value - mean_interval(information(both[1])).value)
    differences.sort()
    assert found.bits.low == pytest.approx(differences[10], abs=0.04)
    assert found.bits.high == pytest.approx(differences[-11], abs=0.04)
    assert found.p_value < 0.001


def test_no_difference_is_no_gain() -> None:
    scores = drawn(30, 3, 1.0)
    assert gain(scores, scores).p_value == 1.0
    assert gain(scores, scores).bits.value == 0.0
