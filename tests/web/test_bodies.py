"""Bodies are bounded by what decoding them costs, before they are decoded."""

from __future__ import annotations

import threading

import pytest
from msgspec import Struct

from stores.errors import InvalidRequest, NotJson
from web.bodies import MANY_BYTES, MAX_CONTAINERS, MAX_STRINGS, decode, decode_in_thread


class Body(Struct):
    values: list[str]


def body(item: bytes, count: int, end: bytes = b"]}") -> bytes:
    return b'{"values": [' + b", ".join([item] * count) + end


@pytest.mark.parametrize("item", [b'""', b'"a"', rb'"\\"', rb'"\""'])
def test_more_strings_than_any_request_needs_are_refused_before_they_are_decoded(item: bytes) -> None:
    """Even where the body is no JSON in the end: nobody has looked."""
    with pytest.raises(InvalidRequest, match=f"more than {MAX_STRINGS} strings"):
        decode(Body, body(item, 2 * MAX_STRINGS + 1, end=b"no JSON"))


@pytest.mark.parametrize("item", [b"[]", b"{}"])
def test_more_lists_and_objects_than_any_request_needs_are_refused_before_they_are_decoded(item: bytes) -> None:
    with pytest.raises(InvalidRequest, match=f"more than {MAX_CONTAINERS} lists and objects"):
        decode(Body, body(item, MAX_CONTAINERS + 1, end=b"no JSON"))


@pytest.mark.parametrize("text", ['"' * 2 * MAX_STRINGS, "\\" * 2 * MAX_STRINGS, '\\"' * MAX_STRINGS])
def test_a_text_may_have_any_number_of_quotation_marks(text: str) -> None:
    quoted = text.replace("\\", "\\\\").replace('"', '\\"').encode()
    assert decode(Body, body(b'"' + quoted + b'"', 1)).values == [text]


def test_as_many_strings_as_are_allowed_are_decoded() -> None:
    assert len(decode(Body, body(b'"a"', MAX_STRINGS - 1)).values) == MAX_STRINGS - 1


def test_what_is_no_json_is_said_to_be_none() -> None:
    with pytest.raises(NotJson):
        decode(Body, b"x" * (MANY_BYTES + 1))


@pytest.mark.parametrize(("size", "beside"), [(MANY_BYTES - 100, False), (MANY_BYTES, True)])
async def test_a_large_body_is_decoded_beside_the_event_loop(size: int, beside: bool) -> None:
    threads: list[int] = []

    class Noted(Body):
        def __post_init__(self) -> None:
            threads.append(threading.get_ident())

    assert (await decode_in_thread(Noted, body(b'"' + b"a" * size + b'"', 1))).values == ["a" * size]
    assert (threads != [threading.get_ident()]) is beside
    with pytest.raises(NotJson):
        await decode_in_thread(Noted, b"{" + b"a" * size)
