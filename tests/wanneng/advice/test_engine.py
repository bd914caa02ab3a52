"""The embedded model on sentences of our own: what a check finds in its real scores."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from wanneng.advice.check import Advice, Check, Subject
from wanneng.evaluation.engine_target import EngineTarget

ROOT = Path(__file__).parents[3]
TEXTS = (ROOT / "tests/data/unlabelled_shop_texts.txt").read_text(encoding="utf-8").splitlines()


@pytest.fixture(scope="module")
def engine() -> EngineTarget:
    return EngineTarget(ROOT / "embedded")


def check(
    engine: EngineTarget,
    labels: Sequence[str],
    texts: Sequence[str] = TEXTS,
    wanted: Mapping[str, Sequence[str]] | None = None,
) -> Advice:
    return Check(engine, Subject(labels), texts, lambda done, total: None).run([], wanted or {})


def test_refunds_and_returns_are_confusable_and_deliveries_are_not(engine: EngineTarget) -> None:
    advice = check(engine, ["退款", "退货", "物流"])
    assert [pair.labels for pair in advice.confusable] == [("退款", "退货")]
    assert advice.dominant == []


def test_a_label_for_the_rest_is_dominant_beside_labels_without_meaning(engine: EngineTarget) -> None:
    """Returns and deliveries, under names that say nothing about them."""
    advice = check(engine, ["A类", "B类", "其他"], TEXTS[:40], {"B类": ["物流", "C类"]})
    assert [label.label for label in advice.dominant] == ["其他"]
    assert [(found.label, found.wording) for found in advice.proposed_wordings] == [("B类", "物流")]
    assert check(engine, ["退货", "物流", "其他"], TEXTS[:40]).dominant == []
