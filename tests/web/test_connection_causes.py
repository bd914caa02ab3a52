"""The causes of connections that fail, over the transport that the gateway uses."""

from __future__ import annotations

import asyncio

import aiohttp
import httpx
import pytest

from tests.e2e.server import free_ports
from web.connection_causes import connection_cause
from web.same_user import aiohttp_transport


async def cause(url: str) -> str:
    async with httpx.AsyncClient(
        transport=aiohttp_transport("", 1, same_user=False), timeout=0.5, trust_env=False
    ) as http:
        with pytest.raises((httpx.TransportError, aiohttp.ClientError)) as error:
            await http.get(url)
        return connection_cause(error.value)


async def test_nobody_listens_and_nobody_knows_the_name() -> None:
    (port,) = free_ports(1)
    assert await cause(f"http://127.0.0.1:{port}") == "connection refused"
    assert await cause("http://triton.invalid") in ("its host name cannot be resolved", "no answer in time")


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (b"", "it ended the connection, or answered in another protocol"),
        (b"SSH-2.0-OpenSSH_9.2\r\n", "it ended the connection, or answered in another protocol"),
        (None, "no answer in time"),
    ],
)
async def test_somebody_else_answers_or_nobody(answer: bytes | None, words: str) -> None:
    done = asyncio.Event()

    async def serve(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if answer is None:
            await done.wait()
        else:
            writer.write(answer)
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        assert await cause(f"http://127.0.0.1:{port}") == words
        if answer is not None:
            assert "tls" in (await cause(f"https://127.0.0.1:{port}")).lower() or answer == b""
        done.set()
