"""Keeps the machine's cores busy at the lowest priority, so that all measurements meet the same machine.

The host of a virtual machine takes time from cores that work, and none from idle ones: whatever runs beside a
server makes its slowest requests slower, even at a priority that takes nothing from it. A disturbed server can be
compared with an undisturbed one only where the cores work as much during both.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager


@contextmanager
def busy_cores() -> Iterator[None]:
    """Run a process on each core that has nothing else to do, until the end of the block."""
    with ExitStack() as stack:
        for _ in os.sched_getaffinity(0):
            command = [sys.executable, "-m", "benchmarks.busy_cores", str(os.getpid())]
            process = stack.enter_context(subprocess.Popen(command))
            stack.callback(process.kill)
        yield


def main() -> None:
    """Work until the parent, whose process id is the argument, ends."""
    os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))
    parent = int(sys.argv[1])
    while os.getppid() == parent:
        pass


if __name__ == "__main__":
    main()
