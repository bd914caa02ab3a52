"""An evaluation as JSON: sorted keys and rounded figures, so that the same input gives the same bytes."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from wanneng.evaluation.compare import Comparison
from wanneng.evaluation.metrics import Point, Scores
from wanneng.evaluation.run import Evaluation, Result
from wanneng.evaluation.sentences import in_english
from wanneng.text_io import shown_name

DIGITS = 4
REFUSED = ""
"""The predicted label of a refused text; no label is empty."""


def as_json(evaluation: Evaluation) -> str:
    """Ends in a line feed."""
    return json.dumps(content(evaluation), ensure_ascii=False, indent=1, sort_keys=True, allow_nan=False) + "\n"


def content(evaluation: Evaluation) -> dict[str, Any]:
    """The values of the report."""
    examples = evaluation.examples
    return {
        "examples": {
            "source": shown_name(examples.source),
            "texts": len(examples.items),
            "unlabelled": examples.unlabelled,
            "labels": {label: examples.counts()[label] for label in evaluation.labels},
        },
        "variants": [_variant(result) for result in evaluation.results],
        "comparisons": [_comparison(evaluation, comparison) for comparison in evaluation.comparisons],
    }


def _variant(result: Result) -> dict[str, Any]:
    variant, question = result.variant, result.variant.question
    asked: dict[str, Any] = {
        "label_set": question.label_set,
        "template": question.template,
        "multi_label": question.multi_label or None,
        "wording": variant.wording or None,
    }
    return {
        "name": variant.name,
        "target": dict(variant.target.describe()) | ({"model": result.model} if result.model else {}),
        **{name: value for name, value in asked.items() if value is not None},
        **_scores(result.scores),
    }


def _scores(scores: Scores) -> dict[str, Any]:
    confusion: dict[str, dict[str, int]] = {}
    for (label, predicted), count in scores.confusion.items():
        confusion.setdefault(label, {})[predicted or REFUSED] = count
    return {
        "texts": scores.texts,
        "refused": scores.refused,
        "accuracy": _rounded(asdict(scores.accuracy)),
        "macro_f1": _rounded(asdict(scores.macro_f1)),
        "expected_calibration_error": round(scores.calibration_error, DIGITS),
        "labels": [_rounded(asdict(label)) for label in scores.labels],
        "confusion": confusion,
        "reliability": [_rounded(asdict(found)) for found in scores.reliability],
        "coverage": _points(scores.coverage),
        "thresholds": _points(scores.thresholds),
    }


def _comparison(evaluation: Evaluation, comparison: Comparison) -> dict[str, Any]:
    return {
        "first": evaluation.results[comparison.first].variant.name,
        "second": evaluation.results[comparison.second].variant.name,
        "only_first": comparison.only_first,
        "only_second": comparison.only_second,
        "difference": _rounded(asdict(comparison.difference)),
        "p_value": float(f"{comparison.p_value:.4g}"),
        "adjusted_p_value": float(f"{comparison.adjusted_p_value:.4g}"),
        "significant": comparison.is_significant,
        "sentence": in_english(evaluation, comparison),
    }


def _points(points: Sequence[Point]) -> list[dict[str, Any]]:
    return [_rounded(asdict(point)) for point in points]


def _rounded(values: dict[str, Any]) -> dict[str, Any]:
    return {name: round(value, DIGITS) if isinstance(value, float) else value for name, value in values.items()}
