"""An application that plays the control plane: it keeps what arrives, and answers as it is told."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from starlette.types import Receive, Scope, Send


@dataclass
class ReceivedRequest:
    """What arrived, byte for byte; of the body, its size and its SHA-256."""

    method: str
    target: str
    headers: list[tuple[bytes, bytes]]
    body_bytes: int = 0
    sha256: str = ""
    disconnected: bool = False

    def header(self, name: str) -> list[bytes]:
        return [value for key, value in self.headers if key == name.encode()]


def _open() -> asyncio.Event:
    event = asyncio.Event()
    event.set()
    return event


@dataclass
class FakeControlPlane:
    """An ASGI application. It goes on only while its gates are open."""

    status: int = 200
    headers: list[tuple[bytes, bytes]] = field(default_factory=lambda: [(b"content-type", b"application/json")])
    body: Iterable[bytes] = (b"{}",)
    """Chunks of the answer's body."""
    before_reading: asyncio.Event = field(default_factory=_open)
    before_answering: asyncio.Event = field(default_factory=_open)
    before_body: asyncio.Event = field(default_factory=_open)
    """Closed: an answer has its status and headers, and no more."""
    on_request: Callable[[], None] = lambda: None
    """Called when a request was read, before it is answered."""
    dies: bool = False
    """Within its answer."""
    requests: list[ReceivedRequest] = field(default_factory=list)
    sent_bytes: int = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        query = f"?{scope['query_string'].decode()}" if scope["query_string"] else ""
        request = ReceivedRequest(
            scope["method"],
            scope["raw_path"].decode() + query,
            [(name, value) for name, value in scope["headers"]],
        )
        self.requests.append(request)
        await self.before_reading.wait()
        await self._read(request, receive)
        if request.disconnected:
            return
        self.on_request()
        await self.before_answering.wait()
        await send({"type": "http.response.start", "status": self.status, "headers": self.headers})
        await self.before_body.wait()
        for chunk in self.body:
            await send({"type": "http.response.body", "body": chunk, "more_body": True})
            self.sent_bytes += len(chunk)
        if self.dies:
            raise ConnectionResetError
        await send({"type": "http.response.body", "body": b"", "more_body": False})

    async def _read(self, request: ReceivedRequest, receive: Receive) -> None:
        digest, more = hashlib.sha256(), True
        while more:
            message = await receive()
            if message["type"] == "http.disconnect":
                request.disconnected = True
                return
            digest.update(message["body"])
            request.body_bytes += len(message["body"])
            more = message["more_body"]
        request.sha256 = digest.hexdigest()
