"""Where replicas of Triton are: a list, or whatever DNS names have at present. Knows no health."""

from __future__ import annotations

import asyncio
import logging
import math
import socket
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from typing import Protocol
from urllib.parse import parse_qs, urlsplit

from gateway.settings import SettingsError

DNS = "dns+"
"""Before a URL whose host has an address for each replica, such as a headless Service."""
RESOLVE_TIMEOUT_S = 5.0
POOL = "default"
"""Of an address that names none."""
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
    """Replicas alike, such as those on one kind of GPU."""
    weight: float = 1.0
    """Pairs a second that it computes, in any unit that all addresses share."""


class Addresses(Protocol):
    async def all(self) -> Sequence[Address]:
        """The replicas there are now, each URL once; what was known before when nobody can tell."""
        ...


class FixedAddresses:
    def __init__(self, addresses: Sequence[Address]) -> None:
        self._addresses = addresses

    async def all(self) -> Sequence[Address]:
        return self._addresses


class DnsAddresses:
    """Every address of the host of `name`; the last answer stands while the resolver fails."""

    def __init__(self, name: Address, lookup: Lookup | None = None) -> None:
        self._name = name
        self._parts = urlsplit(name.url)
        self._lookup = lookup or _lookup
        self._known: Sequence[Address] = []

    async def all(self) -> Sequence[Address]:
        port = self._parts.port or 80
        try:
            async with asyncio.timeout(RESOLVE_TIMEOUT_S):
                found = await self._lookup(self._parts.hostname or "", port)
        except (OSError, TimeoutError) as error:
            log.warning("%s cannot be resolved: %r", self._parts.hostname, error)
            return self._known
        hosts = (f"[{host}]" if ":" in host else host for host in dict.fromkeys(found))
        self._known = [replace(self._name, url=f"{self._parts.scheme}://{host}:{port}") for host in hosts]
        return self._known


class SeveralAddresses:
    """What all `parts` say; where two name one URL the first holds."""

    def __init__(self, parts: Sequence[Addresses]) -> None:
        self._parts = parts

    async def all(self) -> Sequence[Address]:
        found = await asyncio.gather(*(part.all() for part in self._parts))
        by_url = {address.url: address for addresses in reversed(found) for address in reversed(addresses)}
        return list(reversed(by_url.values()))


def addresses_of(setting: str) -> Addresses:
    """`http://a:8000,dns+http://name:8000#pool=a100&weight=3`: entries with commas between them.

    `SettingsError` for one that is no URL, or whose weight is no number above 0.
    """
    entries = [entry.strip() for entry in setting.split(",") if entry.strip()]
    if not entries:
        raise SettingsError(f"{SETTING} names no Triton")
    return SeveralAddresses([_entry(entry) for entry in entries])


def _entry(entry: str) -> Addresses:
    parts = urlsplit(entry.removeprefix(DNS))
    try:
        given = parse_qs(parts.fragment, keep_blank_values=True, strict_parsing=True) if parts.fragment else {}
        weight = float(given.pop("weight", ["1"])[-1])
        pool = given.pop("pool", [POOL])[-1]
        wellformed = parts.scheme in ("http", "https") and parts.hostname and (parts.port or 80) and not given
    except ValueError:
        wellformed, weight, pool = False, 1.0, POOL
    if not wellformed or not pool or not 0 < weight < math.inf:
        raise SettingsError(f"{SETTING}: {entry!r} is not like http://host:8000#pool=a10&weight=1")
    address = Address(parts._replace(fragment="", query="", path="").geturl(), pool, weight)
    return DnsAddresses(address) if entry.startswith(DNS) else FixedAddresses([address])


async def _lookup(host: str, port: int) -> Sequence[str]:
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return [str(address[4][0]) for address in found]
