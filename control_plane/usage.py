"""Usage reports, by day."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, timedelta

from stores.clock import Clock
from stores.errors import InvalidRequest
from stores.usage import DailyUsage, UsageStore

DEFAULT_DAYS, MAX_DAYS = 30, 400


class UsageReports:
    def __init__(self, store: UsageStore, clock: Clock) -> None:
        self._store = store
        self._clock = clock

    async def of(self, tenant_id: str, first: date | None, last: date | None) -> Sequence[DailyUsage]:
        """From `first` to `last`, by default the last `DEFAULT_DAYS` days; gateways store it every few seconds."""
        last = last or self._clock.now().date()
        first = first or last - min(timedelta(days=DEFAULT_DAYS - 1), last - date.min)
        if not 0 <= (last - first).days < MAX_DAYS:
            raise InvalidRequest(f"must be 0 to {MAX_DAYS - 1} days before the last day", field="from")
        return await self._store.of(tenant_id, first, last)
