"""Service discovery: the addresses of Triton's replicas, from a list or from DNS."""

from __future__ import annotations

import asyncio
import logging
import math
import socket
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from typing import Protocol
from urllib.parse import parse_qs, urlsplit

from web.settings import SettingsError

DNS = "dns+"
"""Before a URL whose host has an address for each replica, such as a headless Service."""
RESOLVE_TIMEOUT_S = 5.0
POOL = "default"
"""The pool of an address that names none."""
SETTING = "WANNENG_TRITON_URL"

log = logging.getLogger(__name__)

Lookup = Callable[[str, int], Awaitable[Sequence[str]]]
"""Addresses of a host, for a port."""


@dataclass(frozen=True, slots=True)
class Address:
    """One Triton."""

    url: str
    """Without a path, a query or a `/` at the end."""
    pool: str = POOL
    """Replicas of one kind, such as those on one type of GPU."""
    weight: float = 1.0
    """Pairs a second that it computes, in any unit that all addresses share."""
    share: float | None = None
    """Share of the requests that this pool's own model answers; None: those that no pool with a share answers."""


class Discovery(Protocol):
    async def all(self) -> Sequence[Address]:
        """The replicas there are now, each URL once; the last known ones when that cannot be found out."""
        ...


class StaticDiscovery:
    def __init__(self, addresses: Sequence[Address]) -> None:
        self._addresses = addresses

    async def all(self) -> Sequence[Address]:
        return self._addresses


class DnsDiscovery:
    """Every address of a host name; the last answer stays in force while the resolver fails."""

    def __init__(self, name: Address, lookup: Lookup | None = None) -> None:
        self._name = name
        self._parts = urlsplit(name.url)
        self._lookup = lookup or _lookup
        self._known: Sequence[Address] = []

    async def all(self) -> Sequence[Address]:
        port = self._parts.port or 80
        try:
            async with asyncio.timeout(RESOLVE_TIMEOUT_S):
                resolved = await self._lookup(self._parts.hostname or "", port)
        except (OSError, TimeoutError) as error:
            log.warning("%s cannot be resolved: %r", self._parts.hostname, error)
            return self._known
        hosts = (f"[{host}]" if ":" in host else host for host in dict.fromkeys(resolved))
        self._known = [replace(self._name, url=f"{self._parts.scheme}://{host}:{port}") for host in hosts]
        return self._known


class CombinedDiscovery:
    """The addresses of all `parts`; where two have the same URL the first wins."""

    def __init__(self, parts: Sequence[Discovery]) -> None:
        self._parts = parts

    async def all(self) -> Sequence[Address]:
        listed = await asyncio.gather(*(part.all() for part in self._parts))
        by_url = {address.url: address for addresses in reversed(listed) for address in reversed(addresses)}
        return list(reversed(by_url.values()))


def discovery_of(setting: str) -> Discovery:
    """`http://a:8000,dns+http://name:8000#pool=a100&weight=3`: entries separated by commas.

    `SettingsError` for one that is no URL, whose weight is no number above 0, or whose share none from 0 to 1.
    """
    entries = [entry.strip() for entry in setting.split(",") if entry.strip()]
    if not entries:
        raise SettingsError(f"{SETTING} names no Triton")
    return CombinedDiscovery([_entry(entry) for entry in entries])


def _entry(entry: str) -> Discovery:
    parts, weight, pool, share = urlsplit(""), 1.0, POOL, None
    try:
        parts = urlsplit(entry.removeprefix(DNS))
        options = parse_qs(parts.fragment, keep_blank_values=True, strict_parsing=True) if parts.fragment else {}
        weight = float(options.pop("weight", ["1"])[-1])
        pool = options.pop("pool", [POOL])[-1]
        share = float(options.pop("share")[-1]) if "share" in options else None
        wellformed = parts.scheme in ("http", "https") and parts.hostname and (parts.port or 80) and not options
    except ValueError:
        wellformed = False
    if not wellformed or not pool or not 0 < weight < math.inf or not 0 <= (share or 0) <= 1:
        raise SettingsError(f"{SETTING}: {entry!r} is not like http://host:8000#pool=a10&weight=1&share=0.1")
    address = Address(parts._replace(fragment="", query="", path="").geturl(), pool, weight, share)
    return DnsDiscovery(address) if entry.startswith(DNS) else StaticDiscovery([address])


async def _lookup(host: str, port: int) -> Sequence[str]:
    resolved = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return [str(address[4][0]) for address in resolved]
