"""Sets up Python's logging for a process: libraries, warnings and unexpected errors as records on one output."""

from __future__ import annotations

import faulthandler
import logging
import os
import sys
import threading
import traceback
from types import TracebackType
from typing import Literal

from logs.records import Record, json_line, record, text_line

LogFormat = Literal["auto", "json", "text"]
"""`auto`: text where the output is a terminal, JSON everywhere else."""
STDOUT, STDERR = 1, 2
STREAMS = (("stdin", os.O_RDONLY), ("stdout", os.O_RDONLY), ("stderr", os.O_WRONLY))
"""By descriptor. An answer that is lost with standard output is an error; messages are not."""
QUIET = ("httpx", "httpcore", "alembic")
"""Libraries whose records below `warning` only repeat ours."""
FIELDS = "fields"
"""`log.info(…, extra={FIELDS: {…}})` adds fields to a record."""


def is_text(log_format: str, fd: int = STDOUT) -> bool:
    """Whether records on `fd` are written as text."""
    return log_format == "text" or (log_format == "auto" and os.isatty(fd))


def configure(log_format: str = "auto", fd: int = STDOUT) -> None:
    """Log to `fd` from now on, in any locale."""
    install(DescriptorHandler(fd, text=is_text(log_format, fd)))


def install(handler: logging.Handler) -> None:
    """Send all logging to `handler`, including warnings and the unhandled exceptions of all threads."""
    open_closed_streams()
    # Fields that no record shows are not collected (Python's logging HOWTO, "Optimization").
    logging.logThreads = logging.logProcesses = logging.logMultiprocessing = False
    # A full disk or a closed pipe must not fail a request.
    logging.raiseExceptions = False
    logging.basicConfig(level=logging.INFO, handlers=[handler], force=True)
    for name in QUIET:
        logging.getLogger(name).setLevel(logging.WARNING)
    logging.captureWarnings(capture=True)
    sys.excepthook = _log_unexpected
    threading.excepthook = lambda raised: _log_unexpected(
        raised.exc_type, raised.exc_value or raised.exc_type(), raised.exc_traceback
    )
    # The interpreter itself writes the stack of a crash, in several lines.
    faulthandler.enable(STDERR)


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


class DescriptorHandler(logging.Handler):
    """Writes each record immediately and completely, bypassing the buffer and the encoding of `sys.stdout`."""

    def __init__(self, fd: int, *, text: bool = False) -> None:
        super().__init__()
        self._fd = fd
        self._render = text_line if text else json_line

    def emit(self, record: logging.LogRecord) -> None:
        try:
            write(self._fd, f"{self._render(entry_of(record))}\n".encode(errors="backslashreplace"))
        except OSError:
            self.handleError(record)


def write(fd: int, content: bytes) -> None:
    """Write all of `content`; `OSError` if there is no room or no reader."""
    written = 0
    while written < len(content):
        written += os.write(fd, content[written:])


def entry_of(logged: logging.LogRecord) -> Record:
    """Convert a record of Python's logging to one of ours."""
    try:
        message = logged.getMessage()
    except (TypeError, ValueError, KeyError):
        # Arguments that do not match the format must not lose the message.
        message = f"{logged.msg} {logged.args!r}"
    more = dict(getattr(logged, FIELDS, {}))
    if logged.exc_info is not None and logged.exc_info[0] is not None:
        more["exception"] = "".join(traceback.format_exception(*logged.exc_info)).rstrip("\n")
    if logged.stack_info:
        more["stack"] = logged.stack_info
    return record(logged.created, logged.levelname.lower(), logged.name, message, **more)


def _log_unexpected(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    if issubclass(kind, (KeyboardInterrupt, SystemExit)):
        sys.__excepthook__(kind, error, trace)
        return
    logging.getLogger("python").critical(
        "unexpected error: %s: %s", kind.__name__, error, exc_info=(kind, error, trace)
    )
