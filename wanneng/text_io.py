"""The standard streams of the commands, and what they print and call files, in any locale."""

from __future__ import annotations

import codecs
import io
import json
import os
import sys
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

from wanneng.errors import CommandError

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

ESCAPE = "wanneng.escape"
STREAMS = (("stdin", os.O_RDONLY), ("stdout", os.O_RDONLY), ("stderr", os.O_WRONLY))
"""By descriptor. An answer that is lost with standard output is an error; messages are not."""


def prepare_streams() -> None:
    """From now on, answers that cannot be written are a `CommandError`, and messages that cannot end nothing.

    Output has JSON's escapes for what its encoding lacks, so that JSON stays JSON.
    """
    codecs.register_error(ESCAPE, _escape)
    open_closed_streams()
    sys.stdout, sys.stderr = _text(sys.stdout, _Answers), _text(sys.stderr, _Messages)


def open_closed_streams() -> None:
    """Standard streams that are closed lead to /dev/null: no socket or database may take their descriptors."""
    for fd, (name, access) in enumerate(STREAMS):
        try:
            os.fstat(fd)
        except OSError:
            # It takes the lowest free descriptor, which is this one.
            os.set_inheritable(os.open(os.devnull, access), True)
            stream = open(fd, "w" if fd else "r", encoding="utf-8", closefd=False)  # noqa: SIM115
            setattr(sys, name, stream)


class _Answers(io.FileIO):
    def write(self, content: ReadableBuffer) -> int:
        try:
            return super().write(content)
        except OSError as error:
            # The interpreter would try to write them once more when it ends.
            with Path(os.devnull).open("wb") as nowhere:
                os.dup2(nowhere.fileno(), self.fileno())
            if isinstance(error, BrokenPipeError):
                raise  # Whoever read them has enough.
            raise CommandError(f"standard output cannot be written: {error.strerror}") from None


class _Messages(io.FileIO):
    def write(self, content: ReadableBuffer) -> int:
        written = None
        with suppress(OSError):
            written = super().write(content)
        # None: a pipe that does not block is full.
        return memoryview(content).nbytes if written is None else written


def _text(stream: TextIO, kind: type[io.FileIO]) -> TextIO:
    """The same stream on a file of `kind`; another one, as tests have, stays."""
    if not isinstance(stream, io.TextIOWrapper):
        return stream
    stream.flush()
    file = kind(stream.fileno(), "w", closefd=False)
    return io.TextIOWrapper(
        # With PYTHONUNBUFFERED, nobody would flush a buffer in between.
        file if stream.write_through else io.BufferedWriter(file),
        encoding=stream.encoding,
        errors=ESCAPE,
        line_buffering=stream.line_buffering,
        write_through=stream.write_through,
    )


def shown_name(path: Path) -> str:
    """The file's name as valid Unicode, for people: bytes that are not UTF-8 become U+FFFD."""
    return os.fsencode(path.name).decode(errors="replace")


def _escape(error: UnicodeError) -> tuple[str, int]:
    assert isinstance(error, UnicodeEncodeError)
    return json.dumps(error.object[error.start : error.end])[1:-1], error.end
