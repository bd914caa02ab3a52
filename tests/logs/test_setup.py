"""What real processes print, whatever ends them."""

from __future__ import annotations

import json
import os
import pty
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
BEGIN = "from logs import setup; setup.configure()\nimport logging; log = logging.getLogger('test')\n"


def run(code: str, **variables: str) -> subprocess.CompletedProcess[bytes]:
    environment = dict(os.environ) | variables
    return subprocess.run(
        [sys.executable, "-c", BEGIN + code],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        check=False,
        timeout=30,
    )


def records(code: str, **variables: str) -> list[dict[str, Any]]:
    done = run(code, **variables)
    assert done.stderr == b""
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_every_record_has_a_time_a_level_a_logger_a_message_and_a_host() -> None:
    (entry,) = records("log.warning('%s is %d', '万能', 1, extra={'fields': {'lines': 3}})")
    assert list(entry) == ["time", "level", "logger", "message", "host", "lines"]
    assert entry["host"] == socket.gethostname()
    assert entry["time"].endswith("Z")
    assert (entry["level"], entry["logger"], entry["message"]) == ("warning", "test", "万能 is 1")


@pytest.mark.parametrize("encoding", ["ascii", "gbk", "utf-16"])
def test_the_log_is_utf_8_in_any_locale(encoding: str) -> None:
    (entry,) = records("log.info('万能 \\ud800')", PYTHONIOENCODING=encoding)
    assert entry["message"] == "万能 \ud800"


@pytest.mark.parametrize(
    ("code", "level", "message"),
    [
        ("1 / 0", "critical", "unexpected error: ZeroDivisionError: division by zero"),
        (
            "import threading; t = threading.Thread(target=lambda: 1 / 0); t.start(); t.join()",
            "critical",
            "unexpected error: ZeroDivisionError: division by zero",
        ),
        ("try: 1 / 0\nexcept ZeroDivisionError: log.exception('it failed')", "error", "it failed"),
        (
            """
import asyncio
async def f():
    asyncio.get_running_loop().call_soon(lambda: 1 / 0)
    await asyncio.sleep(0.01)
asyncio.run(f())
""",
            "error",
            "Exception in callback",
        ),
    ],
)
def test_a_traceback_is_part_of_one_record(code: str, level: str, message: str) -> None:
    (entry,) = records(code)
    assert entry["level"] == level
    assert message in entry["message"]
    assert "Traceback (most recent call last):\n" in entry["exception"]
    assert "ZeroDivisionError" in entry["exception"]


def test_warnings_are_records_and_bad_arguments_cost_no_message() -> None:
    warned, logged = records("import warnings; warnings.warn('old'); log.error('%d of %s', 'x')")
    assert (warned["level"], warned["logger"]) == ("warning", "py.warnings")
    assert "old" in warned["message"]
    assert "%d of %s" in logged["message"]


@pytest.mark.parametrize("output", ["/dev/full", "closed"])
def test_a_full_disk_or_a_closed_pipe_ends_nothing(output: str) -> None:
    code = (
        BEGIN + "log.error('a')\ntry: 1 / 0\nexcept ZeroDivisionError: log.exception('b')\nopen(path, 'w').close()"
    )
    read, write = os.pipe()
    os.close(read)
    target = os.open(output, os.O_WRONLY) if output != "closed" else write
    marker = Path(f"/tmp/wanneng-test-{os.getpid()}")
    try:
        command = [sys.executable, "-c", f"path = {str(marker)!r}\n{code}"]
        done = subprocess.run(command, cwd=ROOT, stdout=target, stderr=subprocess.PIPE, check=False, timeout=30)
        assert (done.returncode, done.stderr) == (0, b"")
        assert marker.exists()
    finally:
        marker.unlink(missing_ok=True)
        for fd in {target, write}:
            os.close(fd)


def test_a_terminal_gets_text() -> None:
    controller, terminal = pty.openpty()
    command = [sys.executable, "-c", BEGIN + "log.info('for people')"]
    subprocess.run(command, cwd=ROOT, stdout=terminal, check=True, timeout=30)
    os.close(terminal)
    printed = os.read(controller, 1_000).decode()
    os.close(controller)
    assert printed.endswith(" INFO     test: for people\r\n")


def test_a_fatal_error_of_the_interpreter_leaves_the_python_stack() -> None:
    done = run("import ctypes; ctypes.string_at(0)")
    assert done.returncode == -11
    assert done.stderr.startswith(b"Fatal Python error: Segmentation fault")
    assert b'File "<string>"' in done.stderr
