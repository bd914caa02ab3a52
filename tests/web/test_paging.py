"""Pages of a list, as OpenAI has them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import urlencode

import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.requests import Request

from stores.errors import InvalidRequest
from web.paging import LIMIT, MAX_LIMIT, Page, page_of


@dataclass(frozen=True)
class Item:
    id: str


def items(count: int) -> list[Item]:
    return [Item(f"i{number}") for number in range(count)]


def page(items: Sequence[Item], **query: str) -> Page:
    return page_of(Request({"type": "http", "query_string": urlencode(query).encode(), "headers": []}), items)


def test_without_parameters_it_is_the_first_page() -> None:
    first = page(items(LIMIT + 1))
    assert (len(first.data), first.first_id, first.last_id) == (LIMIT, "i0", f"i{LIMIT - 1}")
    assert (first.has_more, first.object) == (True, "list")
    assert not page(items(LIMIT)).has_more


def test_an_empty_list_is_a_page_without_ids() -> None:
    assert page([]) == Page([], None, None, has_more=False)


@given(st.integers(0, 50), st.integers(1, MAX_LIMIT))
def test_page_after_page_is_the_whole_list(count: int, limit: int) -> None:
    expected, listed = items(count), list[Item]()
    after: dict[str, str] = {}
    while True:
        part = page(expected, limit=str(limit), **after)
        listed += part.data
        assert len(part.data) <= limit
        if not part.has_more:
            break
        assert part.last_id is not None
        after = {"after": part.last_id}
    assert listed == expected


def test_after_the_last_there_is_nothing() -> None:
    assert page(items(3), after="i2") == Page([], None, None, has_more=False)


@pytest.mark.parametrize("limit", ["0", "101", "-1", "1.5", "ten", "", "+5", "٣", "9" * 5_000, "0x10"])
def test_a_limit_out_of_bounds_is_refused(limit: str) -> None:
    with pytest.raises(InvalidRequest) as refusal:
        page(items(3), limit=limit)
    assert refusal.value.field == "limit"


@pytest.mark.parametrize("limit", ["1", "100", "007"])
def test_a_limit_within_bounds_is_taken(limit: str) -> None:
    assert len(page(items(200), limit=limit).data) == int(limit)


@pytest.mark.parametrize("after", ["i9", "", "I0"])
def test_an_id_that_is_not_in_the_list_is_refused(after: str) -> None:
    with pytest.raises(InvalidRequest) as refusal:
        page(items(3), after=after)
    assert refusal.value.field == "after"
