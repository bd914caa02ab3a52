"""Stands before a Triton and does to its answers what networks and sick servers do."""

from __future__ import annotations

import asyncio
import random
import socket
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from enum import Enum
from urllib.parse import urlsplit

CHUNK = 65_536
LATE_S = 0.3
"""About twenty times what a call to the embedded engine takes."""
NO_LINGER = struct.pack("ii", 1, 0)
"""SO_LINGER of zero seconds: closing sends a reset."""


class Harm(Enum):
    NONE = "nothing"
    LATE = "every answer comes twenty times as late"
    GARBAGE = "every answer is 200 and noise"
    RESET = "the connection is reset in the midst of an answer"
    HANG = "connections are taken and nothing is ever answered"


@dataclass
class Proxy:
    """Listens at `port` and forwards to `target`, an http URL."""

    port: int
    target: str
    harm: Harm = Harm.NONE
    harmed: int = 0
    """Answers that it spoiled."""
    ended: bool = False
    connections: set[asyncio.Task[None]] = field(default_factory=set)

    def take(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """A new connection; one that was accepted as the proxy ended is refused."""
        if self.ended:
            writer.transport.abort()
            return
        task = asyncio.create_task(self._serve(reader, writer))
        self.connections.add(task)
        task.add_done_callback(self.connections.discard)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        to = urlsplit(self.target)
        ends = [writer]
        try:
            there, back = await asyncio.open_connection(to.hostname, to.port)
            ends.append(back)
            async with asyncio.TaskGroup() as ways:
                way = ways.create_task(self._forward(reader, back))
                await self._answer(there, writer)
                way.cancel()
        except* OSError:
            pass
        finally:
            for end in ends:
                end.close()
            await asyncio.gather(*(end.wait_closed() for end in ends), return_exceptions=True)

    async def _forward(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while chunk := await reader.read(CHUNK):
            writer.write(chunk)
            await writer.drain()
        writer.close()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while chunk := await reader.read(CHUNK):
            self.harmed += self.harm is not Harm.NONE
            if self.harm is Harm.LATE:
                await asyncio.sleep(LATE_S)
            elif self.harm is Harm.GARBAGE:
                noise = random.Random(self.harmed).randbytes(120)
                head = b"HTTP/1.1 200 OK\r\nInference-Header-Content-Length: 60\r\nContent-Length: 120\r\n\r\n"
                chunk = head + noise
            elif self.harm is Harm.RESET:
                writer.write(chunk[: len(chunk) // 2])
                await writer.drain()
                writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, NO_LINGER)
                writer.transport.abort()
                return
            elif self.harm is Harm.HANG:
                continue
            writer.write(chunk)
            await writer.drain()


@asynccontextmanager
async def proxied(port: int, target: str) -> AsyncIterator[Proxy]:
    proxy = Proxy(port, target)
    server = await asyncio.start_server(proxy.take, "127.0.0.1", port)
    try:
        yield proxy
    finally:
        proxy.ended = True
        server.close()
        connections = list(proxy.connections)
        for connection in connections:
            connection.cancel()
        await asyncio.gather(*connections, return_exceptions=True)
