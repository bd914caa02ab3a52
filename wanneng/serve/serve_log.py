"""The output of `wanneng serve` and `wanneng triton`: lines for a person or log records, and a log file."""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any, Protocol

from logs import setup
from logs.records import CRITICAL, INFO, Record, json_line, record
from wanneng.errors import CommandError
from wanneng.serve.output import Sink

LOGGER = "wanneng.serve"


class Say(Protocol):
    def __call__(self, line: str, *, level: str = INFO, **fields: Any) -> None:
        """`fields` are for the log; the terminal shows `line` only."""
        ...


class ServeLog:
    """A `Say` on standard error: with `text` lines for a person, otherwise records.

    Records of Python's logging, as of libraries, come here too.
    """

    def __init__(self, *, text: bool) -> None:
        self.text = text
        self._sink: Sink | None = None
        setup.install(_Forward(self._add))

    def keep_in(self, sink: Sink) -> None:
        """Also write records there from now on."""
        self._sink = sink

    def __call__(self, line: str, *, level: str = INFO, **fields: Any) -> None:
        self._add(record(time.time(), level, LOGGER, line, **fields))

    @contextmanager
    def reporting(self) -> Iterator[None]:
        """A `CommandError` of the block is the last record, and ends the process with 1."""
        try:
            yield
        except (CommandError, OSError) as error:
            self(str(error), level=CRITICAL)
            sys.exit(1)

    def _add(self, entry: Record) -> None:
        line = f"{json_line(entry)}\n".encode(errors="backslashreplace")
        if self._sink is not None:
            self._sink(line)
        if self.text:
            print_line(
                setup.STDERR, "\n".join(filter(None, [f"wanneng: {entry['message']}", entry.get("exception")]))
            )
        else:
            with suppress(OSError):
                setup.write(setup.STDERR, line)


def print_line(fd: int, line: str) -> None:
    """For a person, in the encoding of the locale: a full disk or a closed pipe must not end a server."""
    with suppress(OSError):
        setup.write(fd, f"{line}\n".encode(encoding(fd), errors="backslashreplace"))


def encoding(fd: int) -> str:
    """That of standard output or standard error."""
    return getattr({setup.STDOUT: sys.stdout, setup.STDERR: sys.stderr}[fd], "encoding", None) or "utf-8"


class _Forward(logging.Handler):
    def __init__(self, add: Callable[[Record], None]) -> None:
        super().__init__()
        self._add = add

    def emit(self, record: logging.LogRecord) -> None:
        self._add(setup.entry_of(record))
