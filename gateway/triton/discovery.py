"""Service discovery: the addresses of Triton's replicas, from a list or from DNS."""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Awaitable, Callable, Sequence
from itertools import chain
from typing import Annotated, Protocol
from urllib.parse import parse_qsl, urlsplit

import msgspec
from msgspec import Meta, Struct, structs

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


class Address(Struct, frozen=True, forbid_unknown_fields=True):
    """One Triton; with `dns+` before its URL, one at every address of the host."""

    url: str
    """Without a path, a query or a `/` at the end."""
    pool: Annotated[str, Meta(min_length=1)] = POOL
    """Replicas of one kind, such as those on one type of GPU."""
    weight: Annotated[float, Meta(gt=0, le=1e9)] = 1.0
    """Pairs a second that it computes, in any unit that all addresses share."""
    share: Annotated[float, Meta(ge=0, le=1)] | None = None
    """Share of the requests that this pool's own model answers; None: those that no pool with a share answers."""


class Discovery(Protocol):
    async def all(self) -> Sequence[Address]:
        """The replicas there are now, each URL once; the last known ones when that cannot be found out."""
        ...


class AddressList:
    """A `Discovery` of `entries`; where two have the same URL the first wins."""

    def __init__(self, entries: Sequence[Address], lookup: Lookup | None = None) -> None:
        self._entries = entries
        self._lookup = lookup or _lookup
        self._known: dict[Address, Sequence[Address]] = {}
        """What names were resolved to, no address included: it stays in force while the resolver fails."""
        self._failures: dict[Address, str] = {}

    async def all(self) -> Sequence[Address]:
        by_url: dict[str, Address] = {}
        for address in chain(*await asyncio.gather(*map(self._addresses, self._entries))):
            by_url.setdefault(address.url, address)
        return list(by_url.values())

    async def _addresses(self, entry: Address) -> Sequence[Address]:
        if not entry.url.startswith(DNS):
            return [entry]
        parts = urlsplit(entry.url.removeprefix(DNS))
        name, port = parts.hostname or "", parts.port or (443 if parts.scheme == "https" else 80)
        try:
            async with asyncio.timeout(RESOLVE_TIMEOUT_S):
                hosts: Sequence[str] | None = await self._lookup(name, port)
            self._failures.pop(entry, None)
        except OSError as error:
            if (failure := repr(error)) != self._failures.get(entry):
                log.warning("%s cannot be resolved: %s", name, failure)
            self._failures[entry] = failure
            hosts = [] if error.errno in (socket.EAI_NONAME, socket.EAI_NODATA) else None
        if hosts is not None:
            urls = (f"{parts.scheme}://{f'[{host}]' if ':' in host else host}:{port}" for host in hosts)
            self._known[entry] = [structs.replace(entry, url=url) for url in urls]
        return self._known.get(entry, [])


def discovery_of(setting: str) -> Discovery:
    """`http://a:8000,dns+http://name:8000#pool=a100&weight=3`: entries separated by commas.

    `SettingsError` for one that is no URL, whose weight is no number above 0, or whose share none from 0 to 1.
    """
    entries = [entry.strip() for entry in setting.split(",") if entry.strip()]
    if not entries:
        raise SettingsError(f"{SETTING} names no Triton")
    return AddressList([_address(entry) for entry in entries])


def _address(entry: str) -> Address:
    try:
        parts = urlsplit(entry)
        options = parse_qsl(parts.fragment, keep_blank_values=True, strict_parsing=True) if parts.fragment else []
        values = {name: value if name == "pool" else float(value) for name, value in options}
        is_url = parts.scheme.removeprefix(DNS) in ("http", "https") and parts.hostname and (parts.port or 80)
        if is_url:
            url = parts._replace(fragment="", query="", path="").geturl()
            return msgspec.convert({"url": url} | values, Address)
    except ValueError:
        pass
    raise SettingsError(f"{SETTING}: {entry!r} is not like http://host:8000#pool=a10&weight=1&share=0.1")


async def _lookup(host: str, port: int) -> Sequence[str]:
    resolved = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return [str(address[4][0]) for address in resolved]
