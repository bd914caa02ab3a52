"""Measures how long the event loop is held by its own work, which no other request can use.

In CPU time of the loop's thread: a machine that is busy with other processes does not count.
"""

from __future__ import annotations

import asyncio
import time
from types import TracebackType

from prometheus_client import CollectorRegistry, Histogram

TICK_S = 0.01
BUCKETS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0)


class LoopLag:
    """A tick every `TICK_S`; what the thread computes between two ticks was done without a pause.

    Only while work is in progress, which enters and leaves: a hundred ticks a second would take 2% of a core from
    an idle server.
    """

    def __init__(self, registry: CollectorRegistry) -> None:
        self._blocked = Histogram(
            "wanneng_event_loop_blocked_seconds",
            "CPU time between two ticks of the event loop, 10 ms apart, while requests are in progress.",
            buckets=BUCKETS,
            registry=registry,
        )
        self._in_progress = 0
        self._ticks = False
        self._began = 0.0
        """The thread's CPU time at the last tick, or when work began."""

    def __enter__(self) -> None:
        self._in_progress += 1
        if not self._ticks:
            self._ticks, self._began = True, time.thread_time()
            self._tick_later()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        # The next tick still comes: it sees what the last piece of work has taken.
        self._in_progress -= 1

    def _tick_later(self) -> None:
        asyncio.get_running_loop().call_later(TICK_S, self._tick)

    def _tick(self) -> None:
        now = time.thread_time()
        self._blocked.observe(now - self._began)
        self._ticks, self._began = self._in_progress > 0, now
        if self._ticks:
            self._tick_later()
