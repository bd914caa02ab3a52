"""Labels that no task has, on which a network follows its teacher."""

from __future__ import annotations

from torch import Tensor, nn

from training.data.batches import LengthSortedTask
from training.data.hypotheses import ALL_LABEL_NAMES

WORDS_TASK = "words"
"""The task whose labels are words."""


def open_label_pools(tasks: dict[str, LengthSortedTask], min_labels: int) -> list[list[str]]:
    """All label names, and the words, as far as there are `min_labels` of them."""
    words = tasks[WORDS_TASK].labels if WORDS_TASK in tasks else []
    return [pool for pool in (ALL_LABEL_NAMES, words) if len(pool) >= min_labels]


def divergence(scores: Tensor, taught: Tensor) -> Tensor:
    """Kullback-Leibler divergence of the distributions over labels; both are scores `[texts, labels]`."""
    return nn.functional.kl_div(
        scores.log_softmax(1), taught.log_softmax(1), log_target=True, reduction="batchmean"
    )
