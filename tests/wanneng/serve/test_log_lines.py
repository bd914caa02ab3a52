from __future__ import annotations

import json
import socket
from datetime import UTC, datetime
from typing import Any

import pytest

from logs.records import Record
from wanneng.serve.log_lines import MAX_LINE_BYTES, LogLines

NEW_YEAR = datetime(2027, 1, 1, 0, 0, 5, tzinfo=UTC).timestamp()
TRACEBACK = b"""Traceback (most recent call last):
  File "a.py", line 1, in <module>
    1 / 0
ZeroDivisionError: division by zero

During handling of the above exception, another exception occurred:

Traceback (most recent call last):
  File "a.py", line 3, in <module>
    raise ValueError("no")
ValueError: no
"""
TABLE = b"""I1126 00:20:43.157200 31490 server.cc:674]\x20
+------------------+---------+--------+
| Model            | Version | Status |
+------------------+---------+--------+

"""


def read(content: bytes, *, now: float = NEW_YEAR, trusted: bool = False) -> list[dict[str, Any]]:
    lines = LogLines("triton", lambda: now, trusted=trusted)
    entries: list[Record | bytes] = [*lines.feed(content), *lines.end()]
    return [json.loads(entry) if isinstance(entry, bytes) else dict(entry) for entry in entries]


def test_a_line_of_triton_has_its_time_its_level_and_its_message() -> None:
    (entry,) = read(b'W1231 23:59:59.653261 31490 pinned_memory_manager.cc:273] "no \\"pinned\\" memory\\nhere"\n')
    assert entry == {
        "time": "2026-12-31T23:59:59.653Z",
        "level": "warning",
        "logger": "triton",
        "message": 'no "pinned" memory\nhere',
        "host": socket.gethostname(),
        "source": "pinned_memory_manager.cc:273",
    }


@pytest.mark.parametrize(("letter", "level"), [("I", "info"), ("W", "warning"), ("E", "error"), ("F", "critical")])
def test_the_letters_of_triton_are_levels(letter: str, level: str) -> None:
    (entry,) = read(f'{letter}0101 00:00:01.5 1 a.cc:1] "x"\n'.encode())
    assert (entry["level"], entry["time"]) == (level, "2027-01-01T00:00:01.500Z")


def test_a_table_belongs_to_the_line_before_it() -> None:
    table, after = read(TABLE + b'E1126 00:20:44.1 31490 server.cc:1] "bad"\n')
    assert table["message"].startswith("+---")
    assert table["message"].endswith("---+")
    assert (after["level"], after["message"]) == ("error", "bad")


def test_a_traceback_with_what_it_came_of_is_one_record() -> None:
    (entry,) = read(TRACEBACK)
    assert (entry["level"], entry["message"]) == ("error", "ValueError: no")
    assert entry["exception"].encode() + b"\n" == TRACEBACK


def test_a_fatal_error_of_the_interpreter_is_one_record() -> None:
    text = (
        b'Fatal Python error: Segmentation fault\n\nCurrent thread 0x1 (most recent call first):\n  File "a.py"\n'
    )
    before, entry = read(b'{"time":"t","level":"info","logger":"x","message":"before"}\n' + text, trusted=True)
    assert before["message"] == "before"
    assert (entry["level"], entry["message"]) == ("critical", "Fatal Python error: Segmentation fault")
    assert 'File "a.py"' in entry["exception"]


def test_a_line_of_onnx_runtime_has_its_level() -> None:
    (entry,) = read(
        b"\x1b[1;33m2026-11-26 10:00:00.1234 [W:onnxruntime:, cpuid_info.cc:91 Log] unknown CPU\x1b[m\n"
    )
    assert (entry["level"], entry["logger"], entry["message"]) == ("warning", "onnxruntime", "unknown CPU")


@pytest.mark.parametrize(
    "line",
    [
        b"plain",
        b"\xff\xfe\x00 bytes",
        b'{"time":"t"}',
        b'{"time":1,"level":"info","logger":"x","message":"m"}',
        b'{"time":"t","level":"info","logger":"x","message":"m"',
        b"[1]",
        b"I1399 99:99:99.9 1 a.cc:1] bad time",
        "万能\u2028x".encode(),
    ],
)
def test_whatever_is_no_record_becomes_one(line: bytes) -> None:
    (entry,) = read(line + b"\n")
    assert list(entry)[:4] == ["time", "level", "logger", "message"]
    assert entry["time"].startswith(("2026", "2027"))


def test_a_record_of_a_python_model_passes_through_triton() -> None:
    own = {"time": "2026-01-01T00:00:00.000Z", "level": "error", "logger": "python_backend", "message": "x"}
    (entry,) = read(json.dumps(own, separators=(",", ":")).encode() + b"\n")
    assert entry == own


def test_parts_of_lines_are_put_together_and_the_last_one_needs_no_end() -> None:
    lines = LogLines("x", lambda: 0.0)
    parts = [b"first ", b"line\nsec", b"ond"]
    entries = [entry for part in parts for entry in lines.feed(part)]
    assert entries == []
    (entry,) = lines.end()
    assert not isinstance(entry, bytes)
    assert entry["message"] == "first line\nsecond"


def test_a_line_without_end_takes_no_memory_without_bound() -> None:
    lines = LogLines("x", lambda: 0.0)
    sizes = [len(str(entry)) for _ in range(30) for entry in lines.feed(b"x" * (MAX_LINE_BYTES // 5))]
    assert len(sizes) >= 4
    assert max(sizes) < 100_000
