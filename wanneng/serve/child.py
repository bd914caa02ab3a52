"""One child process: its own group, its outputs, a stop with a deadline."""

from __future__ import annotations

import asyncio
import ctypes
import os
import signal
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any

from wanneng.errors import StartError
from wanneng.serve.output import Output

PR_SET_PDEATHSIG = 1
"""prctl(2): the signal that a child gets when its parent dies, even by SIGKILL."""
_libc = ctypes.CDLL(None)


class Child:
    """A server process and the processes that it starts in turn."""

    def __init__(self, name: str, process: asyncio.subprocess.Process, output: Output) -> None:
        self.name = name
        self._process = process
        self._output = output

    @classmethod
    async def start(
        cls,
        name: str,
        command: Sequence[str],
        environment: Mapping[str, str],
        output: Output,
        before_exec: Callable[[], None] | None = None,
    ) -> Child:
        """`before_exec` is called in the new process."""

        def prepare() -> None:
            _die_with_parent()
            if before_exec is not None:
                before_exec()

        try:
            process = await asyncio.create_subprocess_exec(
                *command,
                env=dict(environment),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=output.write_fd,
                stderr=output.write_fd,
                # Its own group: Ctrl-C in the terminal reaches this process alone, which stops the servers in
                # their order. Not its own session: Linux shares the CPU among sessions before it looks at
                # niceness (sched(7), autogroups).
                process_group=0,
                preexec_fn=prepare,
            )
        except OSError as error:
            raise StartError(f"{name} cannot be started: {command[0]}: {error.strerror}") from None
        finally:
            output.begin()
        return cls(name, process, output)

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def returncode(self) -> int | None:
        return self._process.returncode

    async def wait(self) -> int:
        return await self._process.wait()

    def terminate(self) -> None:
        """Ask it to end."""
        if self._process.returncode is None:
            self._process.terminate()

    async def stop(self, timeout_s: float) -> None:
        """SIGTERM, then after `timeout_s` SIGKILL; whatever is left of its group is killed."""
        if self._process.returncode is None:
            self.terminate()
            try:
                async with asyncio.timeout(timeout_s):
                    await self._process.wait()
            except TimeoutError:
                self._process.kill()
        self.kill_group()
        await self._process.wait()
        self._output.close()

    def kill_group(self) -> None:
        """End what the process left behind, such as Triton's Python stubs."""
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)

    @property
    def end(self) -> str:
        """How it ended, as the beginning of a sentence."""
        code = self._process.returncode
        if code is None or code >= 0:
            return f"{self.name} ended with {code}"
        hint = ", as by a kernel that is out of memory" if code == -signal.SIGKILL else ""
        return f"{self.name} was ended by {_signal_name(-code)}{hint}"

    @property
    def end_fields(self) -> dict[str, Any]:
        """The same for a log."""
        code = self._process.returncode
        return {"signal": _signal_name(-code)} if code is not None and code < 0 else {"exit_code": code}

    @property
    def log(self) -> str:
        """Where its lines are kept."""
        return self._output.kept_in

    def close(self) -> None:
        """Keep what it wrote last; for one that has ended."""
        self._output.close()

    def last_lines(self) -> list[str]:
        return self._output.last_lines()

    def last_words(self) -> str:
        """The same for a message, with the file that has the others."""
        lines = "\n".join(f"    {line}" for line in self.last_lines())
        return f"its last lines ({self.log}):\n{lines}"


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def _die_with_parent() -> None:
    _libc.prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
