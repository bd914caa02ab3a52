"""Pages of a list, as OpenAI has them: what a page is asked for with, and what it says."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import urlencode

import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.requests import Request

from stores.errors import InvalidRequest
from stores.paging import PageRequest, page_of
from web.paging import LIMIT, MAX_AFTER_CHARACTERS, MAX_LIMIT, PARAMETERS, ListAnswer, list_answer, page_request


@dataclass(frozen=True)
class Item:
    id: str


def asked(**query: str) -> PageRequest:
    return page_request(Request({"type": "http", "query_string": urlencode(query).encode(), "headers": []}))


def test_without_parameters_it_is_the_first_page() -> None:
    assert asked() == PageRequest(LIMIT, None)


@given(st.integers(1, MAX_LIMIT), st.from_regex(r"[a-z]{1,5}[-_]?[0-9a-f]{1,40}", fullmatch=True))
def test_a_page_is_as_long_as_asked_and_begins_after_an_id(limit: int, after: str) -> None:
    assert asked(limit=str(limit), after=after) == PageRequest(limit, after)


@pytest.mark.parametrize("limit", ["0", "101", "-1", "1.5", "ten", "", "+5", "٣", "9" * 5_000, "0x10"])
def test_a_limit_out_of_bounds_is_refused(limit: str) -> None:
    with pytest.raises(InvalidRequest) as refusal:
        asked(limit=limit)
    assert refusal.value.field == "limit"


@pytest.mark.parametrize("limit", ["1", "100", "007"])
def test_a_limit_within_bounds_is_taken(limit: str) -> None:
    assert asked(limit=limit).limit == int(limit)


@pytest.mark.parametrize("after", ["", "x" * (MAX_AFTER_CHARACTERS + 1), "a\x00b", "a\nb", "\ud7ff\u200b"])
def test_what_is_no_id_is_refused(after: str) -> None:
    with pytest.raises(InvalidRequest) as refusal:
        asked(after=after)
    assert refusal.value.field == "after"


def items(count: int) -> list[Item]:
    return [Item(f"i{number}") for number in range(count)]


def page(items: Sequence[Item], **query: str) -> ListAnswer:
    """Of a list that is in memory, as it is answered."""
    part = page_of(items, asked(**query), lambda item: item.id)
    return list_answer(list(part.items), has_more=part.has_more)


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


def test_without_parameters_a_page_has_20_items() -> None:
    first = page(items(LIMIT + 1))
    assert (len(first.data), first.first_id, first.last_id) == (LIMIT, "i0", f"i{LIMIT - 1}")
    assert (first.has_more, first.object) == (True, "list")
    assert not page(items(LIMIT)).has_more


def test_after_the_last_there_is_nothing() -> None:
    assert page(items(3), after="i2") == ListAnswer([], None, None, has_more=False)


@pytest.mark.parametrize("after", ["i9", "I0"])
def test_an_id_that_is_not_in_the_list_is_refused(after: str) -> None:
    with pytest.raises(InvalidRequest) as refusal:
        page(items(3), after=after)
    assert refusal.value.field == "after"


def test_a_page_names_its_first_and_its_last_and_whether_there_is_more() -> None:
    three = [Item("a"), Item("b"), Item("c")]
    assert list_answer(three, has_more=True) == ListAnswer(three, "a", "c", has_more=True)
    assert list_answer([Item("a")], has_more=False) == ListAnswer([Item("a")], "a", "a", has_more=False)
    assert list_answer([], has_more=False) == ListAnswer([], None, None, has_more=False)


def test_the_documents_parameters_have_the_same_bounds() -> None:
    limit, after = (parameter["schema"] for parameter in PARAMETERS)
    assert (limit["minimum"], limit["maximum"]) == (1, MAX_LIMIT)
    assert (after["minLength"], after["maxLength"]) == (1, MAX_AFTER_CHARACTERS)
