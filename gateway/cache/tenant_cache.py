"""A cache in this process, of which each tenant has a share."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from typing import Generic, TypeVar

PAIR_BYTES = 320
"""Memory of a pair, measured: key, value, time, and the dictionary's own."""
SWEEP = 64
"""Expired entries that one `put` removes at most, beside as many as it adds."""

_Value = TypeVar("_Value")


class TenantCache(Generic[_Value]):
    """At most `max_bytes`, as long as an entry has `entry_bytes`; each entry for `ttl_s`.

    When it is full, the tenant that has most loses what it has not used for longest, as much as a `put` adds. So a
    tenant keeps its entries as long as it has fewer than any other one, or than an equal share.
    """

    def __init__(
        self,
        max_bytes: int,
        ttl_s: float,
        now: Callable[[], float] = time.monotonic,
        entry_bytes: int = PAIR_BYTES,
    ) -> None:
        self._entry_bytes = entry_bytes
        self._max_entries = max_bytes // entry_bytes
        self._ttl_s = ttl_s
        self._now = now
        self._tenants: OrderedDict[str, OrderedDict[bytes, tuple[_Value, float]]] = OrderedDict()
        """Values and their times of expiry. The tenant whose last `put` was longest ago is first, and of its
        entries the one longest unused."""
        self.entries = 0
        self.hits = self.misses = self.evicted = 0
        """Since the start; `evicted` to make room, not because they had expired."""

    @property
    def size_bytes(self) -> int:
        return self.entries * self._entry_bytes

    async def get(self, tenant_id: str, keys: Sequence[bytes]) -> list[_Value | None]:
        entries, now = self._tenants.get(tenant_id) or OrderedDict(), self._now()
        values: list[_Value | None] = []
        for key in keys:
            entry = entries.get(key)
            if entry is not None and entry[1] > now:
                entries.move_to_end(key)
                values.append(entry[0])
            else:
                values.append(None)
        misses = values.count(None)
        self.misses += misses
        self.hits += len(values) - misses
        return values

    async def put(self, tenant_id: str, values: Mapping[bytes, _Value]) -> None:
        if not values or not self._max_entries:
            return
        now = self._now()
        entries = self._tenants.setdefault(tenant_id, OrderedDict())
        self._tenants.move_to_end(tenant_id)
        self.entries -= len(entries)
        expires_at = now + self._ttl_s
        for key, value in values.items():
            entries[key] = (value, expires_at)
            entries.move_to_end(key)
        self.entries += len(entries)
        self._sweep(now, SWEEP + len(values))
        while (excess := self.entries - self._max_entries) > 0:
            # A look at all tenants, 20 µs for a thousand; the share of one is larger than what a `put` adds.
            largest = max(self._tenants, key=lambda tenant: len(self._tenants[tenant]))
            count = min(excess, len(self._tenants[largest]))
            self._evict(largest, count)
            self.evicted += count

    def _sweep(self, now: float, max_entries: int) -> None:
        """Remove entries that have expired, of tenants that have put none for longest."""
        while max_entries > 0:
            tenant_id, entries = next(iter(self._tenants.items()))
            expired = 0
            for _, expires_at in entries.values():
                if expires_at > now or expired == max_entries:
                    break
                expired += 1
            if not expired:
                return
            self._evict(tenant_id, expired)
            max_entries -= expired

    def _evict(self, tenant_id: str, count: int) -> None:
        """The `count` entries that the tenant has not used for longest."""
        entries = self._tenants[tenant_id]
        for _ in range(count):
            entries.popitem(last=False)
        self.entries -= count
        if not entries:
            del self._tenants[tenant_id]
