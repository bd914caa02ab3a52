"""`python -m wanneng.serve.alive`: does this machine's Triton live, with its Python processes? Infers nothing.

Triton starts a process for each instance of a Python model and no other when one is gone: before 26.04 it then
says that it is ready and answers every request with an error. Only a new Triton helps.
"""

from __future__ import annotations

import http.client
import sys
from contextlib import suppress
from pathlib import Path

from wanneng.errors import StartError
from wanneng.settings import ServeSettings, load_settings

STUB = "triton_python_backend_stub"
STOPPED = "T"
"""A state of proc(5)."""
TIMEOUT_S = 5.0


def main() -> None:
    """Exit code 1 and one sentence when it is not; the start probe has noted how many processes there were."""
    settings = load_settings({})
    try:
        _ask(settings)
        noted = note_of(settings)
        if noted.exists():
            check_stubs(int(noted.read_text(encoding="ascii")), settings.state)
    except (StartError, OSError, http.client.HTTPException) as error:
        sys.exit(f"alive: {error}")


def note_of(settings: ServeSettings) -> Path:
    """Where the number of Python processes is kept once all of them are there."""
    return settings.state / "stubs"


def running_stubs(state: Path) -> int:
    """Python processes, not stopped, of the Triton that has its models in the folder `state`."""
    models = f"{state}/models/".encode()
    count = 0
    for process in Path("/proc").glob("[0-9]*"):
        # One that has just ended, or that a hardened /proc does not show.
        with suppress(OSError):
            program, _, arguments = (process / "cmdline").read_bytes().partition(b"\0")
            if program.endswith(STUB.encode()) and arguments.startswith(models):
                status = (process / "stat").read_text(encoding="utf-8", errors="replace")
                count += status.rpartition(") ")[2][0] != STOPPED
    return count


def check_stubs(wanted: int, state: Path) -> None:
    """`StartError` when fewer than `wanted` run."""
    found = running_stubs(state)
    if found < wanted:
        raise StartError(f"{wanted - found} of Triton's {wanted} Python processes are gone")


def _ask(settings: ServeSettings) -> None:
    connection = http.client.HTTPConnection(
        settings.triton_host_here, settings.triton_http_port, timeout=TIMEOUT_S
    )
    connection.request("GET", "/v2/health/live")
    answer = connection.getresponse()
    if answer.status != http.client.OK:
        raise StartError(f"Triton answered {answer.status} to /v2/health/live")


if __name__ == "__main__":
    main()
