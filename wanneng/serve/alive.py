"""`python -m wanneng.serve.alive`: does this machine's Triton live, with its Python processes? Infers nothing.

Triton starts a process for each instance of a Python model and no other when one is gone: before 26.04 it then
says that it is ready and answers every request with an error. Only a new Triton helps.
"""

from __future__ import annotations

import http.client
import sys
from pathlib import Path

from wanneng.errors import StartError
from wanneng.settings import ServeSettings, load_settings

STUB = "triton_python_backend_stub"[:15]
"""As the kernel cuts a process's name."""
GONE = "ZXT"
"""States of proc(5): a zombie, dead, stopped."""
TIMEOUT_S = 5.0


def main() -> None:
    """Exit code 1 and one sentence when it is not; the start probe has noted how many processes there were."""
    settings = load_settings({})
    try:
        _ask(settings)
        noted = note_of(settings)
        if noted.exists():
            check_stubs(int(noted.read_text(encoding="ascii")))
    except (StartError, OSError, http.client.HTTPException) as error:
        sys.exit(f"alive: {error}")


def note_of(settings: ServeSettings) -> Path:
    """Where the number of Python processes is kept once all of them are there."""
    return settings.state / "stubs"


def running_stubs(triton_pid: int | None = None) -> int:
    """Python processes of the Triton `triton_pid`, or of any, that run."""
    count = 0
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            _, _, rest = path.read_text(encoding="ascii", errors="replace").partition("(")
        except (FileNotFoundError, ProcessLookupError):
            continue
        name, _, fields = rest.rpartition(") ")
        state, parent = fields.split()[:2]
        count += name == STUB and state not in GONE and triton_pid in (None, int(parent))
    return count


def check_stubs(wanted: int, triton_pid: int | None = None) -> None:
    """`StartError` when fewer than `wanted` run."""
    found = running_stubs(triton_pid)
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
