"""Consoles of rich that print something at every width that a terminal, or COLUMNS, may claim."""

from __future__ import annotations

from rich import console

MIN_WIDTH = 20
"""Columns; in fewer, rich leaves out cells, and in none it prints nothing at all."""


class Console(console.Console):
    """As rich's, and never narrower than `MIN_WIDTH`."""

    @property  # type: ignore[misc]  # nobody sets it
    def size(self) -> console.ConsoleDimensions:
        width, height = super().size
        return console.ConsoleDimensions(max(width, MIN_WIDTH), height)
