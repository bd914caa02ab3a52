from __future__ import annotations

import asyncio
import time

from prometheus_client import CollectorRegistry, generate_latest

from web.loop_lag import LoopLag


async def test_work_that_holds_the_loop_is_measured_and_waiting_is_not() -> None:
    registry = CollectorRegistry()
    watching = asyncio.create_task(LoopLag(registry).watch())
    await asyncio.sleep(0.1)
    time.sleep(0.3)  # waiting takes no CPU
    await asyncio.sleep(0.05)
    assert longer_than_50_ms(registry) == 0
    until = time.thread_time() + 0.12
    while time.thread_time() < until:
        pass
    await asyncio.sleep(0.05)
    assert longer_than_50_ms(registry) == 1
    watching.cancel()
    await asyncio.gather(watching, return_exceptions=True)


def longer_than_50_ms(registry: CollectorRegistry) -> int:
    lines = dict(line.rsplit(" ", 1) for line in generate_latest(registry).decode().splitlines() if line[0] != "#")
    name = "wanneng_event_loop_blocked_seconds"
    return int(float(lines[f"{name}_count"]) - float(lines[f'{name}_bucket{{le="0.05"}}']))
