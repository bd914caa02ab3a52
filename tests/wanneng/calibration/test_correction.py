"""Corrections of logits that are drawn so that it is known what can be learned from them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from gateway.classification.scoring import corrected
from stores.correction import MAX_MAP_LABELS as MAX_ACCEPTED
from stores.correction import Correction as Stored
from stores.correction import validate_correction
from wanneng.calibration.correction import (
    CANDIDATES,
    MAX_MAP_LABELS,
    TEMPERATURE,
    Candidate,
    Examples,
    Logits,
    apply,
    fit,
    halved_means,
    learn,
)


def drawn(labels: int, each: int, *, offsets: Any = 0.0, signal: float = 2.0, seed: int = 0) -> Examples:
    """`each` texts of every label, whose logit is `signal` above noise; `offsets` are added to the labels."""
    rng = np.random.default_rng(seed)
    targets = np.repeat(np.arange(labels), each)
    applies = np.eye(labels, dtype=bool)[targets]
    return Examples(rng.normal(size=applies.shape) + signal * applies + offsets, applies, one_by_one=False)


def accuracy(logits: Logits, examples: Examples) -> float:
    return float((logits.argmax(1) == examples.applies.argmax(1)).mean())


def test_a_label_that_takes_the_texts_of_others_is_held_back() -> None:
    offsets = np.array([4.0, 0, 0, 0, 0, 0])
    correction, judgements = learn(drawn(6, 8, offsets=offsets))
    unseen = drawn(6, 100, offsets=offsets, seed=1)
    assert correction is not None
    assert any(judgement.kept for judgement in judgements)
    corrected_logits = apply(correction, unseen.logits, one_by_one=False)
    assert accuracy(corrected_logits, unseen) > accuracy(unseen.logits, unseen) + 0.2


@pytest.mark.parametrize("seed", range(8))
def test_no_best_label_changes_where_the_model_is_right_already(seed: int) -> None:
    """Every label behaves like the others: any correction is learned from chance, a temperature perhaps too."""
    _, judgements = learn(drawn(8, 8, seed=seed))
    assert not any(judgement.kept for judgement in judgements if judgement.candidate != TEMPERATURE)


def test_scores_that_are_as_sure_as_they_should_be_stay() -> None:
    """With a signal of 1 above noise of 1, the softmax is the probability."""
    correction, _ = learn(drawn(8, 8, signal=1.0))
    assert correction is None


@pytest.mark.parametrize("factor", [0.3, 3.0])
def test_scores_that_are_too_high_or_too_low_get_a_temperature_alone(factor: float) -> None:
    known, unseen = (drawn(8, 8, signal=1.0, seed=seed) for seed in (0, 1))
    correction, judgements = learn(Examples(factor * known.logits, known.applies, one_by_one=False))
    assert correction is not None
    assert [judgement.candidate for judgement in judgements if judgement.kept] == [TEMPERATURE]
    assert not any(correction.biases)
    assert correction.map is None
    assert correction.temperature == pytest.approx(factor, rel=0.4)
    logits = apply(correction, factor * unseen.logits, one_by_one=False)
    assert (logits.argmax(1) == unseen.logits.argmax(1)).all()


def test_labels_that_stand_for_one_another_need_a_map() -> None:
    """Texts of the first label raise the logit of the second, and the other way round."""
    straight = drawn(6, 16, signal=3)
    swapped = Examples(straight.logits[:, [1, 0, 2, 3, 4, 5]], straight.applies, one_by_one=False)
    correction, _ = learn(swapped)
    assert correction is not None
    assert correction.map is not None
    unseen = drawn(6, 100, signal=3, seed=1)
    logits = unseen.logits[:, [1, 0, 2, 3, 4, 5]]
    assert accuracy(apply(correction, logits, one_by_one=False), unseen) > accuracy(logits, unseen) + 0.1


def test_without_labels_the_means_of_labels_differ_half_as_much() -> None:
    texts = drawn(4, 20, offsets=np.array([3.0, 0, -2, 0])).logits
    before, after = texts.mean(0), apply(halved_means(texts), texts, one_by_one=False).mean(0)
    assert after - after.mean() == pytest.approx((before - before.mean()) / 2, abs=1e-3)


def test_labels_scored_one_by_one_learn_when_they_apply() -> None:
    """The model says 2 too much of each; half of the texts have none of the labels."""
    rng = np.random.default_rng(0)
    applies = rng.random((80, 3)) < 0.3
    logits = rng.normal(size=applies.shape) + 4 * applies
    correction, _ = learn(Examples(logits, applies, one_by_one=True))
    assert correction is not None
    assert correction.map is None
    assert all(-4 < bias < -0.5 for bias in correction.biases)


def test_the_same_examples_give_the_same_correction() -> None:
    examples = drawn(5, 8, offsets=np.array([3.0, 0, 0, 0, 0]))
    assert learn(examples)[0] == learn(examples)[0]


@pytest.mark.parametrize(
    ("candidate", "one_by_one"),
    [(candidate, False) for candidate in (TEMPERATURE, *CANDIDATES)]
    + [(TEMPERATURE, True), (CANDIDATES[1], True)],
    ids=lambda value: getattr(value, "name", value),
)
def test_the_gateway_applies_it_as_it_was_learned_and_the_control_plane_accepts_it(
    candidate: Candidate, one_by_one: bool
) -> None:
    examples = drawn(5, 8, offsets=np.array([3.0, 0, 0, 0, -1]))
    known = Examples(examples.logits, examples.applies, one_by_one=one_by_one)
    learned = fit(candidate, known)
    stored = Stored(learned.biases, learned.temperature, learned.map)
    validate_correction(stored, 5, multi_label=one_by_one)
    expected = apply(learned, examples.logits, one_by_one=one_by_one)
    for row, wanted in zip(examples.logits, expected, strict=True):
        changed = corrected([(float(value), 0.5, 0.0) for value in row], stored, multi_label=one_by_one)
        assert [value for value, _, _ in changed] == pytest.approx(list(wanted))
        assert {(neutral, contradicts) for _, neutral, contradicts in changed} == {(0.5, 0.0)}


def test_both_sides_allow_maps_of_equally_many_labels() -> None:
    assert MAX_MAP_LABELS == MAX_ACCEPTED
