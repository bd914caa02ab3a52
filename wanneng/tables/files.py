"""Reads a file or standard input within bounds, as bytes or as lines."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

from wanneng.errors import CommandError
from wanneng.tables.encodings import Decoded, decode, is_malformed
from wanneng.tables.kinds import kind_of

MAX_BYTES = 1_000_000_000
STANDARD_INPUT = "-"


def read_bytes(source: Path) -> bytes:
    """`-` is standard input. `CommandError` if it cannot be read or is too large."""
    try:
        if str(source) == STANDARD_INPUT:
            content = sys.stdin.buffer.read(MAX_BYTES + 1)
        else:
            with source.open("rb") as file:
                content = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise CommandError(f"{source} cannot be read: {error.strerror or error}") from None
    if len(content) > MAX_BYTES:
        raise CommandError(f"{source} has more than {MAX_BYTES} bytes; split it")
    return content


def decoded(source: Path, content: bytes, encoding: str | None = None) -> Decoded:
    """The text of a file; `CommandError` names it and what it is, where it has none."""
    kind = kind_of(content, html=encoding is None)
    if kind is not None:
        raise CommandError(f"{source} is {kind}")
    try:
        return decode(content, encoding)
    except CommandError as error:
        raise CommandError(f"{source} cannot be read: {error}") from None


def read_lines(source: Path) -> Iterator[str]:
    """Without their ends. `CommandError` names a line that is malformed in the file's encoding."""
    content = decoded(source, read_bytes(source))
    for number, line in enumerate(split_lines(content.text), 1):
        if is_malformed(line):
            raise CommandError(f"{source} cannot be read: line {number} is not {content.encoding}")
        yield line


def split_lines(text: str) -> Iterator[str]:
    """Only a line feed ends a line: other separators, such as U+2028, may be part of a text."""
    lines = text.split("\n")
    if lines[-1] == "":
        lines.pop()
    return (line.removesuffix("\r") for line in lines)
