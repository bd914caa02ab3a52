"""Groups token rows of different lengths into batches with little padding."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

MIN_ROWS = 4
"""Rows up to which a batch may hold any padding: a smaller batch costs more in overhead than it saves."""
MAX_PADDING_PERCENT = 15
"""A larger batch is closed before padding becomes more than this part of its tokens."""


def plan_batches(
    lengths: Sequence[int], *, max_rows: int, max_padded_tokens: int, mixed: bool = True
) -> list[NDArray[np.int64]]:
    """Split rows of the given `lengths` (in tokens) into batches, shortest rows first.

    Unless they may be `mixed`, a batch holds rows of one length only.

    Returns the row indices of each batch, int64. A batch holds at most `max_rows` rows and `max_padded_tokens`
    tokens including padding, unless a single row is longer than that.
    """
    order = np.argsort(np.asarray(lengths), kind="stable")
    batches: list[NDArray[np.int64]] = []
    start, tokens = 0, 0
    for position, row in enumerate(order):
        length = int(lengths[row])
        rows = position - start + 1
        padded_tokens = rows * length
        padding = padded_tokens - tokens - length
        full = rows > max_rows or (rows > 1 and padded_tokens > max_padded_tokens)
        wasteful = rows > MIN_ROWS and 100 * padding > MAX_PADDING_PERCENT * padded_tokens
        if full or wasteful or (padding and not mixed):
            batches.append(order[start:position])
            start, tokens = position, 0
        tokens += length
    if len(order):
        batches.append(order[start:])
    return batches
