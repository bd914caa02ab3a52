"""What each tenant has used, by day: counted here, kept every few seconds. Knows no HTTP and no database."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Protocol

from gateway.clock import Clock
from gateway.errors import InvalidRequest, StoreUnavailable

KEEP_S = 5.0
"""A killed process loses so much of what it has counted."""
DAYS, MAX_DAYS = 30, 400


@dataclass(frozen=True, slots=True)
class Use:
    """Of one tenant on one day (UTC): answers given, and their pairs."""

    tenant_id: str
    day: date
    requests: int = 0
    pairs_computed: int = 0
    pairs_cached: int = 0


class UsageStore(Protocol):
    """Uses, kept."""

    async def add(self, uses: Sequence[Use]) -> None:
        """On top of what is there, all or nothing; a tenant that is gone is left out."""
        ...

    async def of(self, tenant_id: str, first: date, last: date) -> Sequence[Use]:
        """By day, without the days on which nothing was used."""
        ...


class Usage:
    """Counts the answers of this process."""

    def __init__(self, store: UsageStore, clock: Clock) -> None:
        self._store = store
        self._clock = clock
        self._counts: dict[tuple[str, date], list[int]] = {}

    def count(self, tenant_id: str, *, computed: int, cached: int) -> None:
        """One answer."""
        counts = self._counts.setdefault((tenant_id, self._clock.now().date()), [0, 0, 0])
        counts[0] += 1
        counts[1] += computed
        counts[2] += cached

    async def store(self) -> None:
        """Keep what was counted; it stays counted here when that fails."""
        counted, self._counts = self._counts, {}
        if not counted:
            return
        try:
            await self._store.add([Use(tenant_id, day, *counts) for (tenant_id, day), counts in counted.items()])
        except StoreUnavailable:
            for key, counts in counted.items():
                newer = self._counts.get(key, [0, 0, 0])
                self._counts[key] = [old + new for old, new in zip(counts, newer, strict=True)]
            raise

    async def keep(self) -> None:
        """Store every `KEEP_S`, until cancelled."""
        while True:
            await asyncio.sleep(KEEP_S)
            with suppress(StoreUnavailable):
                await self.store()

    async def of(self, tenant_id: str, first: date | None, last: date | None) -> Sequence[Use]:
        """The last `DAYS` days where none are given; what other gateways have not stored yet is not there."""
        last = last or self._clock.now().date()
        first = first or last - timedelta(days=DAYS - 1)
        if not 0 <= (last - first).days < MAX_DAYS:
            raise InvalidRequest(f"1 to {MAX_DAYS} days are possible", field="from")
        return await self._store.of(tenant_id, first, last)
