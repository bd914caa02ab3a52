"""Lists in pages, in OpenAI's shape: `limit` from after the id `after`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, TypeVar

from starlette.requests import Request

from gateway.api.shapes import Page
from gateway.errors import InvalidRequest

LIMIT, MAX_LIMIT = 20, 100


class _HasId(Protocol):
    @property
    def id(self) -> str: ...


_One = TypeVar("_One", bound=_HasId)


def page_of(request: Request, found: Sequence[_One]) -> Page:
    """`found` is in its order; an `after` that is not there is an `InvalidRequest`."""
    given = request.query_params.get("limit", str(LIMIT))
    if not given.isascii() or not given.isdigit() or not 1 <= int(given[:9]) <= MAX_LIMIT:
        raise InvalidRequest(f"1 to {MAX_LIMIT} is possible", field="limit")
    start, after = 0, request.query_params.get("after")
    if after is not None:
        places = [place for place, one in enumerate(found) if one.id == after]
        if not places:
            raise InvalidRequest("there is nothing with this id", field="after")
        start = places[0] + 1
    shown = found[start : start + int(given)]
    first, last = (shown[0].id, shown[-1].id) if shown else (None, None)
    return Page(list(shown), first, last, start + len(shown) < len(found))
