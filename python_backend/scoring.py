"""NLI logits become label scores in ModelScope's order. Knows nothing about tokens."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

ENTAILMENT, NEUTRAL, CONTRADICTION = 0, 1, 2
"""Columns of the logits; fixed by ModelScope's zero_shot_classification_pipeline.py."""


class Ranking(NamedTuple):
    """`order` (`[n]`, int64): indices of the labels, best first; `scores` (`[n]`, float32) in that order."""

    order: NDArray[np.int64]
    scores: NDArray[np.float32]


def rank(logits: NDArray[np.float32], *, multi_label: bool) -> Ranking:
    """Scores of `logits` (`[n, 3]`, float32).

    One answer among several labels: softmax over the labels' entailment logits. Multi-label, or a single label:
    softmax over contradiction and entailment for each label. Ties come in reverse, as
    `reversed(scores.argsort())` gives them in ModelScope.
    """
    if multi_label or len(logits) == 1:
        scores = _softmax(logits[:, [CONTRADICTION, ENTAILMENT]])[:, 1]
    else:
        scores = _softmax(logits[:, ENTAILMENT])
    order = scores.argsort()[::-1]
    return Ranking(order, scores[order])


def _softmax(values: NDArray[np.float32]) -> NDArray[np.float32]:
    shifted = np.exp(values - values.max(axis=-1, keepdims=True))
    return np.asarray(shifted / shifted.sum(axis=-1, keepdims=True), dtype=np.float32)
