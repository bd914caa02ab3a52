"""The file of an option `--output`: whether it can be written, and how it appears when it is complete."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from wanneng.errors import CommandError

STANDARD_OUTPUT = frozenset({"-", "/dev/stdout", "/dev/fd/1", "/proc/self/fd/1"})


def check_output(target: Path, endings: Sequence[str], printed: str) -> None:
    """`CommandError` for what would otherwise fail only at the end; `printed`: what standard output has."""
    if str(target) in STANDARD_OUTPUT:
        raise CommandError(f"--output {target} is not a file; name one, such as answers{endings[0]}; {printed}")
    try:
        _check_place(target, endings)
    except OSError as error:
        raise CommandError(f"--output {target} cannot be written: {error.strerror or error}") from None


@contextmanager
def complete_file(target: Path) -> Iterator[Path]:
    """A file to write to, which then replaces `target`, or what a link of that name leads to."""
    place = _place(target)
    # Not with its name, which may be as long as a name can be.
    partial = place.with_name(f".wanneng.{secrets.token_hex(8)}")
    try:
        yield partial
        partial.replace(place)
    finally:
        partial.unlink(missing_ok=True)


def _check_place(target: Path, endings: Sequence[str]) -> None:
    if target.is_dir():
        named = "is empty or the current folder" if str(target) == "." else f"{target} is a folder"
        raise CommandError(f"--output {named}; name a file, such as {target / 'answers'}{endings[0]}")
    if target.suffix.lower() not in endings:
        raise CommandError(f"--output {target} has an unknown extension; use one of {', '.join(endings)}")
    place = _place(target)
    if not place.parent.is_dir():
        raise CommandError(f"--output {target} cannot be written: there is no folder {place.parent}")
    if not os.access(place.parent, os.W_OK):
        raise CommandError(
            f"--output {target} cannot be written: the folder {place.parent} is read-only for this user"
        )
    # A link that is left is one that leads to itself.
    if place.is_symlink() or (place.exists() and not place.is_file()):
        raise CommandError(f"--output {target} is not a regular file; choose another name")


def _place(target: Path) -> Path:
    """Where a link leads to; the link stays."""
    return Path(os.path.realpath(target))
