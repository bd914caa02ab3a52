"""A part of a list, so that no list is ever read whole: the values that stores take and return."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from stores.errors import InvalidRequest

MAX_PAGE_BYTES = 300_000
"""Of contents that are read at once; a single one may be larger. As many take 20 ms to decode and encode."""

_Item = TypeVar("_Item")


@dataclass(frozen=True, slots=True)
class PageRequest:
    limit: int
    """At most this many; fewer where their contents have more than `MAX_PAGE_BYTES`."""
    after: str | None = None
    """What the page before ended with; None: the first page."""


@dataclass(frozen=True, slots=True)
class Page(Generic[_Item]):
    items: Sequence[_Item]
    has_more: bool


def no_such_item() -> InvalidRequest:
    return InvalidRequest("no item has this id, or not any more; begin again with the first page", field="after")


def count_within(sizes: Iterable[int], max_bytes: int = MAX_PAGE_BYTES) -> int:
    """How many of `sizes`, in bytes, have `max_bytes` in all, counted from the first; at least one of some."""
    count, total = 0, 0
    for size in sizes:
        total += size
        if count and total > max_bytes:
            break
        count += 1
    return count


def page_of(items: Sequence[_Item], request: PageRequest, id_of: Callable[[_Item], str]) -> Page[_Item]:
    """A page of a list that is in memory anyway; `InvalidRequest` for an `after` that it does not have."""
    start = 0
    if request.after is not None:
        start = next((place for place, item in enumerate(items, 1) if id_of(item) == request.after), 0)
        if not start:
            raise no_such_item()
    end = start + request.limit
    return Page(items[start:end], end < len(items))
