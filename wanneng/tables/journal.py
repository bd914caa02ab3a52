"""Saves answers as they arrive in a file next to the output, so that an interrupted run can be resumed."""

from __future__ import annotations

import fcntl
import json
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from wanneng.errors import CommandError
from wanneng.tables.answers import Answer

SUFFIX = ".partial"
BEGINNING = b'{"run": '
"""Of every journal."""


class Journal:
    """`run` identifies the texts and the options; a journal of another run is refused.

    Only one process can use it at a time. `answers`, by row number, include those of earlier runs.
    """

    def __init__(self, target: Path, run: Mapping[str, Any]) -> None:
        self.path = target.with_name(target.name + SUFFIX)
        self.answers: dict[int, Answer] = {}
        self.notes: dict[str, Any] = {}
        """Whatever else is kept."""
        self._run = json.loads(json.dumps(run))

    def __enter__(self) -> Self:
        try:
            self._file = self.path.open("a+b")
        except OSError as error:
            raise CommandError(f"{self.path} cannot be written: {error.strerror}") from None
        try:
            self._lock()
            self._read()
        except CommandError:
            self._file.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()

    def add(self, number: int, answer: Answer) -> None:
        """Of a row; it outlives this process from now on."""
        self.answers[number] = answer
        self._write({"row": number, "answer": answer})

    def note(self, name: str, value: Any) -> None:
        self.notes[name] = value
        self._write({"note": name, "value": value})

    def remove(self) -> None:
        """The output is whole."""
        self.path.unlink(missing_ok=True)

    def _lock(self) -> None:
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise CommandError(f"another command is writing {self.path}; wait until it is done") from None

    def _read(self) -> None:
        self._file.seek(0)
        content = self._file.read()
        # A process that was killed may have left half a line.
        whole = content[: content.rfind(b"\n") + 1]
        try:
            self._take(content, whole)
        except (ValueError, KeyError, TypeError):
            raise CommandError(f"{self.path} was not written by an interrupted command; move it away") from None
        # Not before it is known to be ours.
        self._file.truncate(len(whole))
        if not whole:
            self._write({"run": self._run})

    def _take(self, content: bytes, whole: bytes) -> None:
        """Read the answers; any error means that the file is not a journal."""
        if not content.startswith(BEGINNING[: len(content)]):
            raise ValueError("another beginning")
        header, *lines = [json.loads(line) for line in whole.splitlines()] or [{"run": self._run}]
        if header["run"] != self._run:
            raise CommandError(
                f"{self.path} belongs to an interrupted command with another input or other options; give the "
                "same ones to continue, remove it to start over, or choose another --output"
            )
        for line in lines:
            if "row" in line:
                self.answers[line["row"]] = line["answer"]
            else:
                self.notes[line["note"]] = line["value"]

    def _write(self, line: Mapping[str, Any]) -> None:
        self._file.write(json.dumps(line).encode() + b"\n")
        self._file.flush()
