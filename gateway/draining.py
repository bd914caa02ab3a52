"""Goes on answering for a while after SIGTERM, so that nobody meets a closed door. Knows no request.

Load balancers need some seconds to look elsewhere, and clients keep their connections open: `Connection: close` on
each answer of that time sends them away between two requests, never within one.
"""

from __future__ import annotations

import signal
import time
from dataclasses import dataclass
from types import FrameType

import uvicorn

CLOSE = (b"connection", b"close")


@dataclass(slots=True)
class Draining:
    """Whether this process is about to stop."""

    begun: bool = False


class DrainingServer(uvicorn.Server):
    """Stops `drain_s` seconds after the first SIGTERM, at once after a second one or SIGINT."""

    def __init__(self, config: uvicorn.Config, draining: Draining, drain_s: float) -> None:
        super().__init__(config)
        self._draining = draining
        self._drain_s = drain_s
        self._ends = float("inf")

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """As uvicorn does, but for the first SIGTERM."""
        if sig == signal.SIGTERM and self._drain_s and not self._draining.begun:
            self._draining.begun = True
            self._ends = time.monotonic() + self._drain_s
        else:
            super().handle_exit(sig, frame)

    async def on_tick(self, counter: int) -> bool:
        """Called ten times a second; True ends the server."""
        return await super().on_tick(counter) or time.monotonic() >= self._ends
