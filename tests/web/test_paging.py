"""What a caller asks for of a list, and how a part of it is answered, as OpenAI has them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.requests import Request

from stores.errors import InvalidRequest
from stores.paging import MAX_PAGE_BYTES, Page, PageRequest, count_within, page_of
from web.paging import LIMIT, MAX_LIMIT, ListAnswer, list_answer, page_request


@dataclass(frozen=True)
class Item:
    id: str


def items(count: int) -> list[Item]:
    return [Item(f"i{number}") for number in range(count)]


def asked(highest_limit: int = MAX_LIMIT, **query: str) -> PageRequest:
    scope = {"type": "http", "query_string": urlencode(query).encode(), "headers": []}
    return page_request(Request(scope), highest_limit)


def test_without_parameters_it_is_the_first_page() -> None:
    assert asked() == PageRequest(LIMIT, None)


@pytest.mark.parametrize(
    "limit",
    ["0", "101", "-1", "1.5", "ten", "", "+5", "٣", "9" * 5_000, "0x10", "0000000019", "000000001" + "0" * 5_000],
)
def test_a_limit_out_of_bounds_is_refused(limit: str) -> None:
    with pytest.raises(InvalidRequest) as refusal:
        asked(limit=limit)
    assert refusal.value.field == "limit"


@pytest.mark.parametrize("limit", ["1", "100", "007"])
def test_a_limit_within_bounds_is_taken(limit: str) -> None:
    assert asked(limit=limit).limit == int(limit)


def test_a_limit_above_the_largest_page_is_that_page_where_the_list_accepts_it() -> None:
    assert asked(10_000, limit="10000").limit == MAX_LIMIT
    assert asked(10_000, limit="7").limit == 7
    with pytest.raises(InvalidRequest):
        asked(10_000, limit="10001")


@pytest.mark.parametrize("after", ["", "a\0", "\n", "x" * 201])
def test_an_after_that_is_no_id_is_refused(after: str) -> None:
    with pytest.raises(InvalidRequest) as refusal:
        asked(after=after)
    assert refusal.value.field == "after"


def test_a_list_is_answered_with_its_first_and_last_id() -> None:
    assert list_answer(ListAnswer[Any], items(3), has_more=True) == ListAnswer(items(3), "i0", "i2", has_more=True)
    assert list_answer(ListAnswer[Any], [], has_more=False) == ListAnswer([], None, None, has_more=False)


@given(st.integers(0, 50), st.integers(1, MAX_LIMIT))
def test_page_after_page_is_the_whole_list(count: int, limit: int) -> None:
    expected, listed = items(count), list[Item]()
    request = PageRequest(limit)
    while True:
        page = page_of(expected, request, lambda item: item.id)
        listed += page.items
        assert len(page.items) <= limit
        if not page.has_more:
            break
        request = PageRequest(limit, page.items[-1].id)
    assert listed == expected


def test_after_the_last_there_is_nothing() -> None:
    assert page_of(items(3), PageRequest(9, "i2"), lambda item: item.id) == Page([], has_more=False)


@pytest.mark.parametrize("after", ["i9", "", "I0"])
def test_an_id_that_is_not_in_the_list_is_refused(after: str) -> None:
    with pytest.raises(InvalidRequest) as refusal:
        page_of(items(3), PageRequest(9, after), lambda item: item.id)
    assert refusal.value.field == "after"


@given(st.lists(st.integers(0, 2 * MAX_PAGE_BYTES), max_size=10))
def test_a_page_has_as_many_contents_as_fit_and_one_at_least(sizes: list[int]) -> None:
    count = count_within(sizes)
    assert count >= min(len(sizes), 1)
    assert count <= 1 or sum(sizes[:count]) <= MAX_PAGE_BYTES
    assert count == len(sizes) or sum(sizes[: count + 1]) > MAX_PAGE_BYTES
