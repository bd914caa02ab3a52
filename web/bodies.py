"""Reads a request's body within its bounds of size and time, and decodes it into a struct."""

from __future__ import annotations

import asyncio
import zlib
from codecs import BOM_UTF8
from typing import Any, TypeVar

import msgspec
from msgspec import Raw, Struct
from starlette.requests import Request

from stores.errors import (
    BodyTooLarge,
    BodyTooSlow,
    ClientDisconnected,
    InvalidRequest,
    NotJson,
    UnsupportedMediaType,
)
from web.headers import header_value
from web.http_protocol import WHOLE_BODY
from web.settings import ServerSettings

DISCONNECT = "http.disconnect"
MANY_BYTES, MAX_CONTAINERS, MAX_STRINGS = 65_536, 20_000, 50_000
"""A megabyte of empty lists or of strings takes longer to decode than anything that is asked here."""

ANY_HEADER = 32 + zlib.MAX_WBITS
"""A size of zlib's window that stands for a header of gzip or of zlib, which HTTP calls deflate."""

_Body = TypeVar("_Body", bound=Struct)
_decoders: dict[type[Struct], msgspec.json.Decoder[Any]] = {}


async def read_body(request: Request, settings: ServerSettings) -> bytes:
    """The whole body; `BodyTooLarge` as soon as that is known, `BodyTooSlow` when it does not arrive in time."""
    max_bytes = settings.max_body_bytes
    body: bytes | None = request.scope.get(WHOLE_BODY)
    if body is None:
        declared = header_value(request, b"content-length") or "0"
        if declared.isdigit() and int(declared) > max_bytes:
            raise BodyTooLarge(f"the body has {declared} bytes, at most {max_bytes} are allowed")
        try:
            async with asyncio.timeout(settings.body_timeout_s):
                body = await _receive(request, max_bytes)
        except TimeoutError:
            raise BodyTooSlow(f"the body did not arrive within {settings.body_timeout_s:g} s") from None
    elif len(body) > max_bytes:
        raise BodyTooLarge(f"the body has {len(body)} bytes, at most {max_bytes} are allowed")
    encoding = content_encoding(request)
    return body if encoding is None else await _decompress(body, encoding, max_bytes)


async def _receive(request: Request, max_bytes: int) -> bytes:
    body, more = bytearray(), True
    while more:
        message = await request.receive()
        if message["type"] == DISCONNECT:
            raise ClientDisconnected
        body += message.get("body", b"")
        more = message.get("more_body", False)
        if len(body) > max_bytes:
            raise BodyTooLarge(f"the body has more than {max_bytes} bytes")
    return bytes(body)


def content_encoding(request: Request) -> str | None:
    """How the body is encoded, in lower case; None: it is not."""
    given = header_value(request, b"content-encoding")
    encoding = given and given.strip().lower()
    return None if encoding in {None, "", "identity"} else encoding


async def _decompress(body: bytes, encoding: str, max_bytes: int) -> bytes:
    """The content of a body that is compressed, which has at most `max_bytes` as well."""
    if encoding not in {"gzip", "x-gzip", "deflate"}:
        raise UnsupportedMediaType("of Content-Encoding, only gzip and deflate are understood")
    stream = zlib.decompressobj(ANY_HEADER)
    try:
        # In a thread, and bounded: a few bytes may become a thousand times as many.
        content = await asyncio.to_thread(stream.decompress, body, max_bytes + 1)
    except zlib.error:
        raise NotJson(f"the body is not {encoding}, as its Content-Encoding says") from None
    if len(content) > max_bytes:
        raise BodyTooLarge(f"the body has more than {max_bytes} bytes when it is decompressed")
    if not stream.eof or stream.unused_data:
        raise NotJson(f"the body is not one whole {encoding} stream, as its Content-Encoding says")
    return content


def decode(kind: type[_Body], body: bytes | Raw) -> _Body:
    """The body as a struct; `NotJson`, or `InvalidRequest` with the path and the reason."""
    if isinstance(body, bytes):
        # Some clients put one there, and a parser may ignore it (RFC 8259, section 8.1).
        body = body.removeprefix(BOM_UTF8)
        if len(body) > MANY_BYTES:
            _check_counts(body)
    try:
        decoder = _decoders.get(kind) or _decoders.setdefault(kind, msgspec.json.Decoder(kind))
        decoded: _Body = decoder.decode(body)
        return decoded
    except msgspec.ValidationError as error:
        raise InvalidRequest(str(error)) from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise NotJson(f"the body is not JSON: {error}") from None


async def decode_in_thread(kind: type[_Body], body: bytes) -> _Body:
    """As `decode`, in a thread where that takes milliseconds.

    Each step of it holds the interpreter for as long as before, but the loop runs between the steps of several.
    """
    return decode(kind, body) if len(body) <= MANY_BYTES else await asyncio.to_thread(decode, kind, body)


def _check_counts(body: bytes) -> None:
    """`InvalidRequest` for more than any request needs: counting is cheap, decoding all of it is not."""
    if body.count(b"[") + body.count(b"{") > MAX_CONTAINERS:
        raise InvalidRequest(f"the body has more than {MAX_CONTAINERS} lists and objects")
    # A quotation mark within a string follows a backslash, one that begins a string never does.
    if body.count(b'"') - body.count(b'\\"') > 2 * MAX_STRINGS:
        raise InvalidRequest(f"the body has more than {MAX_STRINGS} strings")
