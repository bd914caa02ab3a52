"""A log file that is appended to and rotated by size: `name.log`, then `name.log.1` and so on for older lines."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

MODE = 0o600


class LogFile:
    """At most `files` files of `max_bytes`, including the current one.

    `write` never fails: lines for which a full disk has no room are lost and counted in `lost_lines`.
    """

    def __init__(self, path: Path, max_bytes: int, files: int) -> None:
        self.path = path
        self.lost_lines = 0
        self.lost_because = ""
        self._max_bytes = max_bytes
        self._files = files
        self._fd: int | None = None
        self._size = 0
        self._mid_line = False
        """Whether the file ends within a line, as after a full disk or a power failure."""
        # A process without output has a log file too; any error shows at the first write.
        with suppress(OSError):
            self._open()

    def write(self, lines: bytes) -> None:
        """`lines` ends with a line break."""
        while lines:
            part = lines
            try:
                self._open()
                room = self._max_bytes - self._size - self._mid_line
                if len(lines) > room:
                    end = lines.rfind(b"\n", 0, max(0, room)) + 1
                    if not end and self._size:
                        self._rotate()
                        continue
                    # A line longer than a whole file gets a file of its own.
                    part = lines[: end or lines.index(b"\n") + 1]
                self._append(part)
            except OSError as error:
                self.lost_lines += lines.count(b"\n")
                self.lost_because = error.strerror or type(error).__name__
                self.close()
                return
            lines = lines[len(part) :]

    def close(self) -> None:
        if self._fd is not None:
            os.close(self._fd)
            self._fd = None

    def _append(self, part: bytes) -> None:
        assert self._fd is not None
        if self._mid_line:
            part = b"\n" + part
        written = 0
        while written < len(part):
            count = os.write(self._fd, part[written:])
            written += count
            self._size += count
            self._mid_line = part[written - 1 : written] != b"\n"

    def _open(self) -> None:
        if self._fd is not None:
            return
        self._fd = os.open(self.path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, MODE)
        self._size = os.fstat(self._fd).st_size
        self._mid_line = self._size > 0 and os.pread(self._fd, 1, self._size - 1) != b"\n"
        self._remove_surplus()

    def _rotate(self) -> None:
        for number in range(self._files - 1, 0, -1):
            older = self._numbered(number)
            newer = self._numbered(number - 1) if number > 1 else self.path
            if newer.exists():
                newer.replace(older)
        self.close()
        self._open()

    def _remove_surplus(self) -> None:
        """Remove files beyond the limit, such as those of an earlier start with a higher one."""
        for path in self.path.parent.glob(f"{self.path.name}.*"):
            number = path.name.removeprefix(f"{self.path.name}.")
            if number.isdigit() and int(number) >= self._files:
                path.unlink(missing_ok=True)

    def _numbered(self, number: int) -> Path:
        return self.path.with_name(f"{self.path.name}.{number}")
