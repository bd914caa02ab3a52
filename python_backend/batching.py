"""Rows of many requests become few runs that waste little padding, and go back to their requests. Pure."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

MIN_ROWS = 4
"""Below this a run costs more in overhead than its padding would."""
MAX_WASTE = 0.15
"""A group is closed when padding would be more than this share of its cells."""


def plan_runs(lengths: Sequence[int], *, max_rows: int, max_cells: int) -> list[NDArray[np.int64]]:
    """Indices of the rows of each run, shortest rows first.

    `lengths`: tokens of each row. A run holds at most `max_rows` rows and `max_cells` padded tokens (a single
    row may be longer than that), and is closed early when its padding would exceed `MAX_WASTE`.
    """
    order = np.argsort(np.asarray(lengths), kind="stable")
    runs: list[NDArray[np.int64]] = []
    start, tokens = 0, 0
    for place, row in enumerate(order):
        length = int(lengths[row])
        rows = place - start + 1
        cells = rows * length
        padding = cells - tokens - length
        full = rows > max_rows or (rows > 1 and cells > max_cells)
        wasteful = rows > MIN_ROWS and padding > MAX_WASTE * cells
        if full or wasteful:
            runs.append(order[start:place])
            start, tokens = place, 0
        tokens += length
    if len(order):
        runs.append(order[start:])
    return runs
