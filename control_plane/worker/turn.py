"""One turn of a batch: asks the gateway for its lines, waits as the gateway says, and ends in time.

A line that would have to wait beyond the end of the turn is left for a later one, so that a tenant whose quota is
used up, or a gateway that is away, holds up nobody else's batch.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime, timedelta

from control_plane.worker.gateway_client import Gateway, GatewayFailed, NoAnswer, NotServed, TryLater
from control_plane.worker.lines import parse_line, request_id_of, result_of
from stores.batches import Batch, LineResult
from stores.clock import Clock

MIN_WAIT_S, MAX_WAIT_S = 1.0, 30.0
JITTER = 0.25
"""Share by which a wait is lengthened at random, so that lines do not come back all at once."""
NOT_SERVED_WAIT_S = 30.0
ATTEMPTS = 3
"""Of a line that the gateway fails to answer each time."""

Sleep = Callable[[float], Awaitable[None]]


class Turn:
    """`warn` is called with what an operator should know."""

    def __init__(
        self,
        batch: Batch,
        gateway: Gateway,
        clock: Clock,
        ends_at: datetime,
        *,
        lines_at_once: int,
        sleep: Sleep,
        warn: Callable[[str], None],
    ) -> None:
        self._batch = batch
        self._gateway = gateway
        self._clock = clock
        self._ends_at = min(ends_at, batch.expires_at)
        self._at_once = asyncio.Semaphore(lines_at_once)
        self._sleep = sleep
        self._warn = warn
        self.resume_at: datetime | None = None
        """When the lines that were left may be asked for; None while none is left."""

    async def answer(self, lines: Sequence[tuple[int, bytes]]) -> list[LineResult]:
        """The results of `lines`, in their order; without those that are left for a later turn."""
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(self._answer_line(number, line)) for number, line in lines]
        results = (task.result() for task in tasks)
        return [result for result in results if result is not None]

    async def _answer_line(self, number: int, line: bytes) -> LineResult | None:
        parsed, failures = parse_line(line), 0
        tenant_id, request_id = self._batch.tenant_id, request_id_of(self._batch.id, number)
        async with self._at_once:
            while self.resume_at is None:
                try:
                    answer = await self._gateway.classify(tenant_id, request_id, bytes(parsed.body))
                    return result_of(self._batch.id, number, parsed, answer)
                except TryLater as error:
                    if isinstance(error, NoAnswer):
                        self._warn(str(error))
                    await self._wait(_wait_s(error.retry_after_s))
                except GatewayFailed as error:
                    failures += 1
                    if failures == ATTEMPTS:
                        return result_of(self._batch.id, number, parsed, error.answer)
                    await self._sleep(MIN_WAIT_S)
                except NotServed as error:
                    self._warn(str(error))
                    self._leave(NOT_SERVED_WAIT_S)
        return None

    async def _wait(self, seconds: float) -> None:
        if self._clock.now() + timedelta(seconds=seconds) < self._ends_at:
            await self._sleep(seconds)
        else:
            self._leave(seconds)

    def _leave(self, wait_s: float) -> None:
        self.resume_at = self._clock.now() + timedelta(seconds=wait_s)


def _wait_s(retry_after_s: float | None) -> float:
    wait_s = max(retry_after_s or MIN_WAIT_S, MIN_WAIT_S) * (1 + JITTER * random.random())  # noqa: S311
    return min(wait_s, MAX_WAIT_S)
