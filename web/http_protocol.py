"""uvicorn's HTTP protocol with the bounds that it leaves to a proxy.

Bytes, count and time of headers; connections in all and of one address; answers that the client does not read. So
a client without a key costs at most 64 KiB and 10 s.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import Any, ClassVar

from msgspec import Struct
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

WHOLE_BODY = "wanneng.whole_body"
"""In the scope of a request whose body has come: whoever reads it does not wait."""
FEED_BYTES = 16_384
"""The parser is fed no more at a time, so that a bound is noticed soon after it was passed."""
MAX_PIPELINED = 32
"""Requests of one connection that wait for the answer to the one before."""
MAX_DISCARDED_BYTES = 16 << 20
"""Of a body whose request was answered already. A client that is cut off while it sends may lose its answer."""
CHECK_WRITE_S = 5.0
MIN_WRITE_BYTES_PER_S = 1_024
"""A client that reads its answer more slowly is cut off."""


class ConnectionLimits(Struct, frozen=True, kw_only=True):
    max_header_bytes: int
    max_headers: int
    header_timeout_s: float
    max_connections: int
    max_connections_per_address: int
    """0: unlimited."""
    max_unsent_bytes: int


class Connections:
    """The connections of a server, by what they are about."""

    def __init__(self, limits: ConnectionLimits) -> None:
        self.limits = limits
        self.count = 0
        self.by_address: Counter[str] = Counter()
        self.idle: dict[BoundedHttpProtocol, None] = {}
        """Those without a request under way, the longest idle first: they make room for others."""
        self.unsent_bytes = 0

    def make_room(self, address: str) -> bool:
        """Whether one more connection may be taken; an idle one is closed for it where that is needed."""
        per_address = self.limits.max_connections_per_address
        if per_address and self.by_address[address] >= per_address:
            return False
        if self.count < self.limits.max_connections:
            return True
        if not self.idle:
            return False
        next(iter(self.idle)).abort()
        return True


class Output:
    """Writes the head of an answer together with its body: each write is a system call, and a packet."""

    def __init__(self, loop: asyncio.AbstractEventLoop, transport: asyncio.Transport) -> None:
        self._loop = loop
        self._transport = transport
        self._held = b""
        self.is_closing = transport.is_closing

    def write(self, data: bytes) -> None:
        if self._held:
            self._held += data
            self.flush()
        else:
            # What follows in the same step goes with it; a body that comes later does not hold the head back.
            self._held = data
            self._loop.call_soon(self.flush)

    def flush(self) -> None:
        data, self._held = self._held, b""
        # The connection may have been lost since; uvloop raises for what is written then.
        if data and not self._transport.is_closing():
            self._transport.write(data)

    def close(self) -> None:
        self.flush()
        self._transport.close()


class BoundedHttpProtocol(HttpToolsProtocol):
    """A subclass with `shared` is made for each server (`bounded_protocol`)."""

    shared: ClassVar[Connections]

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._limits = self.shared.limits
        self._in_head = True
        self._head_bytes = 0
        self._silent_bytes = 0
        """Of a body, fed since the parser last had something to tell: the size of an unfinished token."""
        self._discarded_bytes = 0
        self._header_timer: asyncio.TimerHandle | None = None
        self._write_timer: asyncio.TimerHandle | None = None
        self._unsent_bytes = 0
        self._accepted = False
        self._rejection: tuple[int, str] | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._output = Output(self.loop, transport)
        if not self.shared.make_room(self._address):
            transport.abort()
            return
        self._accepted = True
        self.shared.count += 1
        self.shared.by_address[self._address] += 1
        self._become_idle()
        self._header_timer = self.loop.call_later(self._limits.header_timeout_s, self._header_timed_out)

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self._cancel_header_timer()
        self._stop_watching_writes()
        self.shared.idle.pop(self, None)
        if self._accepted:
            self._accepted = False
            self.shared.count -= 1
            self.shared.by_address[self._address] -= 1
            if not self.shared.by_address[self._address]:
                del self.shared.by_address[self._address]

    @property
    def _address(self) -> str:
        return self.client[0] if self.client else ""

    def abort(self) -> None:
        """Close at once, without sending what is buffered."""
        self.shared.idle.pop(self, None)
        self.transport.abort()

    def data_received(self, data: bytes) -> None:
        for start in range(0, len(data), FEED_BYTES):
            if self.transport.is_closing():
                return
            self._feed(data[start : start + FEED_BYTES])
        if self._in_head and self._head_bytes and self._header_timer is None:
            self._header_timer = self.loop.call_later(self._limits.header_timeout_s, self._header_timed_out)

    def _feed(self, data: bytes) -> None:
        if self._in_head:
            self._head_bytes += len(data)
        else:
            self._silent_bytes += len(data)
            if self.cycle.response_complete and self.cycle.more_body:
                self._discarded_bytes += len(data)
        super().data_received(data)
        if not self.transport.is_closing():
            self._check_fed()

    def _check_fed(self) -> None:
        max_bytes = self._limits.max_header_bytes
        if (self._in_head and self._head_bytes > max_bytes) or self._silent_bytes > max_bytes:
            self._reject(431, "The headers are too large.")
        elif self.headers is not None and len(self.headers) > self._limits.max_headers:
            self._reject(431, "There are too many headers.")
        elif self._discarded_bytes > MAX_DISCARDED_BYTES:
            self.transport.abort()

    # Parser callbacks.
    def on_headers_complete(self) -> None:
        if len(self.headers) > self._limits.max_headers:
            self._refuse(431, "There are too many headers.")
        hosts = [name for name, _ in self.headers].count(b"host")
        if hosts > 1 or (hosts == 0 and self.parser.get_http_version() != "1.0"):
            self._refuse(400, "Exactly one Host header is needed.")
        if len(self.pipeline) >= MAX_PIPELINED:
            self._refuse(429, "Too many pipelined requests.")
        self._in_head = False
        self._head_bytes = self._silent_bytes = self._discarded_bytes = 0
        self._cancel_header_timer()
        self.shared.idle.pop(self, None)
        super().on_headers_complete()
        self.cycle.transport = self._output  # type: ignore[assignment]
        # Trailers (RFC 9110, section 6.5) come here as well: never headers, and nothing here asks for one.
        self.headers = []

    def on_body(self, body: bytes) -> None:
        self._silent_bytes = 0
        super().on_body(body)

    def on_chunk_header(self) -> None:
        self._silent_bytes = 0

    def on_chunk_complete(self) -> None:
        self._silent_bytes = 0

    def on_message_complete(self) -> None:
        self._in_head = True
        self._head_bytes = self._silent_bytes = 0
        self.scope[WHOLE_BODY] = True  # type: ignore[literal-required]
        super().on_message_complete()

    def on_response_complete(self) -> None:
        self._output.flush()
        super().on_response_complete()
        if not self.pipeline and self._in_head and not self.transport.is_closing():
            self._become_idle()

    # Writing.
    def pause_writing(self) -> None:
        super().pause_writing()
        self._unsent_bytes = self.transport.get_write_buffer_size()
        self.shared.unsent_bytes += self._unsent_bytes
        if self.shared.unsent_bytes > self._limits.max_unsent_bytes:
            self.transport.abort()
        elif self._write_timer is None:
            self._write_timer = self.loop.call_later(CHECK_WRITE_S, self._check_write)

    def resume_writing(self) -> None:
        super().resume_writing()
        self._stop_watching_writes()

    def _check_write(self) -> None:
        self._write_timer = None
        unsent = self.transport.get_write_buffer_size()
        if self._unsent_bytes - unsent < CHECK_WRITE_S * MIN_WRITE_BYTES_PER_S:
            self.transport.abort()
            return
        self.shared.unsent_bytes += unsent - self._unsent_bytes
        self._unsent_bytes = unsent
        self._write_timer = self.loop.call_later(CHECK_WRITE_S, self._check_write)

    def _stop_watching_writes(self) -> None:
        self.shared.unsent_bytes -= self._unsent_bytes
        self._unsent_bytes = 0
        if self._write_timer is not None:
            self._write_timer.cancel()
            self._write_timer = None

    # Refusals.
    def _refuse(self, status: int, reason: str) -> None:
        """Within a callback of the parser, which ends with it."""
        self._rejection = status, reason
        raise ValueError(reason)

    def send_400_response(self, msg: str) -> None:
        """Called by uvicorn when the parser has ended."""
        status, reason = self._rejection or (400, "Invalid HTTP request.")
        self._reject(status, reason)

    def _reject(self, status: int, reason: str) -> None:
        """Answer and close; nothing is answered in the middle of another answer."""
        if self.transport.is_closing():
            return
        if self.cycle is None or self.cycle.response_complete:
            body = reason.encode()
            head = b"content-type: text/plain; charset=utf-8\r\nconnection: close\r\ncontent-length: %d\r\n\r\n"
            self.transport.write(STATUS_LINE[status] + head % len(body) + body)
        self.transport.close()

    def _header_timed_out(self) -> None:
        self._header_timer = None
        if self._head_bytes:
            self._reject(408, "The headers did not arrive in time.")
        else:
            self.transport.close()

    def _cancel_header_timer(self) -> None:
        if self._header_timer is not None:
            self._header_timer.cancel()
            self._header_timer = None

    def _become_idle(self) -> None:
        self.shared.idle[self] = None


def bounded_protocol(limits: ConnectionLimits) -> type[BoundedHttpProtocol]:
    """The protocol of one server."""
    return type("ServerHttpProtocol", (BoundedHttpProtocol,), {"shared": Connections(limits)})
