"""Attacks on connections: requests that never end, clients that are silent or read slowly."""

from __future__ import annotations

import asyncio
import gzip
import socket
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress

from benchmarks.attack_job import BODY_BYTES, PAUSE_S, Attack, Job, connect

PIECE_BYTES = 65_536


def _stream(head: bytes, endless: bytes) -> Attack:
    """A request whose URL or headers never end, on 16 connections."""

    async def attack(job: Job) -> Counter[str]:
        outcomes: Counter[str] = Counter()

        async def stream() -> None:
            reader, writer = await connect(job)
            try:
                writer.write(head)
                with suppress(ConnectionError):
                    while not reader.at_eof():
                        writer.write(endless)
                        await writer.drain()
                        await asyncio.sleep(0)
                line = await reader.readline()
                outcomes[line.split()[1].decode() if line else "closed"] += 1
            finally:
                writer.close()

        async def stream_until_the_end() -> None:
            with suppress(TimeoutError):
                async with asyncio.timeout(job.seconds):
                    while True:
                        try:
                            await stream()
                        except ConnectionError:
                            outcomes["closed"] += 1
                        await asyncio.sleep(PAUSE_S)

        await asyncio.gather(*(stream_until_the_end() for _ in range(16)))
        return outcomes

    return attack


def _once(connections: int, make: Callable[[Job], bytes]) -> Attack:
    """The same bytes on each of the connections, which then wait for an answer until the time is up."""

    async def attack(job: Job) -> Counter[str]:
        content, outcomes = make(job), Counter[str]()

        async def send() -> None:
            reader, writer = await connect(job)
            try:
                with suppress(ConnectionError):
                    for start in range(0, len(content), PIECE_BYTES):
                        writer.write(content[start : start + PIECE_BYTES])
                        await writer.drain()
                line = await reader.readline()
                outcomes[line.split()[1].decode() if line else "closed"] += 1
            finally:
                writer.transport.abort()

        async def send_until_the_end() -> None:
            try:
                async with asyncio.timeout(job.seconds):
                    await send()
            except TimeoutError:
                outcomes["open"] += 1
            except ConnectionError:
                outcomes["closed"] += 1

        await asyncio.gather(*(send_until_the_end() for _ in range(connections)))
        return outcomes

    return attack


async def _silent_connections(job: Job) -> Counter[str]:
    opened = []
    ends_at = time.monotonic() + job.seconds
    for _ in range(2_000):
        with suppress(OSError):
            opened.append(await connect(job))
    await asyncio.sleep(ends_at - time.monotonic())
    outcomes = Counter("closed" if reader.at_eof() else "open" for reader, _ in opened)
    for _, writer in opened:
        writer.close()
    return outcomes


async def _slow_readers(job: Job) -> Counter[str]:
    """64 clients ask 32 times for a large document and read 64 bytes of it a second."""
    asked = job.request("GET", "/openapi.json") * 32
    outcomes: Counter[str] = Counter()

    async def read_slowly() -> None:
        loop, ends_at = asyncio.get_running_loop(), time.monotonic() + job.seconds
        with socket.socket() as connection:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
            connection.setblocking(False)
            if source := job.source():
                connection.bind(source)
            try:
                await loop.sock_connect(connection, (job.host, job.port))
                await loop.sock_sendall(connection, asked)
                while time.monotonic() < ends_at:
                    if not await loop.sock_recv(connection, 64):
                        break
                    await asyncio.sleep(min(1.0, job.seconds))
            except OSError:
                outcomes["closed"] += 1
            else:
                outcomes["open"] += 1

    await asyncio.gather(*(read_slowly() for _ in range(64)))
    return outcomes


CONNECTIONS: dict[str, Attack] = {
    "a URL without end": _stream(b"GET /", b"a" * 6_000),
    "headers without end": _stream(b"GET / HTTP/1.1\r\nHost: x\r\n", b"a: b\r\n" * 1_000),
    "a header value without end": _stream(b"GET / HTTP/1.1\r\nHost: x\r\na: ", b"b" * 6_000),
    "2,000 silent connections": _silent_connections,
    "64 slow readers": _slow_readers,
}
"""Each sends until the time is up, without a key."""


def _unfinished_head(job: Job) -> bytes:
    return job.request("GET", "/", b"", **{f"x{n}": "a" * 6_000 for n in range(10)})[:-1]


def _unfinished_body(job: Job) -> bytes:
    return job.request("POST", "/v1/classify", bytes(BODY_BYTES))[:-1]


def _compressed_body(job: Job) -> bytes:
    body = gzip.compress(b'{"labels":"a,b","text":"' + b"a" * BODY_BYTES + b'"}')
    return job.request("POST", "/v1/classify", body, Content_Encoding="gzip")


MEMORY: dict[str, Attack] = {
    "2,000 unfinished heads of 60 KB": _once(2_000, _unfinished_head),
    "256 unfinished bodies of 3.9 MB": _once(256, _unfinished_body),
    "256 bodies of 4 KB that decompress to 3.9 MB": _once(256, _compressed_body),
}
"""Sent once. What a server keeps of them has a bound where its memory has one, as in a Pod."""
