"""The outputs of real processes, as files of records."""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path
from typing import Any

import pytest

from wanneng.serve.child import Child
from wanneng.serve.output import file_output
from wanneng.settings import CHECKOUT, ServeSettings

SETUP = "from logs import setup; setup.configure('json'); import logging; log = logging.getLogger('test')\n"


@pytest.fixture
def settings(tmp_path: Path) -> ServeSettings:
    return ServeSettings(state_dir=tmp_path, log_file_bytes=100_000, log_files=2)


async def start(code: str, settings: ServeSettings) -> Child:
    output = file_output(settings, "x", trusted=True)
    environment = {"PYTHONPATH": str(CHECKOUT), "PYTHONUNBUFFERED": "1"}
    return await Child.start("x", [sys.executable, "-c", SETUP + code], environment, output)


async def run(code: str, settings: ServeSettings) -> Child:
    child = await start(code, settings)
    async with asyncio.timeout(30):
        await child.wait()
    child.close()
    return child


def records(settings: ServeSettings) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (settings.state_dir / "x.log").read_bytes().splitlines()]


async def test_a_second_start_keeps_what_the_first_one_said(settings: ServeSettings) -> None:
    await run("log.info('first')", settings)
    await run("log.info('second')", settings)
    assert [entry["message"] for entry in records(settings)] == ["first", "second"]


@pytest.mark.parametrize(
    ("code", "end", "message"),
    [
        ("import ctypes; ctypes.string_at(0)", "x was ended by SIGSEGV", "Fatal Python error: Segmentation fault"),
        ("import os; os.abort()", "x was ended by SIGABRT", "Fatal Python error: Aborted"),
        (
            "import os, signal; os.kill(os.getpid(), signal.SIGKILL)",
            "x was ended by SIGKILL, as by a kernel that is out of memory",
            "before",
        ),
        ("1 / 0", "x ended with 1", "unexpected error: ZeroDivisionError: division by zero"),
        ("import sys; sys.stdout.write('no line break'); sys.exit(3)", "x ended with 3", "no line break"),
    ],
)
async def test_the_last_lines_of_a_crash_are_records(
    code: str, end: str, message: str, settings: ServeSettings
) -> None:
    child = await run("log.info('before')\n" + code, settings)
    assert child.end == end
    assert records(settings)[-1]["message"] == message
    assert child.last_lines()[-1] == message


async def test_text_is_for_people(tmp_path: Path) -> None:
    settings = ServeSettings(state_dir=tmp_path, log_format="text")
    await run("log.info('for people')", settings)
    assert (tmp_path / "x.log").read_text(encoding="utf-8").endswith(" INFO     test: for people\n")


async def test_a_child_waits_for_no_disk(settings: ServeSettings) -> None:
    """With a full disk it goes on, and the log says afterwards how much is missing."""
    path = settings.state_dir / "x.log"
    path.symlink_to("/dev/full")
    child = await start("import sys\nfor _ in range(9_000): log.info('x' * 1_000)\nsys.stdin.read()", settings)
    async with asyncio.timeout(30):
        await child.wait()
    path.unlink()
    child.close()
    again = await run("log.info('afterwards')", settings)
    assert again.end == "x ended with 0"
    assert records(settings)[-1]["message"] == "afterwards"


async def test_what_is_lost_is_said_once_there_is_room(settings: ServeSettings) -> None:
    path, go = settings.state_dir / "x.log", settings.state_dir / "go"
    path.symlink_to("/dev/full")
    code = f"""
import pathlib, time
log.info('lost')
while not pathlib.Path({str(go)!r}).exists(): time.sleep(0.01)
log.info('kept')
"""
    child = await start(code, settings)
    async with asyncio.timeout(30):
        while not child.last_lines():
            await asyncio.sleep(0.02)
        path.unlink()
        go.touch()
        await child.wait()
    child.close()
    said, kept = records(settings)
    assert (said["level"], said["message"]) == ("warning", "1 lines are lost: No space left on device")
    assert kept["message"] == "kept"


async def test_one_that_was_stopped_has_said_everything(settings: ServeSettings) -> None:
    code = "import signal, sys, time\nsignal.signal(signal.SIGTERM, lambda *_: (log.info('bye'), sys.exit()))\n"
    child = await start(code + "log.info('up')\ntime.sleep(60)", settings)
    async with asyncio.timeout(30):
        while not child.last_lines():
            await asyncio.sleep(0.02)
        await child.stop(10.0)
    assert [entry["message"] for entry in records(settings)] == ["up", "bye"]
    assert child.returncode == 0
