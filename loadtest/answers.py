"""Is an answer an answer to its question? Sends nothing."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

SUM_TOLERANCE = 1e-3


def fault_of(labels: Sequence[str], body: Any, kind: str = "inline") -> str | None:
    """What is wrong with a body of scores for `labels`; None when nothing is."""
    try:
        if kind == "hugging_face":
            pairs = [(str(one["label"]), float(one["score"])) for one in body]
        else:
            pairs = [(str(a), float(b)) for a, b in zip(body["labels"], body["scores"], strict=True)]
    except (KeyError, TypeError, ValueError, IndexError) as error:
        return f"not an answer: {error!r}"
    scores = [score for _, score in pairs]
    if sorted(label for label, _ in pairs) != sorted(labels):
        return "other labels than asked"
    if not all(math.isfinite(score) for score in scores):
        return "a score that is no number"
    if scores != sorted(scores, reverse=True):
        return "not sorted"
    if abs(sum(scores) - 1) > SUM_TOLERANCE:
        return f"scores sum to {sum(scores):.4f}"
    return None
