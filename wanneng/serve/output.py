"""The output of a child process: read as it arrives, written as log records, with the last lines remembered."""

from __future__ import annotations

import asyncio
import fcntl
import json
import os
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress

from logs.records import INFO, WARNING, Record, json_line, record, text_line
from logs.setup import STDOUT
from logs.setup import write as write_all
from wanneng.serve.log_file import LogFile
from wanneng.serve.log_lines import LogLines
from wanneng.settings import ServeSettings

READ_BYTES, READS = 65_536, 16
"""Of one read, and of one turn of the event loop."""
PIPE_BYTES = 1 << 20
"""What a child can write before it waits for this process; pipe(7)."""
BLOCK_S = 0.2
"""How long the next line may take and still belong to the one before it."""
TAIL_LINES, TAIL_CHARACTERS = 12, 400
FAILURE = "UNAVAILABLE"

Sink = Callable[[bytes], None]
"""Takes whole lines; never fails."""


class Output:
    """Give `write_fd` to the child as its outputs, then call `begin`; `close` when it has ended."""

    def __init__(
        self,
        sink: Sink,
        lines: LogLines,
        *,
        text: bool = False,
        kept_in: str = "",
        on_close: Callable[[], None] = lambda: None,
    ) -> None:
        self.kept_in = kept_in
        """Where a person finds the log; empty if it is not kept here."""
        self._on_close = on_close
        self._sink = sink
        self._lines = lines
        self._text = text
        self._last: deque[Record | bytes] = deque(maxlen=TAIL_LINES)
        self._flushing: asyncio.TimerHandle | None = None
        self._read_fd, self.write_fd = os.pipe2(os.O_CLOEXEC)
        os.set_blocking(self._read_fd, False)
        # Above the limit of a user, the usual size stays.
        with suppress(OSError):
            fcntl.fcntl(self._read_fd, fcntl.F_SETPIPE_SZ, PIPE_BYTES)

    def begin(self) -> None:
        """The child has its end of the pipe."""
        os.close(self.write_fd)
        asyncio.get_running_loop().add_reader(self._read_fd, self._read)

    def drain(self) -> None:
        """Read the remaining output of a child that has ended."""
        while self._read_fd >= 0 and self._read():
            pass
        self._emit(self._lines.end())

    def close(self) -> None:
        if self._read_fd >= 0:
            self.drain()
            self._stop_reading()
            os.close(self._read_fd)
            self._read_fd = -1
            self._on_close()

    def last_lines(self) -> list[str]:
        """What was said last, without tables, but with those rows of Triton's that report a failure."""
        self.drain()
        lines = [line for entry in self._last for line in _shown(entry)]
        relevant = [line for line in lines if line.strip() and (line[0] not in "|+" or FAILURE in line)]
        return [line[:TAIL_CHARACTERS] for line in relevant[-TAIL_LINES:]]

    def _read(self) -> bool:
        """Whether there may be more."""
        for _ in range(READS):
            try:
                content = os.read(self._read_fd, READ_BYTES)
            except BlockingIOError:
                break
            if not content:
                self._stop_reading()
                break
            self._emit(self._lines.feed(content))
        else:
            return True
        if self._lines.waits and self._flushing is None:
            self._flushing = asyncio.get_running_loop().call_later(BLOCK_S, self._flush)
        return False

    def _flush(self) -> None:
        self._flushing = None
        self._emit(self._lines.flush())

    def _emit(self, entries: Iterable[Record | bytes]) -> None:
        rendered = list(self._rendered(entries))
        if rendered:
            self._sink(b"".join(rendered))

    def _rendered(self, entries: Iterable[Record | bytes]) -> Iterator[bytes]:
        for entry in entries:
            self._last.append(entry)
            yield rendered(entry, text=self._text)

    def _stop_reading(self) -> None:
        asyncio.get_running_loop().remove_reader(self._read_fd)
        if self._flushing is not None:
            self._flushing.cancel()
            self._flushing = None


def rendered(entry: Record | bytes, *, text: bool) -> bytes:
    """A line with its end."""
    if text:
        line = text_line(json.loads(entry) if isinstance(entry, bytes) else entry)
    elif isinstance(entry, bytes):
        return entry + b"\n"
    else:
        line = json_line(entry)
    return line.encode(errors="backslashreplace") + b"\n"


def file_output(settings: ServeSettings, name: str, *, trusted: bool) -> Output:
    """Of a process whose lines are kept in `name.log`; a `trusted` one writes records itself."""
    file = log_file(settings, name)
    text = settings.log_format == "text"
    return Output(
        file_sink(file, text=text),
        LogLines(name, trusted=trusted),
        text=text,
        kept_in=str(file.path),
        on_close=file.close,
    )


def log_file(settings: ServeSettings, name: str) -> LogFile:
    return LogFile(settings.state_dir / f"{name}.log", settings.log_file_bytes, settings.log_files)


def file_sink(file: LogFile, *, text: bool = False) -> Sink:
    """Into `file`, which says how much it has lost as soon as it has room again."""

    def sink(lines: bytes) -> None:
        if file.lost_lines:
            lost, why = file.lost_lines, file.lost_because
            file.lost_lines = 0
            note = record(time.time(), WARNING, "wanneng.serve", f"{lost} lines are lost: {why}")
            file.write(rendered(note, text=text))
            if file.lost_lines:
                # There is no room yet; the note is not one of the process's lines.
                file.lost_lines = lost
        file.write(lines)

    return sink


def stdout_sink(lines: bytes) -> None:
    """For a container, whose runtime keeps what is written there."""
    with suppress(OSError):
        write_all(STDOUT, lines)


def _shown(entry: Record | bytes) -> list[str]:
    with suppress(ValueError):
        found = json.loads(entry) if isinstance(entry, bytes) else entry
        if found.get("level") == INFO and found.get("logger") == "access":
            return [text_line(found)]
        return str(found.get("message", "")).split("\n")
    return []
