"""Lines of a batch's file: read from pieces, checked, and rendered as results. Knows no store."""

from __future__ import annotations

from collections.abc import AsyncIterator

import msgspec

from gateway.api.problems import described
from gateway.batches import ENDPOINT, LineError, LineResult
from gateway.errors import GatewayError, InvalidRequest, NotJson
from gateway.schema import BatchLine, decode

MAX_ERRORS = 100
"""Lines that are named when a file is refused."""
MAX_ID_CHARACTERS = 256


async def lines_of(pieces: AsyncIterator[bytes]) -> AsyncIterator[tuple[int, bytes]]:
    """Each line that is not empty, with its number from 0; a line may lie across pieces."""
    rest, number = b"", 0
    async for piece in pieces:
        *lines, rest = (rest + piece).split(b"\n")
        for line in lines:
            if line.strip():
                yield number, line
            number += 1
    if rest.strip():
        yield number, rest


def read_line(line: bytes) -> BatchLine:
    """`NotJson` or `InvalidRequest` with what is wrong; the body is looked at when it is answered."""
    read = decode(BatchLine, line)
    if not 1 <= len(read.custom_id) <= MAX_ID_CHARACTERS:
        raise InvalidRequest(f"1 to {MAX_ID_CHARACTERS} characters are possible", field="custom_id")
    if (read.method, read.url) != ("POST", ENDPOINT):
        raise InvalidRequest(f"POST to {ENDPOINT} is possible", field="url")
    return read


async def check_lines(lines: AsyncIterator[tuple[int, bytes]], most: int) -> tuple[int, list[LineError]]:
    """How many lines there are, and what is wrong with them, named by lines counted from 1."""
    known: set[str] = set()
    errors: list[LineError] = []
    total = 0
    async for number, line in lines:
        total += 1
        if total > most:
            return total, [LineError("too_many_lines", f"at most {most} lines are possible", None)]
        if len(errors) == MAX_ERRORS:
            continue
        try:
            custom_id = read_line(line).custom_id
            if custom_id in known:
                raise InvalidRequest("it names another line already", field="custom_id")
            known.add(custom_id)
        except (InvalidRequest, NotJson) as error:
            errors.append(LineError(error.code, str(error), number + 1))
    if total == 0:
        errors.append(LineError("empty_file", "the file has no lines", None))
    return total, errors


def answered(batch_id: str, number: int, line: BatchLine, request_id: str, body: object) -> LineResult:
    return _result(batch_id, number, line, request_id, 200, body)


def refused(batch_id: str, number: int, line: BatchLine, request_id: str, error: GatewayError) -> LineResult:
    status, document = described(error, ENDPOINT, request_id)
    return _result(batch_id, number, line, request_id, status, document)


def _result(batch_id: str, number: int, line: BatchLine, request_id: str, status: int, body: object) -> LineResult:
    content = {
        "id": f"{batch_id}_{number}",
        "custom_id": line.custom_id,
        "response": {"status_code": status, "request_id": request_id, "body": body},
        "error": None,
    }
    return LineResult(number, status >= 400, msgspec.json.encode(content).decode())
