"""How the names of labels and variants are shown: without control characters, and cut to a width."""

from __future__ import annotations

from rich.cells import cell_len, set_cell_size

JOINERS = frozenset("\u200d\ufe0f")
"""Parts of emoji, which are not printable alone."""


def printable(text: str) -> str:
    """Without the characters that a terminal or a browser would obey, such as those that reverse the direction."""
    return "".join(
        character if character.isprintable() or character in JOINERS else "\ufffd" for character in text
    )


def cut(text: str, cells: int) -> str:
    """At most as wide as so many narrow characters."""
    text = printable(text)
    return text if cell_len(text) <= cells else set_cell_size(text, cells - 1) + "…"
