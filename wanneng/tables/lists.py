"""Names in a message, however many and however long they are."""

from __future__ import annotations

from collections.abc import Sequence

MAX_LISTED, MAX_CHARACTERS, MAX_SAMPLE_CHARACTERS = 20, 40, 12


def listed(names: Sequence[str]) -> str:
    """In quotes, the first of them where there are many."""
    return _joined([repr(_cut(name)) for name in names[:MAX_LISTED]], len(names))


def numbered(names: Sequence[str], samples: Sequence[str] = ()) -> str:
    """The columns of a table by position and name, or by a sample of what they hold."""
    if samples:
        items = [
            f"{number} ({_cut(text, MAX_SAMPLE_CHARACTERS)!r})"
            for number, text in enumerate(samples[:MAX_LISTED], 1)
        ]
    else:
        items = [f"{number} {_cut(name)!r}" for number, name in enumerate(names[:MAX_LISTED], 1)]
    return _joined(items, len(samples or names))


def _cut(text: str, characters: int = MAX_CHARACTERS) -> str:
    return text if len(text) <= characters else text[:characters] + "…"


def _joined(items: Sequence[str], count: int) -> str:
    more = f" and {count - MAX_LISTED} more" if count > MAX_LISTED else ""
    return ", ".join(items) + more
