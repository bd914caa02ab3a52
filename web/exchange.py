"""One request on a connection and its answer, between an ASGI application and the HTTP protocol."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable
from typing import Protocol

from starlette.types import ASGIApp, Message, Scope
from uvicorn.protocols.http.flow_control import FlowControl
from uvicorn.protocols.http.httptools_impl import STATUS_LINE

DISCONNECT: Message = {"type": "http.disconnect"}
BODILESS = frozenset({204, 304})
"""Statuses whose answers have no body (RFC 9110, section 6.4.1)."""
log = logging.getLogger(__name__)


class Connection(Protocol):
    """What an exchange needs of the connection that it is on."""

    transport: asyncio.Transport
    flow: FlowControl
    loop: asyncio.AbstractEventLoop

    def on_response_complete(self) -> None: ...


class Exchange:
    """The public attributes are those that uvicorn's protocol reads and sets.

    The head of an answer is written together with its body, for each write is a system call and a packet. A body
    that comes in a later step of the loop does not hold the head back.
    """

    def __init__(
        self,
        connection: Connection,
        scope: Scope,
        default_headers: Iterable[tuple[bytes, bytes]],
        *,
        keep_alive: bool,
        expects_continue: bool,
    ) -> None:
        self.scope = scope
        self.body = bytearray()
        self.more_body = True
        self.message_event = asyncio.Event()
        self.keep_alive = keep_alive
        self.disconnected = False
        self.response_complete = False
        self._connection = connection
        self._default_headers = default_headers
        self._is_old = scope["http_version"] == "1.0"
        """HTTP/1.0 knows neither interim answers nor chunks: the end of the connection ends an answer."""
        self._expects_continue = expects_continue and not self._is_old
        self._started = False
        self._held = b""
        """Of the answer, not written yet."""
        self._remaining: int | None = None
        """Bytes of the body that are still to come; None: it is chunked, or lasts as long as the connection."""

    async def run_asgi(self, app: ASGIApp) -> None:
        try:
            await app(self.scope, self.receive, self.send)
        except Exception:
            log.exception("the application failed")
        finally:
            if not self.response_complete and not self.disconnected:
                # The client must not take half an answer for a whole one.
                self.disconnected = True
                if self._is_old and self._started and self._remaining is None:
                    self._connection.transport.abort()
                else:
                    self.flush()
                    self._connection.transport.close()

    async def receive(self) -> Message:
        connection = self._connection
        if self._expects_continue and not self._started and not connection.transport.is_closing():
            connection.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        self._expects_continue = False
        if not self.disconnected and not self.response_complete:
            connection.flow.resume_reading()
            await self.message_event.wait()
            self.message_event.clear()
        if self.disconnected or self.response_complete:
            return DISCONNECT
        body, self.body = self.body, bytearray()
        return {"type": "http.request", "body": bytes(body), "more_body": self.more_body}

    async def send(self, message: Message) -> None:
        flow = self._connection.flow
        if flow.write_paused and not self.disconnected:
            await flow.drain()
        if self.disconnected:
            return
        if message["type"] == "http.response.start":
            assert not self._started, "an answer begins once"
            self._started = True
            self._held = self._head(message["status"], message["headers"])
            self._connection.loop.call_soon(self.flush)
            return
        assert self._started, "an answer begins with its status"
        assert not self.response_complete, "an answer ends once"
        more: bool = message.get("more_body", False)
        self._write_body(message.get("body", b""), more=more)
        if not more:
            self._end()

    def flush(self) -> None:
        """Write what is held."""
        held, self._held = self._held, b""
        # The connection may have been lost since; uvloop raises for what is written then.
        if held and not self._connection.transport.is_closing():
            self._connection.transport.write(held)

    def _head(self, status: int, headers: Iterable[tuple[bytes, bytes]]) -> bytes:
        headers = [*self._default_headers, *headers]
        by_name = dict(headers)
        length, connection = by_name.get(b"content-length"), by_name.get(b"connection")
        if connection is not None and connection.lower() == b"close":
            self.keep_alive = False
        elif not self.keep_alive:
            headers.append((b"connection", b"close"))
        if self.scope["method"] == "HEAD" or status in BODILESS:
            self._remaining = 0
        elif length is not None:
            self._remaining = int(length)
        elif not self._is_old:
            headers.append((b"transfer-encoding", b"chunked"))
        lines = [STATUS_LINE[status], *[b"%b: %b\r\n" % header for header in headers]]
        head = b"".join(lines)
        if not head.count(b"\r") == head.count(b"\n") == len(lines) or b"\0" in head:
            raise ValueError("a header of the answer has a line break or NUL in it")
        return head + b"\r\n"

    def _write_body(self, body: bytes, *, more: bool) -> None:
        if self._remaining is None and self._is_old:
            self._held += body
        elif self._remaining is None:
            self._held += (b"%x\r\n%b\r\n" % (len(body), body) if body else b"") + (b"" if more else b"0\r\n\r\n")
        elif self.scope["method"] != "HEAD":
            self._remaining -= len(body)
            assert self._remaining >= 0, "the answer is longer than its Content-Length"
            self._held += body
        self.flush()

    def _end(self) -> None:
        assert not self._remaining, "the answer is shorter than its Content-Length"
        self.response_complete = True
        self.message_event.set()
        if not self.keep_alive:
            self._connection.transport.close()
        self._connection.on_response_complete()
