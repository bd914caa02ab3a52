"""Text into and out of the commands: lines as people and programs write them, output in any locale."""

from __future__ import annotations

import codecs
import io
import json
import sys
from collections.abc import Iterator
from pathlib import Path

from wanneng.errors import CommandError

ENCODING = "utf-8-sig"
"""UTF-8, whose byte order mark is no part of the first line."""
ESCAPE = "wanneng.escape"


def read_lines(source: Path) -> Iterator[str]:
    """Without their ends; `-` is standard input. `CommandError` where it cannot be read.

    Only a line feed ends a line: other separators, such as U+2028, may be part of a text.
    """
    try:
        if str(source) == "-":
            yield from _lines_of(io.TextIOWrapper(sys.stdin.buffer, encoding=ENCODING, newline="\n"))
            return
        with source.open(encoding=ENCODING, newline="\n") as file:
            yield from _lines_of(file)
    except (OSError, UnicodeDecodeError) as error:
        raise CommandError(f"{source} cannot be read: {error}") from None


def escape_what_the_locale_lacks() -> None:
    """From now on, output has JSON's escapes for what its encoding lacks, so that JSON stays JSON."""
    codecs.register_error(ESCAPE, _escape)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors=ESCAPE)


def _lines_of(file: io.TextIOWrapper) -> Iterator[str]:
    return (line.rstrip("\r\n") for line in file)


def _escape(error: UnicodeError) -> tuple[str, int]:
    assert isinstance(error, UnicodeEncodeError)
    return json.dumps(error.object[error.start : error.end])[1:-1], error.end
