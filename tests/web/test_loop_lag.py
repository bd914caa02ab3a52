from __future__ import annotations

import asyncio
import time

from prometheus_client import CollectorRegistry, generate_latest

from web.loop_lag import LoopLag


async def test_work_that_holds_the_loop_is_measured_and_waiting_is_not() -> None:
    registry = CollectorRegistry()
    with LoopLag(registry):
        await asyncio.sleep(0.1)
        time.sleep(0.3)  # waiting takes no CPU
        await asyncio.sleep(0.05)
        assert ticks(registry, longer_than="0.05") == 0
        compute(0.12)
        await asyncio.sleep(0.05)
        assert ticks(registry, longer_than="0.05") == 1


async def test_what_holds_the_loop_until_the_end_of_the_last_request_is_measured() -> None:
    registry = CollectorRegistry()
    lag = LoopLag(registry)
    with lag:
        compute(0.12)
    await asyncio.sleep(0.05)
    assert ticks(registry, longer_than="0.05") == 1


async def test_nothing_ticks_while_no_request_is_in_progress() -> None:
    registry = CollectorRegistry()
    lag = LoopLag(registry)
    with lag, lag:
        await asyncio.sleep(0.03)
    await asyncio.sleep(0.05)
    before = ticks(registry)
    assert before > 0
    await asyncio.sleep(0.1)
    assert ticks(registry) == before
    with lag:
        await asyncio.sleep(0.05)
    assert ticks(registry) > before


def compute(seconds: float) -> None:
    until = time.thread_time() + seconds
    while time.thread_time() < until:
        pass


def ticks(registry: CollectorRegistry, longer_than: str | None = None) -> int:
    lines = dict(line.rsplit(" ", 1) for line in generate_latest(registry).decode().splitlines() if line[0] != "#")
    name = "wanneng_event_loop_blocked_seconds"
    below = 0.0 if longer_than is None else float(lines[f'{name}_bucket{{le="{longer_than}"}}'])
    return int(float(lines[f"{name}_count"]) - below)
