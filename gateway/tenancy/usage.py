"""Counts what each tenant uses in this process, and adds it to the store every few seconds."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from datetime import date

from stores.budgets import Used
from stores.clock import Clock
from stores.errors import StoreUnavailable
from stores.usage import DailyUsage, KeyUsage, UsageStore
from web.authentication import Caller

STORE_INTERVAL_S = 5.0
"""A killed process loses so much of what it has counted."""
MAX_LABEL_SETS = 100
"""Of a tenant and a day that a process counts by name, the first ones; the others count for the tenant alone."""


class UsageCounter:
    def __init__(self, store: UsageStore, clock: Clock) -> None:
        self._store = store
        self._clock = clock
        self._counts: dict[tuple[str, str, str, date], list[int]] = {}
        """By tenant, key, label set and day."""
        self._label_sets: dict[tuple[str, date], set[str]] = {}
        """By tenant and day: those that are counted by name."""

    def count(self, caller: Caller, label_set: str = "", *, computed: int, cached: int, tokens: int = 0) -> None:
        """One answered request, with the name of its label set or without one."""
        today = self._clock.now().date()
        key = (caller.tenant_id, caller.key_id, self._counted_as(caller.tenant_id, label_set, today), today)
        counts = self._counts.setdefault(key, [0, 0, 0, 0])
        counts[0] += 1
        counts[1] += computed
        counts[2] += cached
        counts[3] += tokens

    def _counted_as(self, tenant_id: str, label_set: str, today: date) -> str:
        """Empty where the tenant has used too many of them today: each is a row."""
        if not label_set:
            return ""
        names = self._label_sets.get((tenant_id, today))
        if names is None:
            self._label_sets = {known: names for known, names in self._label_sets.items() if known[1] == today}
            names = self._label_sets[tenant_id, today] = set()
        if label_set not in names and len(names) >= MAX_LABEL_SETS:
            return ""
        names.add(label_set)
        return label_set

    async def store(self) -> None:
        """Add what was counted to the store; it stays counted here when that fails."""
        counted, self._counts = self._counts, {}
        if not counted:
            return
        try:
            await self._store.add(
                [
                    DailyUsage(tenant_id, day, counts[0], counts[1], counts[2], counts[3], label_set)
                    for (tenant_id, _, label_set, day), counts in counted.items()
                ],
                [
                    KeyUsage(key_id, day.replace(day=1), Used(counts[1], counts[3]))
                    for (_, key_id, _, day), counts in counted.items()
                    if key_id and counts[1]
                ],
            )
        except BaseException:
            # Cancelled at the end of the process, or the database is gone: it is stored later.
            for key, counts in counted.items():
                newer = self._counts.get(key, [0, 0, 0, 0])
                self._counts[key] = [old + new for old, new in zip(counts, newer, strict=True)]
            raise

    async def keep_stored(self) -> None:
        """Store every `STORE_INTERVAL_S`, until cancelled."""
        while True:
            await asyncio.sleep(STORE_INTERVAL_S)
            with suppress(StoreUnavailable):
                await self.store()
