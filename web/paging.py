"""Pages of a list, as OpenAI has them: `limit` items after the id `after`."""

from __future__ import annotations

from typing import Any, Generic, TypeVar

from msgspec import Struct
from starlette.requests import Request

from stores.errors import InvalidRequest
from stores.paging import PageRequest
from web.openapi import query

LIMIT, MAX_LIMIT, MAX_DIGITS = 20, 100, 9
MAX_AFTER_CHARACTERS = 200


def parameters(highest_limit: int = MAX_LIMIT) -> tuple[dict[str, Any], ...]:
    """Of every list, for its operation; `highest_limit` as in `page_request`."""
    limit = f"How many at most; {LIMIT} by default."
    if highest_limit > MAX_LIMIT:
        limit += f" A page has at most {MAX_LIMIT}."
    return (
        query("limit", limit, type="integer", minimum=1, maximum=highest_limit),
        query(
            "after",
            "Where the page begins: `last_id` of the page before.",
            minLength=1,
            maxLength=MAX_AFTER_CHARACTERS,
        ),
    )


PARAMETERS = parameters()


_Item = TypeVar("_Item")


class ListAnswer(Struct, Generic[_Item], frozen=True):
    """Part of a list, and whether it goes on; a kind of items has a subclass, by whose name its schema goes."""

    data: list[_Item]
    first_id: str | None
    last_id: str | None
    has_more: bool
    object: str = "list"


_List = TypeVar("_List", bound=ListAnswer[Any])


def page_request(request: Request, highest_limit: int = MAX_LIMIT) -> PageRequest:
    """`InvalidRequest` for a `limit` or an `after` that no page has.

    A `limit` up to `highest_limit` is accepted; a page has at most `MAX_LIMIT` items all the same.
    """
    limit = request.query_params.get("limit", str(LIMIT))
    is_number = limit.isascii() and limit.isdigit() and len(limit) <= MAX_DIGITS
    if not is_number or not 1 <= int(limit) <= highest_limit:
        raise InvalidRequest(f"must be 1 to {highest_limit}", field="limit")
    after = request.query_params.get("after")
    if after is not None and not (after.isprintable() and 1 <= len(after) <= MAX_AFTER_CHARACTERS):
        raise InvalidRequest(f"must have 1 to {MAX_AFTER_CHARACTERS} printable characters", field="after")
    return PageRequest(min(int(limit), MAX_LIMIT), after)


def list_answer(kind: type[_List], items: list[Any], *, has_more: bool) -> _List:
    """`items`, each with its `id`."""
    first, last = (items[0].id, items[-1].id) if items else (None, None)
    return kind(items, first, last, has_more)
