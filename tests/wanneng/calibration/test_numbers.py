"""The numbers that `wanneng calibrate` stores with a version."""

from __future__ import annotations

from datetime import UTC, datetime

from tests.wanneng.calibration.test_learning import label_set
from wanneng.calibration.label_logits import TextLogits
from wanneng.calibration.numbers import evaluation_of
from wanneng.client import Correction, Evaluation
from wanneng.examples import Example

AT = datetime(2026, 11, 26, tzinfo=UTC)
SURE, UNSURE = 3.0, -3.0
"""Logits of entailment; with a threshold of 0.5 the second is none of the labels."""


def text(first: float, second: float, model_version: str = "e1") -> TextLogits:
    return TextLogits((first, second), (first, second), model_version)


def test_answers_of_the_new_version_are_counted_beside_those_of_the_present_one() -> None:
    labelled = [Example("a", "投诉"), Example("b", "咨询"), Example("c", None)]
    logits = [text(SURE, UNSURE), text(SURE, 2.0), text(UNSURE, -4.0), text(UNSURE, 1.0)]
    learned = Correction((0.0, 2.0))
    assert evaluation_of(label_set("投诉", "咨询"), labelled, logits, learned, 0.5, AT) == Evaluation(
        evaluated_at=AT,
        model_version="e1",
        texts=4,
        labelled=2,
        correct=2,
        none_of_these=1,
        compared_with=3,
        changed=2,
        in_sample=True,
    )


def test_the_present_versions_own_correction_and_threshold_apply_to_it() -> None:
    kept = Correction((0.0, 2.0))
    current = label_set("投诉", "咨询", correction=kept, threshold=0.5)
    found = evaluation_of(current, [], [text(SURE, 2.0), text(UNSURE, -4.0)], kept, 0.5, AT)
    assert (found.changed, found.none_of_these, found.in_sample) == (0, 1, False)
    lower = evaluation_of(current, [], [text(SURE, 2.0), text(UNSURE, -4.0)], kept, 0.01, AT)
    assert (lower.changed, lower.none_of_these, lower.accuracy) == (1, 0, None)


def test_answers_of_several_engines_name_none() -> None:
    found = evaluation_of(label_set("投诉", "咨询"), [], [text(1, 0), text(1, 0, "e2")], None, None, AT)
    assert found.model_version is None
