from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from control_plane.worker.gateway_client import GatewayAnswer
from control_plane.worker.lines import BatchLine, parse_line, result_of, split_lines, validate_lines
from tests.fakes.chunks import chunks_of


@given(st.lists(st.text(st.characters(exclude_characters="\n\r", exclude_categories=["Cs"]))), st.integers(1, 9))
def test_lines_are_the_same_wherever_the_chunks_are_cut(lines: list[str], size: int) -> None:
    content = "\n".join(lines).encode()

    async def read() -> list[tuple[int, bytes]]:
        return [line async for line in split_lines(chunks_of(content, size))]

    expected = [(n, line) for n, line in enumerate(content.split(b"\n")) if line.strip()]
    assert asyncio.run(read()) == expected


async def validate(*lines: object, max_lines: int = 10) -> tuple[int, list[tuple[str, int | None]]]:
    encoded = (line if isinstance(line, bytes) else json.dumps(line).encode() for line in lines)
    total, errors = await validate_lines(split_lines(chunks_of(b"\n".join(encoded), 7)), max_lines)
    return total, [(error.code, error.line) for error in errors]


async def test_good_lines_have_no_errors_and_empty_ones_do_not_count(good_line: dict[str, Any]) -> None:
    assert await validate(good_line, b"", good_line | {"custom_id": "b"}, b"  ") == (2, [])


@pytest.mark.parametrize(
    ("line", "code"),
    [
        (b"{", "not_json"),
        (b"\xff", "not_json"),
        ([], "invalid_request"),
        ({"custom_id": ""}, "invalid_request"),
        ({"custom_id": "x" * 257}, "invalid_request"),
        ({"url": "/v1/tenants"}, "invalid_request"),
        ({"method": "GET"}, "invalid_request"),
        ({"more": 1}, "invalid_request"),
        ({}, "invalid_request"),
    ],
)
async def test_a_bad_line_is_named(line: Any, code: str, good_line: dict[str, Any]) -> None:
    """A dictionary changes a good line; unchanged it has the custom_id of the line before."""
    assert await validate(good_line, good_line | line if isinstance(line, dict) else line) == (2, [(code, 2)])


async def test_a_line_without_a_body_is_named(good_line: dict[str, Any]) -> None:
    assert await validate(good_line, {"custom_id": "b"}) == (2, [("invalid_request", 2)])


async def test_no_lines_and_too_many_are_refused(good_line: dict[str, Any]) -> None:
    assert await validate() == (0, [("empty_file", None)])
    many = [good_line | {"custom_id": str(n)} for n in range(4)]
    assert await validate(*many, max_lines=3) == (4, [("too_many_lines", None)])


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
