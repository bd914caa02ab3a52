"""Checks the host before anything is started; each refusal names the cause and what to do.

Without these checks Triton would exit later, or never, with messages that name something else.
"""

from __future__ import annotations

import os
import resource
import socket
import tempfile
from pathlib import Path

from wanneng.errors import StartError
from wanneng.serve.shared_memory import FOLDER as SHARED_MEMORY

TEMPORARY = Path("/tmp")
"""Where Triton's Python backend makes a folder; no setting and no TMPDIR changes that."""
MIN_SHARED_MEMORY = 6 * 1024**2
"""Free bytes: 1 MiB for each of Triton's Python processes, and as much again for growth."""
LIMITS = (
    # The gateway reserves 256; the rest are for its connections.
    (resource.RLIMIT_NOFILE, 512, "open {} files", "`ulimit -n 4096`, in a container with `--ulimit nofile=4096`"),
    # Log files, the database, and each segment of shared memory.
    (resource.RLIMIT_FSIZE, 64 * 1024**2, "write files of {}", "`ulimit -f unlimited`"),
    # Triton maps 2.6 GiB, most of which it never uses, and is ended by SIGSEGV with 2 GiB.
    (resource.RLIMIT_AS, 3 * 1024**3, "map {} of memory", "`ulimit -v unlimited`"),
)
"""Of this process and its children: setrlimit(2), what is needed, what it limits, and how to raise it."""
LOOPBACK_TIMEOUT_S = 1.0


def check_surroundings() -> None:
    """`StartError` for what is missing; the soft limit of open files is raised to the hard one."""
    _check_temporary_folder()
    _check_shared_memory()
    _check_limits()
    _check_loopback()


def check_executable(program: Path) -> None:
    """`StartError` if a program is missing, not executable, or on a file system mounted `noexec`."""
    try:
        is_noexec = os.statvfs(program).f_flag & os.ST_NOEXEC
    except OSError as error:
        raise StartError(f"{program} cannot be run: {error.strerror}; run `make serve` in a checkout") from None
    if is_noexec:
        raise StartError(
            f"{program} cannot be run: its file system is mounted noexec; move the checkout, or remount it with "
            "`mount -o remount,exec`"
        )
    if not os.access(program, os.X_OK):
        raise StartError(
            f"{program} cannot be run: user {os.geteuid()} has no permission; `chmod` it or use its owner"
        )


def _check_temporary_folder() -> None:
    try:
        folder = tempfile.mkdtemp(prefix="wanneng-", dir=TEMPORARY)
    except OSError as error:
        raise StartError(
            f"Triton needs {TEMPORARY}, which cannot be written to: {error.strerror}; mount a writable one there, "
            "in a container with `--tmpfs /tmp`"
        ) from None
    Path(folder).rmdir()


def _check_shared_memory() -> None:
    remedy = "mount a larger one there, in a container with `--shm-size=512m`"
    try:
        status = os.statvfs(SHARED_MEMORY)
    except OSError as error:
        raise StartError(f"Triton needs {SHARED_MEMORY}: {error.strerror}; {remedy}") from None
    if not os.access(SHARED_MEMORY, os.W_OK):
        raise StartError(f"Triton needs {SHARED_MEMORY}, which cannot be written to; {remedy}")
    if status.f_blocks == 0:
        return  # The file system has no fixed size.
    free, size = status.f_bavail * status.f_frsize, status.f_blocks * status.f_frsize
    if free < MIN_SHARED_MEMORY:
        raise StartError(
            f"Triton needs {_mib(MIN_SHARED_MEMORY)} of {SHARED_MEMORY}, where {_mib(free)} of {_mib(size)} are "
            f"free; remove what other programs left there, or {remedy}"
        )


def _check_limits() -> None:
    """The smallest of a process's limits; Triton raises no soft one, so that of open files is raised here."""
    for number, least, what, remedy in LIMITS:
        soft, hard = resource.getrlimit(number)
        if number == resource.RLIMIT_NOFILE and soft != hard:
            resource.setrlimit(number, (hard, hard))
            soft = hard
        if soft != resource.RLIM_INFINITY and soft < least:
            unit = str if number == resource.RLIMIT_NOFILE else _mib
            raise StartError(
                f"this process may {what.format(unit(soft))}, and {unit(least)} are needed; raise the limit with "
                f"{remedy}"
            )


def _check_loopback() -> None:
    with socket.socket() as listener, socket.socket() as caller:
        caller.settimeout(LOOPBACK_TIMEOUT_S)
        try:
            listener.bind(("127.0.0.1", 0))
            listener.listen()
            caller.connect(listener.getsockname())
        except OSError as error:
            raise StartError(
                f"the processes talk over 127.0.0.1, which cannot be used: {error.strerror or error}; bring the "
                "interface up with `ip link set lo up`"
            ) from None


def _mib(size: int) -> str:
    return f"{size / 1024**2:.0f} MiB"
