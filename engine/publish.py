"""A folder appears whole or not at all, and others wait for it. Knows nothing about what is in it."""

from __future__ import annotations

import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from engine.errors import BuildError

POLL_S, TELL_S = 1.0, 30.0


@contextmanager
def published(target: Path, *, needed_bytes: int) -> Iterator[Path]:
    """A work folder beside `target` that becomes `target` when the block ends well, and vanishes when it fails.

    Refuses a target with something in it, and a disk with less than `needed_bytes` left. A failed write is a
    `BuildError` that names the file.
    """
    try:
        if target.exists() and any(target.iterdir()):
            raise BuildError(f"{target} is not empty: name a new folder")
        target.parent.mkdir(parents=True, exist_ok=True)
        free = shutil.disk_usage(target.parent).free
        if free < needed_bytes:
            raise BuildError(
                f"{target.parent} has {free / 1e6:,.0f} MB left, {needed_bytes / 1e6:,.0f} MB are needed: "
                "make room or name a folder elsewhere"
            )
        work = Path(tempfile.mkdtemp(prefix=f".{target.name}.", dir=target.parent))
    except OSError as error:
        raise BuildError(f"{error.filename or target} cannot be written: {error.strerror}") from None
    try:
        yield work
        work.chmod(0o755)
        if target.exists():
            target.rmdir()
        work.replace(target)
    except OSError as error:
        shutil.rmtree(work, ignore_errors=True)
        what = error.filename or "the engine"
        raise BuildError(f"{what} cannot be written: {error.strerror}; {target} was not touched") from error
    except BaseException:
        shutil.rmtree(work, ignore_errors=True)
        raise


def await_published(folder: Path, *, timeout_s: float, say: Callable[[str], None]) -> None:
    """Return when something is published at `folder`; `BuildError` when nothing is within `timeout_s`."""
    ends, told = time.monotonic() + timeout_s, float("-inf")
    while not folder.is_dir():
        now = time.monotonic()
        if now >= ends:
            raise BuildError(f"{folder} was not published within {timeout_s:.0f} s")
        if now - told >= TELL_S:
            say(f"waiting for {folder}, which is not published yet")
            told = now
        time.sleep(min(POLL_S, max(0.0, ends - now)))
