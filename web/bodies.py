"""Reads a request's body within its bounds of size, time and memory, and decodes it into a struct."""

from __future__ import annotations

import asyncio
import re
import zlib
from codecs import BOM_UTF8
from collections import Counter, defaultdict
from collections.abc import Callable
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
from web.pacing import BODY_BYTE_S, MIN_BODY_BYTES, Pacing
from web.settings import ServerSettings

DISCONNECT = "http.disconnect"
COUNTED = "wanneng.counted"
"""In the scope of a request, its body until `Bodies.release`."""
MANY_BYTES, MAX_CONTAINERS, MAX_STRINGS = 65_536, 20_000, 50_000
"""A megabyte of empty lists or of strings takes longer to decode than anything that is asked here."""
MAX_NAME_CHARACTERS = 100
"""Of a field's name that we repeat."""

ANY_HEADER = 32 + zlib.MAX_WBITS
"""A size of zlib's window that stands for a header of gzip or of zlib, which HTTP calls deflate."""

_PLACE = re.compile(r"(?:key` in `)?\$([^`]*)`")
_BLAMED = re.compile(r"Object (contains unknown|missing required) field `(.+)`", re.DOTALL)
_Body = TypeVar("_Body", bound=Struct)
_Decoded = TypeVar("_Decoded")
_decoders: dict[type[Struct], msgspec.json.Decoder[Any]] = {}


class Counted:
    """A body that arrives, waits to be decoded, or was compressed."""

    __slots__ = ("bytes", "deadline", "tenant_id")

    def __init__(self, tenant_id: str, deadline: asyncio.Timeout | None = None) -> None:
        self.tenant_id = tenant_id
        self.deadline = deadline
        """While it arrives."""
        self.bytes = 0


class Bodies:
    """Reads the bodies of a server, with a bound on the bytes of all that arrive or wait to be decoded.

    A tenant with several bodies may have as many bytes as are left free: alone it gets half of all, one of n gets
    1 / (n + 1), and there is room for one more, as in the fair queue. Beyond that it loses the body that has been
    arriving for longest, or the newest where none is arriving. Where nothing is left free, the tenant that has
    most makes room. Small bodies, which come at once, do not count.
    """

    def __init__(self, settings: ServerSettings, pacing: Pacing) -> None:
        self._max_bytes = settings.max_body_bytes
        self._max_counted_bytes = max(settings.max_unfinished_bytes, settings.max_body_bytes)
        self._timeout_s = settings.body_timeout_s
        self._counted_bytes: Counter[str] = Counter()
        self._arriving: defaultdict[str, dict[Counted, None]] = defaultdict(dict)
        """Both by tenant; the oldest comes first."""
        self._pacing = pacing

    async def read(self, request: Request) -> bytes:
        """The whole body, decompressed, which counts until `release`; large ones at the caller's pace.

        `BodyTooLarge` as soon as that is known; `BodyTooSlow` when it does not arrive in time or is cut off.
        """
        whole: bytes | None = request.scope.get(WHOLE_BODY)
        expected = len(whole) if whole is not None else _declared_bytes(request)
        if expected > self._max_bytes:
            raise BodyTooLarge(f"the body has {expected} bytes, at most {self._max_bytes} are allowed")
        # Before it takes memory.
        if expected > MIN_BODY_BYTES and not await self._pacing.pay(request, expected * BODY_BYTE_S):
            raise BodyTooSlow("too many large bodies of this caller wait to be received")
        try:
            body = await self._content(request, whole)
        except BodyTooLarge:
            self._pacing.charge(request, self._max_bytes * BODY_BYTE_S)
            raise
        # Of a body in chunks, or of a compressed one, this is known only now.
        if len(body) - expected > MIN_BODY_BYTES:
            self._pacing.charge(request, (len(body) - expected) * BODY_BYTE_S)
        return body

    async def _content(self, request: Request, body: bytes | None) -> bytes:
        """Of a body that has come, or that is still to be received (None)."""
        encoding = content_encoding(request)
        if body is not None and encoding is None:
            return body
        counted = request.scope[COUNTED] = Counted(request.scope["context"].tenant_id or "")
        try:
            if body is None:
                async with asyncio.timeout(self._timeout_s) as counted.deadline:
                    self._arriving[counted.tenant_id][counted] = None
                    body = await self._receive(request, counted)
                self._stop_waiting(counted)
            if encoding is not None:
                body = await _decompress(body, encoding, self._max_bytes)
                self._count(counted, len(body))
        except TimeoutError:
            raise BodyTooSlow(
                f"the body did not arrive within {self._timeout_s:g} s, or others needed its memory sooner"
            ) from None
        return body

    def release(self, request: Request) -> None:
        """The bytes of the body are needed no longer, or will not come."""
        counted: Counted | None = request.scope.pop(COUNTED, None)
        if counted is not None:
            self._stop_waiting(counted)
            self._uncount(counted)

    async def _receive(self, request: Request, counted: Counted) -> bytes:
        body, more = bytearray(), True
        while more:
            message = await request.receive()
            if message["type"] == DISCONNECT:
                raise ClientDisconnected
            chunk: bytes = message.get("body", b"")
            body += chunk
            more = message.get("more_body", False)
            if len(body) > self._max_bytes:
                raise BodyTooLarge(f"the body has more than {self._max_bytes} bytes")
            self._count(counted, len(chunk))
        return bytes(body)

    def _count(self, counted: Counted, size: int) -> None:
        """`TimeoutError` where there is no memory for it."""
        counted.bytes += size
        self._counted_bytes[counted.tenant_id] += size
        while (tenant_id := self._tenant_beyond_bounds(counted)) is not None:
            # Where all bodies of that tenant wait to be decoded, this one makes room.
            oldest = next(iter(self._arriving.get(tenant_id, ())), counted)
            if oldest is counted or oldest.deadline is None:
                raise TimeoutError
            self._stop_waiting(oldest)
            self._uncount(oldest)
            if not oldest.deadline.expired():
                oldest.deadline.reschedule(0.0)

    def _tenant_beyond_bounds(self, counted: Counted) -> str | None:
        """Who has to make room for `counted`, which has grown: its own tenant, or the one that has most."""
        free = self._max_counted_bytes - self._counted_bytes.total()
        own = self._counted_bytes[counted.tenant_id]
        if own > max(free, counted.bytes):
            return counted.tenant_id
        return self._counted_bytes.most_common(1)[0][0] if free < 0 else None

    def _stop_waiting(self, counted: Counted) -> None:
        waiting = self._arriving[counted.tenant_id]
        waiting.pop(counted, None)
        if not waiting:
            del self._arriving[counted.tenant_id]

    def _uncount(self, counted: Counted) -> None:
        self._counted_bytes[counted.tenant_id] -= counted.bytes
        counted.bytes = 0
        if not self._counted_bytes[counted.tenant_id]:
            del self._counted_bytes[counted.tenant_id]


def _declared_bytes(request: Request) -> int:
    declared = header_value(request, b"content-length") or "0"
    return int(declared) if declared.isdigit() else 0


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
        raise _invalid(str(error)) from None
    except UnicodeDecodeError:
        raise NotJson("the body is not JSON: it is not UTF-8") from None
    except (msgspec.DecodeError, RecursionError) as error:
        raise NotJson(f"the body is not JSON: {error}") from None


def _invalid(message: str) -> InvalidRequest:
    """Of msgspec's message, which ends with where it looked: an object, where one of its fields is to blame."""
    reason, _, place = message.rpartition(" - at `")
    located = _PLACE.fullmatch(place)
    reason, path = (reason, located[1].removeprefix(".")) if located else (message, "")
    if blamed := _BLAMED.fullmatch(reason):
        problem, name = blamed.groups()
        path = f"{path}.{name[:MAX_NAME_CHARACTERS]}".removeprefix(".")
        reason = "is required" if problem == "missing required" else "is not known; leave it out"
    return InvalidRequest(reason, field=path or None)


async def in_thread(decode_body: Callable[[bytes], _Decoded], body: bytes) -> _Decoded:
    """What `decode_body` makes of it, in a thread where that takes milliseconds.

    Each step of it holds the interpreter for as long as before, but the loop runs between the steps of several.
    """
    return decode_body(body) if len(body) <= MANY_BYTES else await asyncio.to_thread(decode_body, body)


def _check_counts(body: bytes) -> None:
    """`InvalidRequest` for more than any request needs: counting is cheap, decoding all of it is not."""
    if body.count(b"[") + body.count(b"{") > MAX_CONTAINERS:
        raise InvalidRequest(f"the body has more than {MAX_CONTAINERS} lists and objects")
    # A quotation mark within a string follows a backslash, one that begins a string never does.
    if body.count(b'"') - body.count(b'\\"') > 2 * MAX_STRINGS:
        raise InvalidRequest(f"the body has more than {MAX_STRINGS} strings")
