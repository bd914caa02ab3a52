"""Pages of a list, as OpenAI has them: `limit` items after the id `after`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol, TypeVar

from msgspec import Struct
from starlette.requests import Request

from stores.errors import InvalidRequest
from web.openapi import query

LIMIT, MAX_LIMIT = 20, 100
PARAMETERS = (
    query("limit", f"How many; {LIMIT} by default.", type="integer", minimum=1, maximum=MAX_LIMIT),
    query("after", "The id after which the page begins."),
)
"""Of every paged list, for its operation."""


class Page(Struct, frozen=True):
    """Part of a list, and whether it goes on."""

    data: list[Any]
    first_id: str | None
    last_id: str | None
    has_more: bool
    object: str = "list"


class _HasId(Protocol):
    @property
    def id(self) -> str: ...


_Item = TypeVar("_Item", bound=_HasId)


def page_of(request: Request, items: Sequence[_Item]) -> Page:
    """A page of `items`, in their order; `InvalidRequest` for an `after` that is not among them."""
    limit = request.query_params.get("limit", str(LIMIT))
    if not limit.isascii() or not limit.isdigit() or not 1 <= int(limit[:9]) <= MAX_LIMIT:
        raise InvalidRequest(f"must be 1 to {MAX_LIMIT}", field="limit")
    start, after = 0, request.query_params.get("after")
    if after is not None:
        positions = [position for position, item in enumerate(items) if item.id == after]
        if not positions:
            raise InvalidRequest("no item has this id", field="after")
        start = positions[0] + 1
    page = items[start : start + int(limit)]
    first, last = (page[0].id, page[-1].id) if page else (None, None)
    return Page(list(page), first, last, start + len(page) < len(items))
