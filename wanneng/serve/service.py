"""A process that is kept running: started, awaited until it is ready, and started again whenever it ends."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable

from logs.records import ERROR, WARNING
from wanneng.errors import StartError
from wanneng.serve.child import Child
from wanneng.serve.output import file_output
from wanneng.serve.processes import ProcessSpec
from wanneng.serve.readiness import Probe, wait_until
from wanneng.serve.serve_log import Say
from wanneng.settings import ServeSettings

MAX_ENDS, ENDS_WINDOW_S = 5, 60.0
"""A process that ends more often than this is broken, not unlucky."""
BROKEN_PAUSE_S = 10.0
"""Before a broken one is started again. It is never given up: what ends it may stop, or be an attack."""


class Service:
    """`ready` tells whether a process that was started can be used; without it, it can be at once."""

    def __init__(
        self,
        spec: Callable[[], ProcessSpec],
        settings: ServeSettings,
        say: Say,
        *,
        ready: Probe | None = None,
        broken_pause_s: float = BROKEN_PAUSE_S,
    ) -> None:
        self._spec = spec
        self._settings = settings
        self._say = say
        self._ready = ready
        self._broken_pause_s = broken_pause_s
        self._child: Child | None = None
        self._ends: deque[float] = deque()

    async def start(self) -> None:
        """Return when it is ready; `StartError` when it ends before, or is not in time."""
        spec = self._spec()
        output = file_output(self._settings, spec.log_name, trusted=spec.trusted)
        self._child = await Child.start(spec.title, spec.command, spec.environment, output, spec.before_exec)
        if self._ready is not None:
            await wait_until(self._ready, self._child, self._settings.start_timeout_s)

    async def keep(self) -> None:
        """Start it again whenever it ends, until cancelled."""
        assert self._child is not None, "start() comes first"
        while True:
            reason = await self.end(self._child)
            self._child.kill_group()
            self.clean_up()
            broken = self._is_broken()
            pause = f" in {self._broken_pause_s:.0f} s, see {self._child.log}" if broken else ""
            self._say(
                f"{reason}; starting it again{pause}",
                level=WARNING,
                **self._child.end_fields,
                last_lines=self._child.last_lines(),
            )
            self._child.close()
            if broken:
                await asyncio.sleep(self._broken_pause_s)
            try:
                await self.start()
            except StartError as error:
                self._say(str(error), level=ERROR)
                self._child.kill_group()
            else:
                self._say(f"{self._child.name} is back")

    async def stop(self, timeout_s: float) -> None:
        """SIGTERM, after `timeout_s` SIGKILL."""
        if self._child is not None:
            await self._child.stop(timeout_s)
        self.clean_up()

    async def end(self, child: Child) -> str:
        """Wait until it ends, or end it where it is past help; why, as the beginning of a sentence."""
        await child.wait()
        return child.end

    def clean_up(self) -> None:
        """Remove what a killed one leaves behind."""

    def _is_broken(self) -> bool:
        now = time.monotonic()
        self._ends.append(now)
        while now - self._ends[0] > ENDS_WINDOW_S:
            self._ends.popleft()
        return len(self._ends) > MAX_ENDS
