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
from web.token_bucket import TokenBucket

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
        self._buckets: LRUCache[str, TokenBucket] = LRUCache(MAX_ADDRESSES)
        """What may still fail."""

    def check(self, address: str) -> None:
        """`TooManyFailures` where the next failure of this address would be one too many."""
        bucket = self._buckets.get(subscriber_of(address))
        if bucket is not None and (missing := 1 - bucket.level(self._now())) > 0:
            retry_after_s = math.ceil(missing / self._per_s)
            raise TooManyFailures("too many failed authentications from this address", retry_after_s)

    def count(self, address: str) -> None:
        """One failure; `TooManyFailures` in place of its own refusal where it is one too many."""
        self.check(address)
        if self._per_s:
            now = self._now()
            full = TokenBucket(self._burst, self._burst / self._per_s, now)
            self._buckets.setdefault(subscriber_of(address), full).take(1, now)


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
