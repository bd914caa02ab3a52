"""The cores work while something is measured, at a priority that takes nothing from it."""

from __future__ import annotations

import asyncio
import os

from benchmarks.busy_cores import busy_cores
from tests.e2e.server import command_line, descendants


async def test_a_process_for_each_core_works_at_the_lowest_priority_and_ends_with_the_block() -> None:
    with busy_cores():
        async with asyncio.timeout(30):
            while len(idle := [pid for pid in workers() if os.sched_getscheduler(pid) == os.SCHED_IDLE]) < cores():
                await asyncio.sleep(0.01)
        assert len(idle) == cores()
    assert not workers()


def workers() -> list[int]:
    return [pid for pid in descendants(os.getpid()) if "benchmarks.busy_cores" in command_line(pid)]


def cores() -> int:
    return len(os.sched_getaffinity(0))
