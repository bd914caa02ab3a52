"""A form with one file, read as it arrives (RFC 7578): nothing of it is kept on a disk or in memory as a whole."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header
from starlette.requests import Request

from stores.errors import BodyTooLarge, ClientDisconnected, InvalidRequest, UnsupportedMediaType
from web.bodies import DISCONNECT, content_encoding

MAX_FORM_BYTES = 10_000
"""What a form may have beside its file's content."""
PARSED_BYTES = 16_384
"""Parsed before others have their turn in the event loop."""


class UploadForm:
    """`InvalidRequest` where it is no form with one file, `BodyTooLarge` beyond `MAX_FORM_BYTES`.

    Call `begin`, then read `chunks` to their end; then all fields are known.
    """

    def __init__(self, request: Request) -> None:
        media_type, options = parse_options_header(request.headers.get("Content-Type"))
        boundary = options.get(b"boundary")
        if media_type != b"multipart/form-data" or not boundary:
            raise InvalidRequest("the body must be multipart/form-data with a boundary", field="file")
        if content_encoding(request) is not None:
            raise UnsupportedMediaType("an upload cannot be compressed")
        self._receive = request.receive
        self.filename: str | None = None
        self.fields: dict[str, str] = {}
        self._field_name: str | None = None
        """Of the part that is being read; None: it is the file."""
        self._header_name, self._header_value, self._disposition = b"", b"", b""
        self._content: list[bytes] = []
        """Of the file, not yet returned."""
        self._bytes, self._file_bytes = 0, 0
        self._more, self._ended = True, False
        """Whether more of the body may arrive, and whether the form is complete."""
        try:
            self._parser = MultipartParser(
                boundary,
                {
                    "on_part_begin": self._on_part_begin,
                    "on_header_field": self._on_header_field,
                    "on_header_value": self._on_header_value,
                    "on_header_end": self._on_header_end,
                    "on_headers_finished": self._on_headers_finished,
                    "on_part_data": self._on_part_data,
                    "on_end": self._on_end,
                },
            )
        except FormParserError as error:
            raise InvalidRequest(str(error), field="file") from None

    async def begin(self) -> None:
        """Read until the file begins, with the fields before it."""
        while self.filename is None:
            if not self._more:
                raise InvalidRequest("the form must have a file and a purpose", field="file")
            await self._read()

    async def chunks(self) -> AsyncIterator[bytes]:
        """The file's content, and then the rest of the form."""
        while self._more:
            content, self._content = self._content, []
            for chunk in content:
                yield chunk
            await self._read()
        for chunk in self._content:
            yield chunk
        if not self._ended:
            raise InvalidRequest("the form breaks off", field="file")

    async def _read(self) -> None:
        """Parse what has arrived."""
        message = await self._receive()
        if message["type"] == DISCONNECT:
            raise ClientDisconnected
        body = message.get("body", b"")
        for start in range(0, len(body), PARSED_BYTES):
            part = body[start : start + PARSED_BYTES]
            self._bytes += len(part)
            try:
                self._parser.write(part)
            except FormParserError as error:
                raise InvalidRequest(str(error), field="file") from None
            # The parser holds back what may be the beginning of a boundary.
            if self._bytes - self._file_bytes > MAX_FORM_BYTES:
                raise BodyTooLarge(f"the form has more than {MAX_FORM_BYTES} bytes beside its file")
            await asyncio.sleep(0)
        self._more = bool(message.get("more_body", False))

    def _on_part_begin(self) -> None:
        self._disposition = b""

    def _on_header_field(self, data: bytes, start: int, end: int) -> None:
        self._header_name += data[start:end]

    def _on_header_value(self, data: bytes, start: int, end: int) -> None:
        self._header_value += data[start:end]

    def _on_header_end(self) -> None:
        if self._header_name.lower() == b"content-disposition":
            self._disposition = self._header_value
        self._header_name, self._header_value = b"", b""

    def _on_headers_finished(self) -> None:
        _, options = parse_options_header(self._disposition)
        name = options.get(b"name", b"").decode(errors="replace")
        if b"filename" not in options:
            self._field_name = name
            self.fields[name] = ""
            return
        if name != "file" or self.filename is not None:
            raise InvalidRequest("the form must have one file, named file", field="file")
        self._field_name = None
        self.filename = options[b"filename"].decode(errors="replace")

    def _on_part_data(self, data: bytes, start: int, end: int) -> None:
        if self._field_name is None:
            self._file_bytes += end - start
            self._content.append(data[start:end])
        else:
            self.fields[self._field_name] += data[start:end].decode(errors="replace")

    def _on_end(self) -> None:
        self._ended = True
