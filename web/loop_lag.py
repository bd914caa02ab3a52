"""Measures how long the event loop is held by its own work, which no other request can use.

In CPU time of the loop's thread: a machine that is busy with other processes does not count.
"""

from __future__ import annotations

import asyncio
import time

from prometheus_client import CollectorRegistry, Histogram

TICK_S = 0.01
BUCKETS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0)


class LoopLag:
    """A tick every `TICK_S`; what the thread computes between two ticks was done without a pause."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._blocked = Histogram(
            "wanneng_event_loop_blocked_seconds",
            "CPU time between two ticks of the event loop, 10 ms apart.",
            buckets=BUCKETS,
            registry=registry,
        )

    async def watch(self) -> None:
        """Until cancelled."""
        began = time.thread_time()
        while True:
            await asyncio.sleep(TICK_S)
            now = time.thread_time()
            self._blocked.observe(now - began)
            began = now
