"""Processes that end are started again, however often they end."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from logs.records import INFO
from wanneng.errors import StartError
from wanneng.serve.child import Child
from wanneng.serve.output import Output, file_output
from wanneng.serve.processes import ProcessSpec
from wanneng.serve.readiness import wait_for_success, wait_until
from wanneng.serve.service import MAX_ENDS, Service
from wanneng.settings import ServeSettings

Make = Callable[..., Service]


def python(code: str) -> list[str]:
    return [sys.executable, "-c", code]


def output(folder: Path) -> Output:
    return file_output(ServeSettings(state_dir=folder), "log", trusted=True)


RUNNING = python("import time; time.sleep(60)")
FAILING = python("raise SystemExit('no database')")


async def ready() -> bool:
    return True


async def never() -> bool:
    return False


class Log:
    """What a person was told; `until` waits for more."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.fields: list[dict[str, Any]] = []

    def say(self, line: str, *, level: str = INFO, **fields: Any) -> None:
        self.lines.append(line)
        self.fields.append({"level": level} | fields)

    async def until(self, count: int) -> None:
        while len(self.lines) < count:
            await asyncio.sleep(0.01)


@pytest.fixture
def log() -> Log:
    return Log()


@pytest.fixture
async def make(tmp_path: Path, log: Log) -> AsyncIterator[Make]:
    """Services of a command; stopped at the end."""
    made: list[Service] = []

    def of(*commands: list[str], **options: object) -> Service:
        starts = iter(commands)
        last = commands[-1]
        service = Service(
            lambda: ProcessSpec("the control plane", "control-plane", next(starts, last), {}),
            ServeSettings(state_dir=tmp_path, start_timeout_s=5.0),
            log.say,
            **options,  # type: ignore[arg-type]
        )
        made.append(service)
        return service

    async with asyncio.timeout(30):
        yield of
        for service in made:
            await service.stop(1.0)


async def test_one_that_ends_is_started_again(make: Make, log: Log) -> None:
    service = make(python("pass"), RUNNING, ready=ready)
    await service.start()
    keeping = asyncio.create_task(service.keep())
    await log.until(2)
    keeping.cancel()
    assert log.lines == ["the control plane ended with 0; starting it again", "the control plane is back"]
    assert log.fields == [{"level": "warning", "exit_code": 0, "last_lines": []}, {"level": "info"}]


async def test_one_that_is_killed_is_recorded_with_its_last_lines(make: Make, log: Log) -> None:
    """As Triton by a kernel that is out of memory."""
    killed = python("import os, signal; print('loading', flush=True); os.kill(os.getpid(), signal.SIGKILL)")
    service = make(killed, RUNNING, ready=ready)
    await service.start()
    keeping = asyncio.create_task(service.keep())
    await log.until(2)
    keeping.cancel()
    assert log.lines[0].startswith(
        "the control plane was ended by SIGKILL, as by a kernel that is out of memory; "
    )
    assert log.fields[0] == {"level": "warning", "signal": "SIGKILL", "last_lines": ["loading"]}


async def test_one_that_goes_on_ending_is_tried_now_and_then(make: Make, log: Log) -> None:
    """A broken control plane ends no classification, and a Triton that somebody crashes is not given up."""
    service = make(FAILING, broken_pause_s=0.01)
    await service.start()
    keeping = asyncio.create_task(service.keep())
    await log.until(2 * MAX_ENDS + 4)
    assert not keeping.done()
    keeping.cancel()
    assert "starting it again in 0 s, see " in log.lines[-1] + log.lines[-2]


async def test_one_that_ends_before_it_is_ready_is_tried_again(make: Make, log: Log) -> None:
    async def ready_but_for_the_second() -> bool:
        return not log.lines or any("before it was ready" in line for line in log.lines)

    service = make(python("pass"), FAILING, RUNNING, ready=ready_but_for_the_second)
    await service.start()
    keeping = asyncio.create_task(service.keep())
    await log.until(4)
    keeping.cancel()
    assert "ended with 1 before it was ready" in log.lines[1]
    assert log.lines[2:] == ["the control plane ended with 1; starting it again", "the control plane is back"]


async def test_a_start_that_fails_shows_the_last_lines(make: Make) -> None:
    with pytest.raises(StartError, match=r"the control plane ended with 1 before it was ready[^$]*no database"):
        await make(FAILING, ready=never).start()
    with pytest.raises(StartError, match="the control plane cannot be started: /nowhere"):
        await make(["/nowhere"]).start()


async def test_what_is_not_ready_in_time_is_named_with_the_flag(tmp_path: Path) -> None:
    child = await Child.start("the gateway", RUNNING, {}, output(tmp_path))
    with pytest.raises(
        StartError, match="the gateway was not ready within 0 s; allow longer with --start-timeout-s"
    ):
        await wait_until(never, child, 0.01)
    with pytest.raises(StartError, match="the gateway took longer than 0 s; allow longer with --start-timeout-s"):
        await wait_for_success(child, 0.01)
    await child.stop(1.0)


async def test_a_migration_that_fails_shows_its_last_lines(tmp_path: Path) -> None:
    failing = await Child.start("the database migration", FAILING, {}, output(tmp_path))
    with pytest.raises(StartError, match=r"the database migration ended with 1[^$]*no database"):
        await wait_for_success(failing, 10.0)
    await wait_for_success(await Child.start("it", python("pass"), {}, output(tmp_path)), 10.0)
