"""Publishes a folder atomically, waits for one to be published, and tells by a checksum which one it is."""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from engine.errors import BuildError

POLL_INTERVAL_S = 1.0
LOG_INTERVAL_S = 30.0
MANIFEST = "engine.json"
ABANDONED_S = 86_400.0
"""The age of a download that nobody finishes."""


@contextmanager
def publishing(target: Path, *, needed_bytes: int) -> Iterator[Path]:
    """A temporary folder beside `target`, renamed to `target` if the block succeeds and deleted if it raises.

    `BuildError` if `target` is not empty, if the disk has less than `needed_bytes` left, and, with the name of the
    file, if a write fails.
    """
    try:
        if target.exists() and any(target.iterdir()):
            raise BuildError(f"{target} is not empty; name a new folder")
        target.parent.mkdir(parents=True, exist_ok=True)
        free = shutil.disk_usage(target.parent).free
        if free < needed_bytes:
            raise BuildError(
                f"{target.parent} has {free / 1e6:,.0f} MB left, {needed_bytes / 1e6:,.0f} MB are needed; "
                "free disk space or name a folder on another disk"
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
        file = error.filename or "the engine"
        raise BuildError(f"{file} cannot be written: {error.strerror}; {target} is unchanged") from error
    except BaseException:
        shutil.rmtree(work, ignore_errors=True)
        raise


def prune(target: Path, keep: int, also: Iterable[Path], log: Callable[[str], None]) -> None:
    """Of the engines beside `target`, remove those that were used longest ago.

    `keep` are left, with `target` and with those of `also` that belong beside it, which always stay. An engine is
    used when a build names it, which sets its time. What is no engine stays.
    """
    named = {target, *(path for path in also if path.parent == target.parent)}
    for path in named:
        with suppress(OSError):
            # Not there yet, or published by another user.
            os.utime(path)
    for path in target.parent.glob(".removed-*"):
        # What could not be removed the last time.
        shutil.rmtree(path, ignore_errors=True)
    used_at: dict[Path, float] = {}
    for path in target.parent.glob("[!.]*"):
        # Another build may remove it at the same time.
        with suppress(OSError):
            if path not in named and (path / MANIFEST).is_file():
                used_at[path] = path.stat().st_mtime
    for path in sorted(used_at, key=used_at.__getitem__, reverse=True)[max(0, keep - len(named)) :]:
        # Renamed first: nobody loads an engine of which half is gone.
        try:
            removed = path.replace(path.with_name(f".removed-{path.name}"))
        except FileNotFoundError:
            continue
        except OSError as error:
            log(f"{path} cannot be removed: {error.strerror}")
        else:
            shutil.rmtree(removed, ignore_errors=True)
            log(f"removed {path}, which was used longest ago")


def await_published(folder: Path, *, timeout_s: float, log: Callable[[str], None]) -> None:
    """Wait until `folder` exists; `BuildError` if it does not within `timeout_s`. Logs every `LOG_INTERVAL_S`."""
    deadline, last_logged = time.monotonic() + timeout_s, float("-inf")
    while not folder.is_dir():
        now = time.monotonic()
        if now >= deadline:
            raise BuildError(f"{folder} was not published within {timeout_s:.0f} s")
        if now - last_logged >= LOG_INTERVAL_S:
            log(f"waiting for {folder}, which is not published yet")
            last_logged = now
        time.sleep(min(POLL_INTERVAL_S, max(0.0, deadline - now)))


def checksum(folder: Path) -> str:
    """`sha256:` and the digest of the names and contents of all files.

    `BuildError` unless it is an engine, or where the digest would not say what is loaded: what a link leads to may
    change later, and a line break in a name looks like another file.
    """
    if not (folder / MANIFEST).is_file():
        raise BuildError(f"{folder} is no engine: it has no {MANIFEST}")
    lines = []
    for name, path in sorted((path.relative_to(folder).as_posix(), path) for path in folder.rglob("*")):
        if not name.isprintable():
            raise BuildError(f"{folder} has {name!r}, with a character that cannot be printed; rename it")
        if path.is_symlink() or not (path.is_file() or path.is_dir()):
            raise BuildError(f"{path} is a link or no file; copy the engine with what its links lead to (cp -rL)")
        if path.is_file():
            with path.open("rb") as file:
                lines.append(f"{hashlib.file_digest(file, 'sha256').hexdigest()}  {name}\n")
    return f"sha256:{hashlib.sha256(''.join(lines).encode()).hexdigest()}"


def check(folder: Path, expected: str) -> None:
    """`BuildError` unless the engine has this checksum."""
    if (actual := checksum(folder)) != expected:
        raise BuildError(f"{folder} has the checksum {actual}, and {expected} is expected; nothing loads it")


def install(download: Path, target: Path, expected: str) -> None:
    """Move a downloaded engine to `target`, unless it is there already; `BuildError` unless its checksum is right.

    Pods that share a disk may do this at the same time. A wrong download stays, so that the next attempt finds the
    same error; it is removed with its Pod's volume, or after a day by another Pod.
    """
    for path in download.parent.glob(f"{download.name.partition('-')[0]}-*"):
        with suppress(OSError):
            if path != download and time.time() - path.stat().st_mtime > ABANDONED_S:
                shutil.rmtree(path, ignore_errors=True)
    if not target.is_dir():
        if not download.is_dir():
            raise BuildError(f"nothing was downloaded to {download}, and {target} is not there")
        check(download, expected)
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            download.replace(target)
        except OSError as error:
            # Another Pod may have been first.
            if not target.is_dir():
                raise BuildError(f"{target} cannot be written: {error.strerror}") from None
    check(target, expected)
    shutil.rmtree(download, ignore_errors=True)
