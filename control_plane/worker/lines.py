"""The lines of a batch's file: split, checked one by one, and rendered as results."""

from __future__ import annotations

import asyncio
import codecs
from collections.abc import AsyncIterator

import msgspec
from msgspec import Raw, Struct

from control_plane.batches import ENDPOINT
from control_plane.worker.gateway_client import GatewayAnswer
from stores.batches import LineResult
from stores.errors import InvalidRequest, NotJson

MAX_ID_CHARACTERS = 256
MAX_LINE_BYTES = 16_000_000
"""A longer line is not sent; the gateway has a bound of its own, below this one."""
LINES_IN_A_ROW = 1_000
"""Then the event loop has its turn."""
BAD_REQUEST = 400


class BatchLine(Struct, forbid_unknown_fields=True):
    """A line of a batch's input file."""

    custom_id: str
    url: str
    body: Raw
    method: str = "POST"


class BadLine(Exception):
    """The line cannot be asked for."""

    def __init__(self, code: str, message: str, custom_id: str | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.custom_id = custom_id
        """None: it could not be read."""


_decoder = msgspec.json.Decoder(BatchLine)


async def split_lines(chunks: AsyncIterator[bytes]) -> AsyncIterator[tuple[int, bytes]]:
    """Each line that is not empty, with its number from 0; a line may lie across chunks.

    Only a line feed ends a line. A byte order mark is no part of the first one. Of a line of more than
    `MAX_LINE_BYTES` there is one byte more than that.
    """
    rest, number = b"", 0
    async for chunk in chunks:
        *lines, rest = (rest + chunk).split(b"\n")
        rest = rest[: MAX_LINE_BYTES + 1]
        for line in lines:
            if number == 0:
                line = line.removeprefix(codecs.BOM_UTF8)  # noqa: PLW2901
            if line.strip():
                yield number, line[: MAX_LINE_BYTES + 1]
            number += 1
            if number % LINES_IN_A_ROW == 0:
                await asyncio.sleep(0)
    if number == 0:
        rest = rest.removeprefix(codecs.BOM_UTF8)
    if rest.strip():
        yield number, rest


def parse_line(line: bytes) -> BatchLine:
    """`BadLine` with what is wrong; the gateway validates the body."""
    if len(line) > MAX_LINE_BYTES:
        raise BadLine("body_too_large", f"the line has more than {MAX_LINE_BYTES} bytes")
    try:
        parsed = _decoder.decode(line)
    except msgspec.ValidationError as error:
        raise BadLine(InvalidRequest.code, str(error)) from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise BadLine(NotJson.code, f"the line is not JSON: {error}") from None
    if not 1 <= len(parsed.custom_id) <= MAX_ID_CHARACTERS:
        raise BadLine(InvalidRequest.code, f"custom_id: must have 1 to {MAX_ID_CHARACTERS} characters")
    if (parsed.method, parsed.url) != ("POST", ENDPOINT):
        raise BadLine(InvalidRequest.code, f"url: must be POST {ENDPOINT}", parsed.custom_id)
    return parsed


class LineChecker:
    """Counts the lines of a batch, and finds those that cannot be asked for."""

    def __init__(self, batch_id: str) -> None:
        self._batch_id = batch_id
        self._custom_ids: set[str] = set()
        self.total = 0

    def check(self, number: int, line: bytes) -> LineResult | None:
        """The line's error; None for a good one."""
        self.total += 1
        try:
            custom_id = parse_line(line).custom_id
            if custom_id in self._custom_ids:
                raise BadLine(InvalidRequest.code, "custom_id: another line has the same", custom_id)
        except BadLine as error:
            return error_of(self._batch_id, number, error)
        self._custom_ids.add(custom_id)
        return None


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


def error_of(batch_id: str, number: int, error: BadLine) -> LineResult:
    """As in OpenAI's error files where there is no response; with the line's number, counted from 1."""
    content = {
        "id": request_id_of(batch_id, number),
        "custom_id": error.custom_id,
        "response": None,
        "error": {"code": error.code, "message": str(error), "line": number + 1},
    }
    return LineResult(number, failed=True, content=msgspec.json.encode(content).decode())
