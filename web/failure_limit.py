"""A limit on failed authentications of one address: a token bucket each, in bounded memory.

It refuses failures alone. Whoever authenticates is served, whatever others at the same address do.
"""

from __future__ import annotations

import ipaddress
import math
from collections.abc import Callable

from cachetools import LRUCache
from starlette.requests import Request

from stores.errors import TooManyFailures

BURST_S = 5.0
"""A bucket holds what may fail in this time."""
MAX_ADDRESSES = 10_000
"""Buckets remembered; the one longest unused is dropped, and is full again when it comes back."""
IPV6_NETWORK_BITS = 64
"""What one subscriber has: all of its addresses share a bucket."""


class FailureLimit:
    """`per_s` failures of one address a second; 0: unlimited. `now` is in seconds that never go back."""

    def __init__(self, per_s: float, now: Callable[[], float]) -> None:
        self._per_s = per_s
        self._burst = max(1.0, per_s * BURST_S)
        self._now = now
        self._buckets: LRUCache[str, tuple[float, float]] = LRUCache(MAX_ADDRESSES)
        """What may still fail, and when that was so."""

    def check(self, address: str) -> None:
        """`TooManyFailures` where the next failure of this address would be one too many."""
        if self._per_s and (missing := 1 - self._level(subscriber_of(address))) > 0:
            retry_after_s = math.ceil(missing / self._per_s)
            raise TooManyFailures("too many failed authentications from this address", retry_after_s)

    def count(self, address: str) -> None:
        """One failure; `TooManyFailures` in place of its own refusal where it is one too many."""
        self.check(address)
        if self._per_s:
            subscriber = subscriber_of(address)
            self._buckets[subscriber] = (self._level(subscriber) - 1, self._now())

    def _level(self, subscriber: str) -> float:
        level, at = self._buckets.get(subscriber, (self._burst, 0.0))
        return min(self._burst, level + (self._now() - at) * self._per_s)


def address_of(request: Request) -> str:
    """Of the caller; empty where the server does not know it, as on a socket of Unix."""
    client = request.scope.get("client")
    return client[0] if client else ""


def subscriber_of(address: str) -> str:
    """What one subscriber has: an address of IPv4, or a network of IPv6."""
    if ":" not in address:
        return address
    ipv6 = ipaddress.IPv6Address(address.partition("%")[0])
    if ipv6.ipv4_mapped is not None:
        # Callers over IPv4 of a server that listens on `::`.
        return str(ipv6.ipv4_mapped)
    return str(ipaddress.IPv6Network((ipv6, IPV6_NETWORK_BITS), strict=False))
