"""One child process: its own group, its log file, a stop with a deadline."""

from __future__ import annotations

import asyncio
import ctypes
import os
import signal
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from wanneng.errors import StartError

TAIL_LINES, TAIL_CHARACTERS = 12, 400
FAILURE = "UNAVAILABLE"
PR_SET_PDEATHSIG = 1
"""prctl(2): the signal that a child gets when its parent dies, even by SIGKILL."""
_libc = ctypes.CDLL(None)


class Child:
    """A server process and the processes that it starts in turn."""

    def __init__(self, name: str, process: asyncio.subprocess.Process, log: Path) -> None:
        self.name = name
        self.log = log
        self._process = process

    @classmethod
    async def start(
        cls,
        name: str,
        command: Sequence[str],
        environment: Mapping[str, str],
        log: Path,
        before_exec: Callable[[], None] | None = None,
    ) -> Child:
        """`before_exec` is called in the new process."""

        def prepare() -> None:
            _die_with_parent()
            if before_exec is not None:
                before_exec()

        with log.open("wb") as output:
            try:
                process = await asyncio.create_subprocess_exec(
                    *command,
                    env=dict(environment),
                    stdin=asyncio.subprocess.DEVNULL,
                    stdout=output,
                    stderr=output,
                    # Its own group: Ctrl-C in the terminal reaches this process alone, which stops the
                    # servers in their order. Not its own session: Linux shares the CPU among sessions before
                    # it looks at niceness (sched(7), autogroups).
                    process_group=0,
                    preexec_fn=prepare,
                )
            except OSError as error:
                raise StartError(f"{name} cannot be started: {command[0]}: {error.strerror}") from None
        return cls(name, process, log)

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def returncode(self) -> int | None:
        return self._process.returncode

    async def wait(self) -> int:
        return await self._process.wait()

    async def stop(self, timeout_s: float) -> None:
        """SIGTERM, then after `timeout_s` SIGKILL; whatever is left of its group is killed."""
        if self._process.returncode is None:
            self._process.terminate()
            try:
                async with asyncio.timeout(timeout_s):
                    await self._process.wait()
            except TimeoutError:
                self._process.kill()
        self.kill_group()
        await self._process.wait()

    def kill_group(self) -> None:
        """End what the process left behind, such as Triton's Python stubs."""
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)

    def last_lines(self) -> str:
        """The end of the log without frames and tables, but with those rows of Triton's that report a failure."""
        lines = self.log.read_text(encoding="utf-8", errors="replace").splitlines()
        relevant = [line for line in lines if line.strip() and (line[0] not in "|+" or FAILURE in line)]
        return "\n".join(f"    {line[:TAIL_CHARACTERS]}" for line in relevant[-TAIL_LINES:])


def _die_with_parent() -> None:
    _libc.prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
