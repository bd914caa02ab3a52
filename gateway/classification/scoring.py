"""Logits of a text's pairs become ranked labels. The twin of `rank` in Triton; a test holds them equal.

Plain numbers and no arrays: most requests have a handful of labels, for which an array's overhead is most of the
time (3 labels: 2 instead of 7 µs; 256 labels: 60 instead of 20).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from operator import mul

from stores.correction import Correction

Logits = tuple[float, float, float]
"""Entailment, neutral, contradiction (ModelScope, zero_shot_classification_pipeline.py)."""
MAX_DIFFERENCE = 80.0
"""Of two logits; the exponential of a larger one could overflow."""


def relations(logits: Logits) -> tuple[float, float, float]:
    """Probabilities of entailment, neutrality and contradiction of one pair: softmax over its three logits."""
    largest = max(logits)
    odds = [math.exp(value - largest) for value in logits]
    total = sum(odds)
    return odds[0] / total, odds[1] / total, odds[2] / total


def entailment(logits: Logits) -> float:
    """Probability of entailment of one pair by itself."""
    return relations(logits)[0]


def corrected(logits: Sequence[Logits], correction: Correction, *, multi_label: bool) -> list[Logits]:
    """A text's logits with those of entailment changed, as `Correction` says."""
    if multi_label or len(logits) == 1:
        centres = [contradicts for _, _, contradicts in logits]
    else:
        centres = [sum(entails for entails, _, _ in logits) / len(logits)] * len(logits)
    offsets = [entails - centre for (entails, _, _), centre in zip(logits, centres, strict=True)]
    values = [
        centre + offset / correction.temperature + bias
        for centre, offset, bias in zip(centres, offsets, correction.biases, strict=True)
    ]
    if correction.map is not None:
        values = [
            value + sum(map(mul, weights, offsets)) for value, weights in zip(values, correction.map, strict=True)
        ]
    return [(value, neutral, contradicts) for value, (_, neutral, contradicts) in zip(values, logits, strict=True)]


def ranking(logits: Sequence[Logits], *, multi_label: bool) -> tuple[list[int], list[float]]:
    """Indices of the labels, best first, and the scores in the order of `logits`.

    Softmax over the labels' entailment; for `multi_label` or a single label, over contradiction and entailment
    of each. Ties in reverse order of `logits`, as ModelScope's `reversed(argsort)` has them.
    """
    if multi_label or len(logits) == 1:
        scores = [
            1 / (1 + math.exp(max(-MAX_DIFFERENCE, min(MAX_DIFFERENCE, contradicts - entails))))
            for entails, _, contradicts in logits
        ]
    else:
        largest = max(logits)[0]
        odds = [math.exp(entails - largest) for entails, _, _ in logits]
        total = sum(odds)
        scores = [odd / total for odd in odds]
    return sorted(range(len(scores)), key=scores.__getitem__)[::-1], scores
