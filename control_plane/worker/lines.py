"""The lines of a batch's file: split, validated, and rendered as results."""

from __future__ import annotations

from collections.abc import AsyncIterator

import msgspec
from msgspec import Raw, Struct

from control_plane.batches import ENDPOINT
from control_plane.worker.gateway_client import GatewayAnswer
from stores.batches import LineError, LineResult
from stores.errors import InvalidRequest, NotJson
from web.bodies import decode

MAX_ERRORS = 100
"""Lines that are named when a file is refused."""
MAX_ID_CHARACTERS = 256
BAD_REQUEST = 400


class BatchLine(Struct, forbid_unknown_fields=True):
    """A line of a batch's input file."""

    custom_id: str
    url: str
    body: Raw
    method: str = "POST"


async def split_lines(chunks: AsyncIterator[bytes]) -> AsyncIterator[tuple[int, bytes]]:
    """Each line that is not empty, with its number from 0; a line may lie across chunks."""
    rest, number = b"", 0
    async for chunk in chunks:
        *lines, rest = (rest + chunk).split(b"\n")
        for line in lines:
            if line.strip():
                yield number, line
            number += 1
    if rest.strip():
        yield number, rest


def parse_line(line: bytes) -> BatchLine:
    """`NotJson` or `InvalidRequest` with what is wrong; the gateway validates the body."""
    parsed = decode(BatchLine, line)
    if not 1 <= len(parsed.custom_id) <= MAX_ID_CHARACTERS:
        raise InvalidRequest(f"must have 1 to {MAX_ID_CHARACTERS} characters", field="custom_id")
    if (parsed.method, parsed.url) != ("POST", ENDPOINT):
        raise InvalidRequest(f"must be POST {ENDPOINT}", field="url")
    return parsed


async def validate_lines(lines: AsyncIterator[tuple[int, bytes]], max_lines: int) -> tuple[int, list[LineError]]:
    """How many lines there are, and the errors of those that cannot be read."""
    custom_ids: set[str] = set()
    errors: list[LineError] = []
    total = 0
    async for number, line in lines:
        total += 1
        if total > max_lines:
            return total, [LineError("too_many_lines", f"a batch has at most {max_lines} lines", None)]
        if len(errors) == MAX_ERRORS:
            continue
        try:
            custom_id = parse_line(line).custom_id
            if custom_id in custom_ids:
                raise InvalidRequest("another line has the same", field="custom_id")
            custom_ids.add(custom_id)
        except (InvalidRequest, NotJson) as error:
            errors.append(LineError(error.code, str(error), number + 1))
    if total == 0:
        errors.append(LineError("empty_file", "the file has no lines", None))
    return total, errors


def request_id_of(batch_id: str, number: int) -> str:
    return f"{batch_id}_{number}"


def result_of(batch_id: str, number: int, line: BatchLine, answer: GatewayAnswer) -> LineResult:
    """As in OpenAI's output and error files."""
    request_id = request_id_of(batch_id, number)
    content = {
        "id": request_id,
        "custom_id": line.custom_id,
        "response": {"status_code": answer.status, "request_id": request_id, "body": answer.body},
        "error": None,
    }
    return LineResult(number, answer.status >= BAD_REQUEST, msgspec.json.encode(content).decode())
