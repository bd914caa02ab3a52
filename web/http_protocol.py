"""uvicorn's HTTP protocol with the bounds that it leaves to a proxy.

Bytes, count and time of headers; connections in all and of one address; headers that are not whole, of all
connections; answers that the client does not read. So a client without a key costs at most 64 KiB and 10 s, and
all of them a fixed amount of memory.
"""

from __future__ import annotations

import asyncio
import fcntl
import sys
import termios
from typing import Any, ClassVar
from urllib.parse import unquote

import httptools
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from web.connections import ConnectionLimits, Connections
from web.exchange import Exchange

WHOLE_BODY = "wanneng.whole_body"
"""In the scope of a request, the whole of a small body that has come: whoever reads it does not wait."""
FEED_BYTES = 16_384
"""The parser is fed no more at a time, so that a bound is noticed soon after it was passed."""
MAX_PIPELINED = 32
"""Requests of one connection that wait for the answer to the one before."""
MAX_DISCARDED_BYTES = 16 << 20
"""Of a body whose request was answered already. A client that is cut off while it sends may lose its answer."""
CHECK_WRITE_S = 15.0
MIN_WRITE_BYTES_PER_S = 1_024
"""A client that reads its answer more slowly for so long is cut off; on loopback, 64 KiB count at a time."""


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
        self._unread_bytes = 0
        self._accepted = False
        self._running: Exchange | None = None
        """Whose answer is being written; those in `pipeline` wait for it."""
        self._parse_failure = (400, "Invalid HTTP request.")
        self._pending_rejection: tuple[int, str] | None = None
        """Status and reason for a bad request, sent once those before it are answered."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        # Every byte that the kernel does not take counts.
        transport.set_write_buffer_limits(high=0)
        if not self.shared.make_room(self._address):
            transport.abort()
            return
        self._accepted = True
        self.shared.count += 1
        self.shared.by_address[self._address] += 1
        self._await_head()

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        if self._running is not None:
            self._running.disconnected = True
            self._running.message_event.set()
        self.pipeline.clear()
        self._cancel_header_timer()
        self._stop_watching_writes()
        self.shared.idle.pop(self, None)
        self.shared.heads.release(self)
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

    def close(self) -> None:
        self.shared.idle.pop(self, None)
        self.transport.close()

    def data_received(self, data: bytes) -> None:
        for start in range(0, len(data), FEED_BYTES):
            if self._pending_rejection is not None or self.transport.is_closing():
                return
            self._feed(data[start : start + FEED_BYTES])
        if self._in_head and self._head_bytes and self._header_timer is None:
            self._await_head()

    def _feed(self, data: bytes) -> None:
        if self._in_head:
            self._head_bytes += len(data)
        else:
            self._silent_bytes += len(data)
            if self.cycle.response_complete and self.cycle.more_body:
                self._discarded_bytes += len(data)
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            pass  # To another protocol, of which there is none here.
        except httptools.HttpParserError:
            self._reject(*self._parse_failure)
            return
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
        elif self._in_head and self._head_bytes:
            self.shared.heads.hold(self, self._head_bytes)

    # Parser callbacks.
    def on_headers_complete(self) -> None:
        version = self.parser.get_http_version()
        if len(self.headers) > self._limits.max_headers:
            self._fail_parsing(431, "There are too many headers.")
        hosts = [name for name, _ in self.headers].count(b"host")
        if hosts > 1 or (hosts == 0 and version != "1.0"):
            self._fail_parsing(400, "Exactly one Host header is needed.")
        if len(self.pipeline) >= MAX_PIPELINED:
            self._fail_parsing(429, "Too many pipelined requests.")
        raw_path, query = _path_and_query(self.url)
        path = raw_path.decode("ascii")
        scope: Any = self.scope
        scope["http_version"] = version
        scope["method"] = self.parser.get_method().decode("ascii")
        scope["path"] = unquote(path) if "%" in path else path
        scope["raw_path"], scope["query_string"] = raw_path, query
        self._in_head = False
        self._head_bytes = self._silent_bytes = self._discarded_bytes = 0
        self._cancel_header_timer()
        self.shared.idle.pop(self, None)
        self.shared.heads.release(self)
        exchange = Exchange(
            self,
            scope,
            self.server_state.default_headers,
            keep_alive=version != "1.0" and self.parser.should_keep_alive(),
            expects_continue=self.expect_100_continue,
        )
        self.cycle: Any = exchange
        # Trailers (RFC 9110, section 6.5) come here as well: never headers, and nothing here asks for one.
        self.headers = []
        if self._running is None:
            self._start(exchange)
        else:
            self.flow.pause_reading()
            self.pipeline.appendleft((exchange, self.app))  # type: ignore[arg-type]

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
        if len(self.cycle.body) <= FEED_BYTES:
            self.cycle.scope[WHOLE_BODY] = bytes(self.cycle.body)
        super().on_message_complete()

    def _start(self, exchange: Exchange) -> None:
        self._running = exchange
        self._start_asgi_task(exchange, self.app)  # type: ignore[arg-type]

    def on_response_complete(self) -> None:
        """Called by the exchange."""
        self._running = None
        self.server_state.total_requests += 1
        if self.transport.is_closing():
            return
        self.flow.resume_reading()
        if self.pipeline:
            self._start(self.pipeline.pop()[0])  # type: ignore[arg-type]
        elif self._pending_rejection is not None:
            self._reject(*self._pending_rejection)
        else:
            self.shared.become_idle(self, self.loop)

    # Writing.
    def pause_writing(self) -> None:
        super().pause_writing()
        if self._write_timer is None:
            self._unread_bytes = self._count_unread()
            self._write_timer = self.loop.call_later(CHECK_WRITE_S, self._check_write)
        self.shared.unsent.hold(self, self.transport.get_write_buffer_size())

    def resume_writing(self) -> None:
        super().resume_writing()
        self._stop_watching_writes()

    def _check_write(self) -> None:
        self._write_timer = None
        unread = self._count_unread()
        if self._unread_bytes - unread < CHECK_WRITE_S * MIN_WRITE_BYTES_PER_S:
            self.transport.abort()
            return
        self._unread_bytes = unread
        # Whoever reads is not among those that are cut off first.
        self.shared.unsent.release(self)
        self.shared.unsent.hold(self, self.transport.get_write_buffer_size())
        self._write_timer = self.loop.call_later(CHECK_WRITE_S, self._check_write)

    def _count_unread(self) -> int:
        """Bytes here and in the kernel, which takes more only once it is rid of some."""
        descriptor = self.transport.get_extra_info("socket").fileno()
        in_kernel = fcntl.ioctl(descriptor, termios.TIOCOUTQ, bytes(4))
        return self.transport.get_write_buffer_size() + int.from_bytes(in_kernel, sys.byteorder)

    def _stop_watching_writes(self) -> None:
        self.shared.unsent.release(self)
        if self._write_timer is not None:
            self._write_timer.cancel()
            self._write_timer = None

    # Refusals.
    def _fail_parsing(self, status: int, reason: str) -> None:
        """Within a callback of the parser, which ends with it."""
        self._parse_failure = status, reason
        raise ValueError(reason)

    def _reject(self, status: int, reason: str) -> None:
        """Refuse a bad request and close, after the answers to the requests before it."""
        if self.transport.is_closing():
            return
        if not self._in_head and self.pipeline and self.pipeline[0][0] is self.cycle:
            self.pipeline.popleft()
        elif not self._in_head and (self.cycle is self._running or self.cycle.response_complete):
            # Its body ends in the middle: it has an answer, or one is being written.
            self.transport.close()
            return
        self._cancel_header_timer()
        self._pending_rejection = status, reason
        if self._running is None:
            body = reason.encode()
            head = b"content-type: text/plain; charset=utf-8\r\nconnection: close\r\ncontent-length: %d\r\n\r\n"
            self.transport.write(STATUS_LINE[status] + head % len(body) + body)
            self.transport.close()

    def _await_head(self) -> None:
        """Its time is the headers' own, and not that of an idle connection."""
        timeout_s = self._limits.header_timeout_s
        if self._running is None:
            self.shared.become_idle(self, self.loop, timeout_s)
        self._header_timer = self.loop.call_later(timeout_s, self._header_timed_out)

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


def _path_and_query(target: bytes) -> tuple[bytes, bytes]:
    if target.startswith(b"/") and b"#" not in target:
        path, _, query = target.partition(b"?")
        return path, query
    url = httptools.parse_url(target)
    return url.path or b"/", url.query or b""


def bounded_protocol(limits: ConnectionLimits, keep_alive_s: float) -> type[BoundedHttpProtocol]:
    """The protocol of one server."""
    return type("ServerHttpProtocol", (BoundedHttpProtocol,), {"shared": Connections(limits, keep_alive_s)})
