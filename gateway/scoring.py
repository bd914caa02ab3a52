"""Logits of a text's pairs become ranked labels. The twin of `rank` in Triton; a test holds them equal."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

ENTAILMENT, CONTRADICTION = 0, 2
"""Columns of the logits (ModelScope, zero_shot_classification_pipeline.py); column 1 is neutral."""


def entailment(logits: NDArray[np.float32]) -> NDArray[np.float32]:
    """Probability of entailment of each pair by itself, `[n]`: softmax over its three logits (`[n, 3]`)."""
    odds = np.exp(logits - logits.max(axis=1, keepdims=True))
    probabilities: NDArray[np.float32] = odds[:, ENTAILMENT] / odds.sum(axis=1)
    return probabilities


def ranked(
    labels: Sequence[str], logits: NDArray[np.float32], *, multi_label: bool
) -> tuple[list[str], list[float]]:
    """Labels and scores, best first, of `logits` (`[labels, 3]` float32).

    Softmax over the labels' entailment; for `multi_label` or a single label, over contradiction and entailment
    of each. Ties in reverse order of `labels`, as ModelScope's `reversed(argsort)` has them.
    """
    if multi_label or len(labels) == 1:
        against = logits[:, CONTRADICTION] - logits[:, ENTAILMENT]
        scores = 1 / (1 + np.exp(np.clip(against, -80, 80)))
    else:
        odds = np.exp(logits[:, ENTAILMENT] - logits[:, ENTAILMENT].max())
        scores = odds / odds.sum()
    order = scores.argsort()[::-1]
    return [labels[i] for i in order], [float(scores[i]) for i in order]
