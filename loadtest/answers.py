"""Checks that an answer fits its request: the labels that were asked for, sorted, scores that sum to 1."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

SUM_TOLERANCE = 1e-3


def check_answer(labels: Sequence[str], body: Any, kind: str = "inline") -> str | None:
    """What is wrong with the decoded body of an answer for `labels`; None if nothing is."""
    try:
        if kind == "hugging_face":
            scored_labels = [(str(item["label"]), float(item["score"])) for item in body]
        else:
            scored_labels = [
                (str(label), float(score)) for label, score in zip(body["labels"], body["scores"], strict=True)
            ]
    except (KeyError, TypeError, ValueError, IndexError) as error:
        return f"malformed answer: {error!r}"
    scores = [score for _, score in scored_labels]
    if sorted(label for label, _ in scored_labels) != sorted(labels):
        return "labels differ from those asked for"
    if not all(math.isfinite(score) for score in scores):
        return "a score is not a finite number"
    if scores != sorted(scores, reverse=True):
        return "scores are not sorted"
    if abs(sum(scores) - 1) > SUM_TOLERANCE:
        return f"scores sum to {sum(scores):.4f}"
    return None
