"""Logits of a text's pairs become ranked labels. The twin of `rank` in Triton; a test holds them equal.

Plain numbers and no arrays: most questions have a handful of labels, for which an array's overhead is most of
the time (3 labels: 2 instead of 7 µs; 256 labels: 60 instead of 20).
"""

from __future__ import annotations

import math
from collections.abc import Sequence

Logits = tuple[float, float, float]
"""Entailment, neutral, contradiction (ModelScope, zero_shot_classification_pipeline.py)."""
MOST = 80.0
"""Differences of logits beyond it are one, for they would overflow."""


def relations(logits: Logits) -> tuple[float, float, float]:
    """Probabilities of entailment, neutrality and contradiction of one pair: softmax over its three logits."""
    top = max(logits)
    odds = [math.exp(value - top) for value in logits]
    total = sum(odds)
    return odds[0] / total, odds[1] / total, odds[2] / total


def entailment(logits: Logits) -> float:
    """Probability of entailment of one pair by itself."""
    return relations(logits)[0]


def ranking(logits: Sequence[Logits], *, multi_label: bool) -> tuple[list[int], list[float]]:
    """Places, best first, and the scores by place.

    Softmax over the labels' entailment; for `multi_label` or a single label, over contradiction and entailment
    of each. Ties in reverse order of `logits`, as ModelScope's `reversed(argsort)` has them.
    """
    if multi_label or len(logits) == 1:
        scores = [1 / (1 + math.exp(max(-MOST, min(MOST, against - for_it)))) for for_it, _, against in logits]
    else:
        top = max(logits)[0]
        odds = [math.exp(for_it - top) for for_it, _, _ in logits]
        total = sum(odds)
        scores = [one / total for one in odds]
    return sorted(range(len(scores)), key=scores.__getitem__)[::-1], scores
