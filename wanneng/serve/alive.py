"""`python -m wanneng.serve.alive`, the liveness probe: does this machine's Triton live, with its Python processes?

Triton starts a process for each instance of a Python model and no other when one is gone: before 26.04 it then
says that it is ready and answers every request with an error. Only a new Triton helps.
"""

from __future__ import annotations

import http.client
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path

from wanneng.errors import StartError
from wanneng.settings import ServeSettings, load_settings

STUB = "triton_python_backend_stub"
STOPPED = "T"
"""A state of proc(5)."""
TIMEOUT_S = 5.0
SILENCE_S = 40.0


def main() -> None:
    """Exit code 1 and one sentence when it does not; the startup probe stored how many processes there were."""
    settings = load_settings({})
    try:
        stored = stub_count_file(settings)
        if stored.exists():
            check_stubs(int(stored.read_text(encoding="ascii")), settings.state_dir)
        patiently(partial(_ask, settings), silence_file(settings), time.time)
    except (StartError, OSError, http.client.HTTPException) as error:
        sys.exit(f"alive: {error}")


def patiently(ask: Callable[[], None], since_file: Path, now: Callable[[], float]) -> None:
    """`TimeoutError` when `ask` has met nothing else for `SILENCE_S`, over several calls of this program.

    A machine that is overloaded answers late, and a restart would only add to its load. Other errors are raised at
    once.
    """
    try:
        ask()
    except TimeoutError:
        if not since_file.exists():
            # Whole or not at all: the kubelet kills a probe that takes too long.
            written = since_file.with_name(f"{since_file.name}.new")
            written.write_text(f"{now()}\n", encoding="ascii")
            written.replace(since_file)
        if now() - float(since_file.read_text(encoding="ascii")) >= SILENCE_S:
            raise
    else:
        since_file.unlink(missing_ok=True)


def stub_count_file(settings: ServeSettings) -> Path:
    """Where the startup probe stores the number of Python processes."""
    return settings.state_dir / "stubs"


def silence_file(settings: ServeSettings) -> Path:
    """Since when Triton has answered late; the startup probe removes that of an earlier one."""
    return settings.state_dir / "silent-since"


def running_stubs(state_dir: Path) -> int:
    """Python processes, not stopped, of the Triton that has its models in `state_dir`."""
    count = 0
    for process in Path("/proc").glob("[0-9]*"):
        # One that has just ended, or that a hardened /proc does not show.
        with suppress(OSError):
            program = (process / "cmdline").read_bytes().partition(b"\0")[0]
            # Triton runs in the state folder, and so do its processes.
            if program.endswith(STUB.encode()) and (process / "cwd").samefile(state_dir):
                status = (process / "stat").read_text(encoding="utf-8", errors="replace")
                count += status.rpartition(") ")[2][0] != STOPPED
    return count


def check_stubs(expected: int, state_dir: Path) -> None:
    """`StartError` when fewer than `expected` run."""
    missing = expected - running_stubs(state_dir)
    if missing > 0:
        raise StartError(f"{missing} of Triton's {expected} Python processes are gone")


def _ask(settings: ServeSettings) -> None:
    connection = http.client.HTTPConnection(
        settings.reachable_triton_host, settings.triton_http_port, timeout=TIMEOUT_S
    )
    connection.request("GET", "/v2/health/live")
    answer = connection.getresponse()
    if answer.status != http.client.OK:
        raise StartError(f"Triton answered {answer.status} to /v2/health/live")


if __name__ == "__main__":
    main()
