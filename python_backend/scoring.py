"""Ranks labels by their NLI logits, in ModelScope's order."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

ENTAILMENT, NEUTRAL, CONTRADICTION = 0, 1, 2
"""Columns of the logits, as in ModelScope's zero_shot_classification_pipeline.py."""


class Ranking(NamedTuple):
    """`order` (`[n]`, int64): label indices, best first; `scores` (`[n]`, float32) in that order."""

    order: NDArray[np.int64]
    scores: NDArray[np.float32]


def rank(logits: NDArray[np.float32], *, multi_label: bool) -> Ranking:
    """Rank labels by their logits (`[n, 3]`, float32) with the formulas of ModelScope's pipeline.

    Single-label: softmax of the entailment logits over the labels. Multi-label, or only one label: softmax of
    contradiction and entailment for each label. Ties come in reverse, as from ModelScope's
    `reversed(scores.argsort())`.
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
