"""Turns the output of a process into log records: its own JSON records, Triton's lines, and any other line."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

from logs.records import CRITICAL, DEBUG, ERROR, INFO, MAX_CHARACTERS, WARNING, Record, record

FIELDS = ("time", "level", "logger", "message")
MAX_LINE_BYTES = 1_000_000
"""The longest line; a longer one is split into lines of this size."""
MAX_BLOCK_CHARACTERS = 2 * MAX_CHARACTERS
"""The largest group of lines that belong together."""
LEVELS = {"I": INFO, "W": WARNING, "E": ERROR, "F": CRITICAL, "V": DEBUG}
TRITON = re.compile(r"([IWEF])(\d\d)(\d\d) (\d\d:\d\d:\d\d\.\d+) +\d+ ([^\s\]]+)\] ?(.*)")
"""glog's prefix, in UTC and without the year: `I1126 01:02:03.456789 31490 server.cc:241] "message"`."""
ONNX_RUNTIME = re.compile(
    r"(?:\x1b\[[\d;]*m)?[\d-]{10} [\d:.]+ \[([VIWEF]):onnxruntime:[^\]]*\] (.*?)(?:\x1b\[m)?"
)
CHAINED = ("another exception occurred:", "direct cause of the following exception:")
TRACEBACK, FATAL = "Traceback (most recent call last):", ("Fatal Python error", "terminate called", "Signal (")


class LogLines:
    """Takes bytes and returns records. A line that does not begin a record belongs to the one before it.

    `logger` is the default name, and `now` gives the time, of records that have none. Records that a `trusted`
    process wrote are passed through unchanged.
    """

    def __init__(self, logger: str, now: Callable[[], float] = time.time, *, trusted: bool = False) -> None:
        self._logger = logger
        self._trusted = trusted
        self._now = now
        self._rest = b""
        self._block: dict[str, Any] | None = None
        self._characters = 0

    @property
    def waits(self) -> bool:
        """Whether the next line may belong to the last one."""
        return self._block is not None

    def feed(self, content: bytes) -> Iterator[Record | bytes]:
        """Records that are complete."""
        *lines, self._rest = (self._rest + content).split(b"\n")
        for line in lines:
            yield from self._line(line)
        while len(self._rest) > MAX_LINE_BYTES:
            part, self._rest = self._rest[:MAX_LINE_BYTES], self._rest[MAX_LINE_BYTES:]
            yield from self._line(part)

    def flush(self) -> Iterator[Record | bytes]:
        """What waited for another line."""
        if self._block is not None:
            block, self._block = self._block, None
            yield self._finished(block)

    def end(self) -> Iterator[Record | bytes]:
        """The same, with a line that has no end."""
        rest, self._rest = self._rest, b""
        if rest:
            yield from self._line(rest)
        yield from self.flush()

    def _line(self, content: bytes) -> Iterator[Record | bytes]:
        own = content if self._trusted and _is_object(content) else _own(content)
        if own is not None:
            yield from self.flush()
            yield own
            return
        text = content.decode("utf-8", "replace").rstrip("\r")
        begun = self._begun(text)
        if begun is not None and text.startswith(TRACEBACK) and self._leads_to_another():
            begun = None
        if begun is not None or self._characters + len(text) > MAX_BLOCK_CHARACTERS:
            yield from self.flush()
        if self._block is None:
            if not text.strip():
                return
            self._block = begun or {"time": self._now(), "level": INFO, "logger": self._logger, "lines": [text]}
            self._characters = 0
        else:
            self._block["lines"].append(text)
        self._characters += len(text)

    def _begun(self, text: str) -> dict[str, Any] | None:
        if match := TRITON.fullmatch(text):
            level, month, day, clock, source, message = match.groups()
            return {
                "time": self._time(int(month), int(day), clock),
                "level": LEVELS[level],
                "logger": self._logger,
                "source": source,
                "lines": [_unquoted(message)],
            }
        if match := ONNX_RUNTIME.fullmatch(text):
            return {"time": self._now(), "level": LEVELS[match[1]], "logger": "onnxruntime", "lines": [match[2]]}
        if text.startswith((TRACEBACK, *FATAL)):
            return {"time": self._now(), "level": ERROR, "logger": self._logger, "lines": [text]}
        return None

    def _leads_to_another(self) -> bool:
        """Whether a traceback is followed by that of an exception raised while handling it."""
        lines = self._block["lines"] if self._block is not None else []
        return any(line.endswith(CHAINED) for line in lines[-2:])

    def _time(self, month: int, day: int, clock: str) -> float:
        """Of this year, or of the last one where that would be tomorrow."""
        now = datetime.fromtimestamp(self._now(), UTC)
        for year in (now.year, now.year - 1):
            try:
                at = datetime.fromisoformat(f"{year}-{month:02d}-{day:02d}T{clock[:15]}+00:00")
            except ValueError:
                continue
            if at <= now + timedelta(days=1):
                return at.timestamp()
        return now.timestamp()

    def _finished(self, block: dict[str, Any]) -> Record:
        lines = "\n".join(block.pop("lines")).strip("\n").split("\n")
        more = {}
        if lines[0].startswith(TRACEBACK):
            # Frames are indented; what was raised is not.
            raised = [line for line in lines[1:] if line and not line[0].isspace()]
            more["exception"], message = "\n".join(lines), raised[-1] if raised else lines[0]
        elif lines[0].startswith(FATAL):
            block["level"] = CRITICAL
            more["exception"], message = "\n".join(lines), lines[0]
        else:
            message = "\n".join(lines)
        at, level, logger = (block.pop(name) for name in FIELDS[:3])
        return record(at, level, logger, message, **block, **more)


def _is_object(content: bytes) -> bool:
    return content.startswith(b'{"time":"') and content.endswith(b"}")


def _own(content: bytes) -> Record | None:
    """A record that the process wrote as one."""
    if not _is_object(content):
        return None
    try:
        entry = json.loads(content)
    except ValueError:
        return None
    return entry if isinstance(entry, dict) and all(isinstance(entry.get(name), str) for name in FIELDS) else None


def _unquoted(message: str) -> str:
    """Triton escapes a message as JSON does, but not its tables."""
    if len(message) > 1 and message[0] == message[-1] == '"':
        try:
            return str(json.loads(message))
        except ValueError:
            return message[1:-1]
    return message
