"""The connection to a real Redis while its callers are cancelled."""

from __future__ import annotations

import asyncio

from gateway.redis.connection import RedisConnection
from tests.redis_server import RedisServer

STEPS = 80
"""Of the event loop: more than a few calls take."""
PATIENT_S = 5.0


async def test_a_caller_is_cancelled_whenever_that_comes(redis_server: RedisServer) -> None:
    """Seen failing: a cancellation that came as a command had just been sent was lost, and the task went on."""
    connection = RedisConnection(redis_server.url, PATIENT_S)

    async def call_without_end() -> None:
        while True:
            await connection.call(lambda redis: redis.ping())

    for steps in range(STEPS):
        calling = asyncio.create_task(call_without_end())
        for _ in range(steps):
            await asyncio.sleep(0)
        calling.cancel()
        _, running = await asyncio.wait([calling], timeout=1.0)
        for task in running:
            task.cancel()
        assert not running, f"cancelled in step {steps}"
    await connection.close()
