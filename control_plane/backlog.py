"""Metrics of what workers have to do, which must be known while no worker runs."""

from __future__ import annotations

import asyncio
from contextlib import suppress

from prometheus_client import CollectorRegistry, Gauge

from stores.batches import Backlog, BatchStore
from stores.clock import Clock
from stores.errors import StoreUnavailable

INTERVAL_S = 10.0


class BacklogMetrics:
    """`watch` reads the backlog now and then; while the database is down, the last one is shown."""

    def __init__(self, batches: BatchStore, clock: Clock, registry: CollectorRegistry) -> None:
        self._batches = batches
        self._clock = clock
        self._backlog = Backlog(0, 0, None)
        for name, documentation, value in (
            ("wanneng_batches_unfinished", "Batches of all tenants.", lambda: self._backlog.batches),
            ("wanneng_batch_lines_unfinished", "Lines without a result.", lambda: self._backlog.lines),
            ("wanneng_oldest_batch_age_seconds", "Since the oldest of them was created.", self._oldest_age_s),
        ):
            Gauge(name, documentation, registry=registry).set_function(value)

    async def watch(self) -> None:
        """Until cancelled."""
        while True:
            # Logged by the database, and told by /readyz.
            with suppress(StoreUnavailable):
                self._backlog = await self._batches.backlog()
            await asyncio.sleep(INTERVAL_S)

    def _oldest_age_s(self) -> float:
        oldest_at = self._backlog.oldest_at
        return 0.0 if oldest_at is None else max(0.0, (self._clock.now() - oldest_at).total_seconds())
