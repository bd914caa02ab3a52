"""The state folder: files that only their owner reads, and one server at a time."""

from __future__ import annotations

import errno
import fcntl
import os
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from wanneng.errors import StartError
from wanneng.settings import CHECKOUT

UMASK = 0o077
"""No bit of a new file or folder is for others; the shared memory of Triton's Python models included."""
OTHERS = 0o077
LOCK = "lock"
"""Held by the server that runs in the folder."""
IN_THE_WAY = frozenset(
    {errno.EACCES, errno.EEXIST, errno.EISDIR, errno.ELOOP, errno.ENOTDIR, errno.ENOTEMPTY, errno.EPERM}
)
"""Errors that end once something else is moved away."""


def prepare_state_dir(folder: Path) -> None:
    """Create `folder`, or take every bit for others from what is in it; this process creates none from now on.

    `StartError` where the folder holds more than the state, or belongs to somebody else.
    """
    os.umask(UMASK)
    others_places = [CHECKOUT]
    # A container's user may have no home.
    with suppress(RuntimeError):
        others_places.append(Path.home())
    if any(place.is_relative_to(folder) for place in others_places):
        raise StartError(
            f"{folder} holds more than this server's state; give it a folder of its own (--state-dir)"
        )
    try:
        folder.mkdir(parents=True, exist_ok=True)
        status = folder.stat()
        with tempfile.TemporaryFile(dir=folder) as file:
            file.write(b"room for a file")
    except OSError as error:
        raise StartError(
            f"the state folder {folder} cannot be written to: {error.strerror}; choose another with --state-dir"
        ) from None
    if status.st_uid != os.geteuid() or status.st_mode & stat.S_ISVTX:
        raise StartError(f"{folder} is shared with other users; give the server a folder of its own (--state-dir)")
    for path in (folder, *_below(folder)):
        mode = stat.S_IMODE(path.lstat().st_mode)
        if mode & OTHERS:
            path.chmod(mode & ~OTHERS)


def lock_state_dir(folder: Path) -> None:
    """Until this process ends; `StartError` where another one has it."""
    file = os.open(folder / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC)
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        other = os.read(file, 20).decode("ascii", "replace").strip() or "unknown"
        os.close(file)
        raise StartError(
            f"{folder} is in use by another server, process {other}; stop that one, or give this one a folder of "
            "its own (--state-dir)"
        ) from None
    except OSError:
        # A file system without locks: the ports alone keep two servers apart.
        return
    os.truncate(file, 0)
    os.pwrite(file, f"{os.getpid()}\n".encode(), 0)


@contextmanager
def naming_state_files(folder: Path) -> Iterator[None]:
    """`StartError` names what lies in `folder` where a file or folder of the server's own should."""
    try:
        yield
    except OSError as error:
        # The second name is where something was moved, or linked, to.
        name = error.filename2 or error.filename
        # A number: a file that was open.
        path = Path(os.fsdecode(name)) if isinstance(name, (str, bytes)) else Path()
        if error.errno not in IN_THE_WAY or not path.is_relative_to(folder):
            raise
        while not os.path.lexists(path):
            path = path.parent
        raise StartError(f"{path} in the state folder cannot be used: {error.strerror}; move it away") from None


def _below(folder: Path) -> Iterator[Path]:
    """Folders and files without following links: the models are links to the checkout's own files."""
    for parent, folders, files in os.walk(folder):
        for name in (*folders, *files):
            path = Path(parent, name)
            if not path.is_symlink():
                yield path
