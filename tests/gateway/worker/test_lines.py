import asyncio
import json
from collections.abc import AsyncIterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.worker.lines import check_lines, lines_of

GOOD = {"custom_id": "a", "method": "POST", "url": "/v1/classify", "body": {"text": "x", "labels": "y"}}


async def pieces(content: bytes, size: int) -> AsyncIterator[bytes]:
    for start in range(0, len(content), size):
        yield content[start : start + size]


@given(st.lists(st.text(st.characters(exclude_characters="\n\r", exclude_categories=["Cs"]))), st.integers(1, 9))
def test_lines_are_the_same_wherever_the_pieces_are_cut(lines: list[str], size: int) -> None:
    content = "\n".join(lines).encode()

    async def read() -> list[tuple[int, bytes]]:
        return [line async for line in lines_of(pieces(content, size))]

    wanted = [(n, line) for n, line in enumerate(content.split(b"\n")) if line.strip()]
    assert asyncio.run(read()) == wanted


async def check(*lines: object, most: int = 10) -> tuple[int, list[tuple[str, int | None]]]:
    said = (line if isinstance(line, bytes) else json.dumps(line).encode() for line in lines)
    total, errors = await check_lines(lines_of(pieces(b"\n".join(said), 7)), most)
    return total, [(error.code, error.line) for error in errors]


async def test_good_lines_have_no_errors_and_empty_ones_do_not_count() -> None:
    assert await check(GOOD, b"", GOOD | {"custom_id": "b"}, b"  ") == (2, [])


@pytest.mark.parametrize(
    ("line", "code"),
    [
        (b"{", "not_json"),
        (b"\xff", "not_json"),
        ([], "invalid_request"),
        (GOOD | {"custom_id": ""}, "invalid_request"),
        (GOOD | {"custom_id": "x" * 257}, "invalid_request"),
        (GOOD | {"url": "/v1/tenants"}, "invalid_request"),
        (GOOD | {"method": "GET"}, "invalid_request"),
        (GOOD | {"more": 1}, "invalid_request"),
        ({"custom_id": "b"}, "invalid_request"),
        (GOOD, "invalid_request"),
    ],
)
async def test_a_bad_line_is_named(line: object, code: str) -> None:
    assert await check(GOOD, line) == (2, [(code, 2)])


async def test_no_lines_and_too_many_are_refused() -> None:
    assert await check() == (0, [("empty_file", None)])
    many = [GOOD | {"custom_id": str(n)} for n in range(4)]
    assert await check(*many, most=3) == (4, [("too_many_lines", None)])
