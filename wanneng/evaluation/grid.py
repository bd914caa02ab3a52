"""A table for a terminal, aligned where labels have wide characters."""

from __future__ import annotations

from collections.abc import Sequence

from rich.cells import cell_len, set_cell_size

from wanneng.evaluation.names import cut as shortened

MAX_NAME_CELLS = 40
"""Width of a name, in cells of a terminal."""


def grid(head: Sequence[str], rows: Sequence[Sequence[str]], texts: int = 1) -> list[str]:
    """The first `texts` columns are aligned to the left, the others to the right."""
    cells = [[shortened(cell, MAX_NAME_CELLS) for cell in row] for row in (head, *rows)]
    widths = [max(cell_len(row[column]) for row in cells) for column in range(len(head))]
    return [
        "  ".join(
            set_cell_size(cell, width) if column < texts else " " * (width - cell_len(cell)) + cell
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        for row in cells
    ]
