"""Where replicas of Triton are: a list, or whatever a DNS name has at present. Knows no health."""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Awaitable, Callable, Sequence
from typing import Protocol
from urllib.parse import urlsplit

DNS = "dns+"
"""Before a URL whose host has an address for each replica, such as a headless Service."""
RESOLVE_TIMEOUT_S = 5.0

log = logging.getLogger(__name__)

Lookup = Callable[[str, int], Awaitable[Sequence[str]]]
"""Addresses of a host, for a port."""


class Addresses(Protocol):
    async def urls(self) -> Sequence[str]:
        """Base URLs of the replicas there are now; what was known before when nobody can tell."""
        ...


class FixedAddresses:
    def __init__(self, urls: Sequence[str]) -> None:
        self._urls = list(dict.fromkeys(urls))

    async def urls(self) -> Sequence[str]:
        return self._urls


class DnsAddresses:
    """Every address of the host of `url`; the last answer stands while the resolver fails."""

    def __init__(self, url: str, lookup: Lookup | None = None) -> None:
        self._parts = urlsplit(url)
        self._lookup = lookup or _lookup
        self._known: Sequence[str] = []

    async def urls(self) -> Sequence[str]:
        port = self._parts.port or 80
        try:
            async with asyncio.timeout(RESOLVE_TIMEOUT_S):
                found = await self._lookup(self._parts.hostname or "", port)
        except (OSError, TimeoutError) as error:
            log.warning("%s cannot be resolved: %r", self._parts.hostname, error)
            return self._known
        hosts = (f"[{host}]" if ":" in host else host for host in dict.fromkeys(found))
        self._known = [f"{self._parts.scheme}://{host}:{port}" for host in hosts]
        return self._known


def addresses_of(setting: str) -> Addresses:
    """`http://a:8000,http://b:8000`, or `dns+http://name:8000`."""
    if setting.startswith(DNS):
        return DnsAddresses(setting.removeprefix(DNS))
    return FixedAddresses([url.strip().rstrip("/") for url in setting.split(",") if url.strip()])


async def _lookup(host: str, port: int) -> Sequence[str]:
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return [str(address[4][0]) for address in found]
