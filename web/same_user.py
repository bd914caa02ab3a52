"""Connections to loopback, where any user of the machine may listen on a port that its owner has just left."""

from __future__ import annotations

import asyncio
import errno
import os
import socket
import ssl
from collections.abc import Mapping
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any

import aiohttp
import httpx
from httpx_aiohttp import AiohttpTransport

from web.settings import SettingsError, authorities_setting, is_loopback

TABLES = (Path("/proc/net/tcp"), Path("/proc/net/tcp6"))
LISTEN = "0A"
"""A state in these tables."""
LOCAL_ADDRESS, STATE, UID = 1, 3, 7
"""Their columns (proc(5))."""
ROOT = 0


def is_ours(host: str, port: int) -> bool:
    """Whether this user or root, and nobody else, listens on a port of loopback; True for any other address."""
    if not is_loopback(host) or not TABLES[0].exists():
        return True
    users = _listeners(port)
    return bool(users) and users <= {os.geteuid(), ROOT}


@cache
def certificates(*, trust_env: bool) -> ssl.SSLContext:
    """What all clients of a process verify servers with: to load it takes 20 ms each time.

    `SettingsError` names the variable that leads to no certificates.
    """
    try:
        return httpx.create_ssl_context(trust_env=trust_env)
    except OSError as error:
        raise SettingsError(
            f"{authorities_setting()}, where no certificates can be read: {error.strerror or error}; give a file "
            "of PEM certificates or unset it"
        ) from None


def certificates_for(urls: str, *, trust_env: bool) -> ssl.SSLContext:
    """`certificates` if one of `urls`, however they are listed, is HTTPS; otherwise an empty context."""
    if "https://" in urls.lower():
        return certificates(trust_env=trust_env)
    return ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)


def aiohttp_transport(urls: str, max_connections: int, *, same_user: bool) -> AiohttpTransport:
    """httpx over aiohttp to `urls`; `same_user`: it connects on loopback to what is ours alone."""
    limits = httpx.Limits(max_connections=max_connections, max_keepalive_connections=max_connections)
    verify = certificates_for(urls, trust_env=True)
    if not same_user:
        return AiohttpTransport(limits=limits, verify=verify)

    def session() -> aiohttp.ClientSession:
        connector = aiohttp.TCPConnector(
            limit=max_connections, keepalive_timeout=limits.keepalive_expiry, socket_factory=_our_socket
        )
        return aiohttp.ClientSession(connector=connector)

    return AiohttpTransport(limits=limits, verify=verify, client=session)


class SameUserTransport(httpx.AsyncHTTPTransport):
    """httpx's own transport, which connects on loopback to what is ours alone; `httpx.ConnectError` elsewhere.

    A connection is checked when it is made: later it still leads to the process that accepted it.
    """

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        request.extensions = {**request.extensions, "trace": _refuse_strangers}
        return await super().handle_async_request(request)


async def _refuse_strangers(event: str, info: Mapping[str, Any]) -> None:
    """Called by httpcore at each step of a request."""
    if event != "connection.connect_tcp.started":
        return
    # In a thread: the kernel may walk all its connections for this, which takes milliseconds.
    if not await asyncio.to_thread(is_ours, info["host"], info["port"]):
        raise httpx.ConnectError(_refusal(info["port"]))


def _refusal(port: int) -> str:
    return f"another user listens on port {port}, or nobody"


def _our_socket(address_info: Any) -> socket.socket:
    """aiohttp's way to make one for a connection: refused where nobody of ours listens."""
    family, kind, protocol, _, address = address_info
    if not is_ours(*address[:2]):
        raise ConnectionRefusedError(errno.ECONNREFUSED, _refusal(address[1]))
    return socket.socket(family, kind, protocol)


def _listeners(port: int) -> set[int]:
    """The users who listen on a TCP port of any address."""
    users = set()
    for table in TABLES:
        with suppress(OSError), table.open(encoding="ascii") as lines:
            next(lines)
            for columns in map(str.split, lines):
                # Those that listen come first, before all connections.
                if columns[STATE] != LISTEN:
                    break
                if int(columns[LOCAL_ADDRESS].rpartition(":")[2], 16) == port:
                    users.add(int(columns[UID]))
    return users
