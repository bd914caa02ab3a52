from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from control_plane.worker.gateway_client import GatewayAnswer
from control_plane.worker.lines import MAX_LINE_BYTES, BatchLine, LineChecker, parse_line, result_of, split_lines
from stores.batches import LineResult
from tests.fakes.chunks import chunks_of


@given(st.lists(st.text(st.characters(exclude_characters="\n\r", exclude_categories=["Cs"]))), st.integers(1, 9))
def test_lines_are_the_same_wherever_the_chunks_are_cut(lines: list[str], size: int) -> None:
    content = "\n".join(lines).encode()

    async def read() -> list[tuple[int, bytes]]:
        return [line async for line in split_lines(chunks_of(content, size))]

    expected = [(n, line) for n, line in enumerate(content.split(b"\n")) if line.strip()]
    assert asyncio.run(read()) == expected


@pytest.mark.parametrize("size", [1, 2, 1_000])
async def test_a_byte_order_mark_is_no_part_of_the_first_line(size: int) -> None:
    for content in (b"\xef\xbb\xbfa\n\xef\xbb\xbfb", b"\xef\xbb\xbfa"):
        lines = [line async for _, line in split_lines(chunks_of(content, size))]
        assert lines == [b"a", b"\xef\xbb\xbfb"][: len(lines)]


def errors_of(*lines: object) -> tuple[int, list[LineResult]]:
    """How many lines there are, and the errors of those that cannot be asked for."""
    checker = LineChecker("batch_1")
    encoded = (line if isinstance(line, bytes) else json.dumps(line).encode() for line in lines)
    results = [checker.check(number, line) for number, line in enumerate(encoded)]
    return checker.total, [result for result in results if result is not None]


def test_good_lines_have_no_errors(good_line: dict[str, Any]) -> None:
    assert errors_of(good_line, good_line | {"custom_id": "b"}) == (2, [])


@pytest.mark.parametrize(
    ("line", "code", "custom_id"),
    [
        (b"{", "not_json", None),
        (b"\xff", "not_json", None),
        (b'{"custom_id": "b", "body": ' + b"[" * 1_000_000, "not_json", None),
        ([], "invalid_request", None),
        (b"x" * (MAX_LINE_BYTES + 1), "body_too_large", None),
        ({"custom_id": ""}, "invalid_request", None),
        ({"custom_id": "x" * 257}, "invalid_request", None),
        ({"custom_id": "b", "url": "/v1/tenants"}, "invalid_request", "b"),
        ({"custom_id": "b", "method": "GET"}, "invalid_request", "b"),
        ({"custom_id": "b", "more": 1}, "invalid_request", None),
        ({}, "invalid_request", "a"),
    ],
)
def test_a_bad_line_has_an_error_that_names_it(
    line: Any, code: str, custom_id: str | None, good_line: dict[str, Any]
) -> None:
    """A dictionary changes a good line; unchanged it has the custom_id of the line before."""
    total, (error,) = errors_of(good_line, good_line | line if isinstance(line, dict) else line)
    assert (total, error.line, error.failed) == (2, 1, True)
    content = json.loads(error.content)
    assert (content["id"], content["custom_id"], content["response"]) == ("batch_1_1", custom_id, None)
    assert (content["error"]["code"], content["error"]["line"]) == (code, 2)
    assert content["error"]["message"]


def test_a_line_without_a_body_has_an_error(good_line: dict[str, Any]) -> None:
    assert [error.line for error in errors_of(good_line, {"custom_id": "b"})[1]] == [1]


async def test_of_a_line_that_is_too_long_no_more_is_kept_than_shows_it() -> None:
    content = b"a\n" + b"x" * (2 * MAX_LINE_BYTES) + b"\nb"
    lines = [line async for line in split_lines(chunks_of(content, 1_000_000))]
    assert [(number, len(line)) for number, line in lines] == [(0, 1), (1, MAX_LINE_BYTES + 1), (2, 1)]
    unended = [line async for line in split_lines(chunks_of(b"x" * (2 * MAX_LINE_BYTES), 1_000_000))]
    assert [len(line) for _, line in unended] == [MAX_LINE_BYTES + 1]


async def test_others_have_their_turn_between_many_lines() -> None:
    turns = 0

    async def count() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    counting = asyncio.create_task(count())
    async for _ in split_lines(chunks_of(b"\n" * 100_000, 1_000_000)):
        pass
    counting.cancel()
    assert turns >= 100


@pytest.mark.parametrize(("status", "failed"), [(200, False), (422, True), (502, True)])
def test_a_result_is_a_line_with_the_answer_as_it_came(
    status: int, failed: bool, good_line: dict[str, Any]
) -> None:
    line: BatchLine = parse_line(json.dumps(good_line).encode())
    result = result_of("batch_1", 7, line, GatewayAnswer(status, {"scores": [0.5], "label": "投\n诉"}))
    assert (result.line, result.failed) == (7, failed)
    assert "\n" not in result.content
    assert json.loads(result.content) == {
        "id": "batch_1_7",
        "custom_id": "a",
        "response": {
            "status_code": status,
            "request_id": "batch_1_7",
            "body": {"scores": [0.5], "label": "投\n诉"},
        },
        "error": None,
    }
