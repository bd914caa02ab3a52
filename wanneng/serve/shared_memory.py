"""The shared memory of Triton's Python models: which server owns it, and removal of what killed servers left.

A server holds a lock, which the kernel releases however the server ends. The process id in the name is not enough:
in a container it is the same after every restart.
"""

from __future__ import annotations

import fcntl
import os
import re
import secrets
from collections import defaultdict
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from wanneng.errors import StartError

FOLDER = Path("/dev/shm")
LOCK = "lock"
NAME = re.compile(r"(wanneng_[0-9]+_[0-9a-f]{8}_).+")
"""The name of a segment or lock; the group is the prefix that those of one server share."""
OWNER_ONLY = 0o600


class SharedMemory:
    """The segments of one server, under a unique prefix."""

    def __init__(self) -> None:
        self.prefix = f"wanneng_{os.getpid()}_{secrets.token_hex(4)}_"
        self._lock: int | None = None

    def hold(self) -> None:
        """Hold the lock until this process ends or `remove` is called."""
        path = FOLDER / f"{self.prefix}{LOCK}"
        try:
            self._lock = os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR, OWNER_ONLY)
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise StartError(f"Triton's shared memory cannot be created: {path}: {error.strerror}") from None

    def remove(self) -> None:
        """Remove the segments of a server that has ended; Triton removes them itself unless it was killed."""
        _remove(FOLDER.glob(f"{self.prefix}*"))
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None


def remove_leftovers() -> None:
    """Remove the segments of this user's servers that have ended, and nothing else."""
    servers: dict[str, list[Path]] = defaultdict(list)
    for path in FOLDER.glob("wanneng_*"):
        match = NAME.fullmatch(path.name)
        # It may just have been removed.
        with suppress(FileNotFoundError):
            if match is not None and path.lstat().st_uid == os.geteuid():
                servers[match[1]].append(path)
    for prefix, paths in servers.items():
        if not _is_locked(FOLDER / f"{prefix}{LOCK}"):
            _remove(paths)


def _is_locked(path: Path) -> bool:
    try:
        lock = os.open(path, os.O_RDWR | os.O_NOFOLLOW)
    except OSError:
        return False
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return True
    finally:
        os.close(lock)
    return False


def _remove(paths: Iterable[Path]) -> None:
    for path in paths:
        with suppress(OSError):
            path.unlink()
