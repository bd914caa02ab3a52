"""One turn of a batch: asks the gateway for its lines, waits as the gateway says, and ends in time.

A line that would have to wait beyond the end of the turn is left for a later one, so that a tenant whose quota is
used up, or a gateway that is away, holds up nobody else's batch. Whatever goes wrong with a line is that line's
error.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import AsyncGenerator, Awaitable, Callable, MutableMapping, Sequence
from datetime import datetime, timedelta

from control_plane.worker.gateway_client import (
    AnswerTooLarge,
    ConnectionBroke,
    DeadlineExceeded,
    Gateway,
    GatewayFailed,
    NoAnswer,
    NotServed,
    TryLater,
)
from control_plane.worker.lines import BadLine, BatchLine, error_of, parse_line, request_id_of, result_of
from control_plane.worker.slots import LineShare
from stores.batches import Batch, LineResult
from stores.clock import Clock
from stores.errors import ServiceError

TURN_S = 10.0
"""Then another batch has its turn, if one waits."""
MIN_WAIT_S, MAX_WAIT_S = 1.0, 30.0
JITTER = 0.25
"""Share by which a wait is lengthened at random, so that lines do not come back all at once."""
NOT_SERVED_WAIT_S = 30.0
ATTEMPTS = 3
"""Of a line that the gateway fails to answer each time."""
KEEP_S = 2.0
"""Results wait no longer than that to be kept: long texts may take minutes for a group of lines."""
MAX_GROUP_BYTES = 16_000_000
"""Of results that are in memory until they are kept."""
UNFINISHED_ATTEMPTS = 10
"""Of a line that exceeds the gateway's deadline, or whose connection breaks, each time."""

Sleep = Callable[[float], Awaitable[None]]
log = logging.getLogger(__name__)


class Turn:
    """`warn` is called with what an operator should know.

    `unfinished` counts attempts of lines, by their request id, that the gateway began and did not finish.
    """

    def __init__(
        self,
        batch: Batch,
        gateway: Gateway,
        clock: Clock,
        share: LineShare,
        unfinished: MutableMapping[str, int],
        *,
        sleep: Sleep,
        warn: Callable[[str], None],
    ) -> None:
        self._batch = batch
        self._gateway = gateway
        self._clock = clock
        self._share = share
        self._unfinished = unfinished
        self._sleep = sleep
        self._warn = warn
        self._ends_at = min(clock.now() + timedelta(seconds=TURN_S), batch.expires_at)
        self._has_asked = False
        self._group_bytes = 0
        self._stopping = asyncio.Event()
        self._lines: list[asyncio.Task[LineResult | None]] = []
        self.resume_at: datetime | None = None
        """When the lines that were left may be asked for; None while none is left."""

    @property
    def is_over(self) -> bool:
        """Whether no further line is asked for; each turn asks for one at least."""
        timed_out = self._has_asked and self._clock.now() >= self._ends_at
        is_full = self._group_bytes >= MAX_GROUP_BYTES
        return self.resume_at is not None or self._stopping.is_set() or timed_out or is_full

    def stop(self) -> None:
        """Ask for no further line; those under way are awaited, those that wait are left."""
        self._stopping.set()

    def abandon(self) -> None:
        """Await nothing either."""
        self.stop()
        for line in self._lines:
            line.cancel()

    async def answer(self, lines: Sequence[tuple[int, bytes]]) -> AsyncGenerator[list[LineResult], None]:
        """The results of `lines`, those that are there every `KEEP_S`; none of a line that is left for later."""
        self._group_bytes = 0
        self._lines = [asyncio.create_task(self._answer_line(number, line)) for number, line in lines]
        pending = set(self._lines)
        try:
            while pending:
                done, pending = await asyncio.wait(pending, timeout=KEEP_S)
                outcomes = [line.result() for line in self._lines if line in done and not line.cancelled()]
                results = [outcome for outcome in outcomes if outcome is not None]
                if results or not pending:
                    yield results
        finally:
            for line in pending:
                line.cancel()
            self._lines = []

    async def _answer_line(self, number: int, line: bytes) -> LineResult | None:
        try:
            parsed = parse_line(line)
            async with self._share.line():
                result = await self._ask(number, parsed)
            self._group_bytes += 0 if result is None else result.bytes
            return result
        except BadLine as error:
            return error_of(self._batch.id, number, error)
        except Exception:
            # Whatever it is: nobody else's line has to do with it.
            log.exception("%s failed unexpectedly", request_id_of(self._batch.id, number))
            message = "an unexpected error; the worker's log has it"
            return error_of(self._batch.id, number, BadLine(ServiceError.code, message))

    async def _ask(self, number: int, line: BatchLine) -> LineResult | None:
        batch, failures = self._batch, 0
        request_id = request_id_of(batch.id, number)
        while not self.is_over:
            self._has_asked = True
            try:
                answer = await self._gateway.classify(batch.tenant_id, batch.key_id, request_id, bytes(line.body))
                return result_of(batch.id, number, line, answer)
            except TryLater as error:
                if isinstance(error, NoAnswer):
                    self._warn(str(error))
                if isinstance(error, (DeadlineExceeded, ConnectionBroke)):
                    self._unfinished[request_id] = attempts = self._unfinished.get(request_id, 0) + 1
                    if attempts >= UNFINISHED_ATTEMPTS:
                        return self._given_up(number, line, error)
                await self._wait(_wait_s(error.retry_after_s))
            except GatewayFailed as error:
                failures += 1
                if failures == ATTEMPTS:
                    return result_of(batch.id, number, line, error.answer)
                await self._pause(MIN_WAIT_S)
            except AnswerTooLarge as error:
                raise BadLine("answer_too_large", str(error), line.custom_id) from None
            except NotServed as error:
                self._warn(str(error))
                self._leave(NOT_SERVED_WAIT_S)
        return None

    def _given_up(self, number: int, line: BatchLine, error: TryLater) -> LineResult:
        if isinstance(error, DeadlineExceeded):
            return result_of(self._batch.id, number, line, error.answer)
        raise BadLine("no_answer", f"{UNFINISHED_ATTEMPTS} connections to the gateway broke", line.custom_id)

    async def _wait(self, seconds: float) -> None:
        if self._clock.now() + timedelta(seconds=seconds) < self._ends_at:
            await self._pause(seconds)
        else:
            self._leave(seconds)

    async def _pause(self, seconds: float) -> None:
        """Until then, or until the turn is stopped."""
        waits = [asyncio.ensure_future(self._sleep(seconds)), asyncio.ensure_future(self._stopping.wait())]
        try:
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for wait in waits:
                wait.cancel()

    def _leave(self, wait_s: float) -> None:
        self.resume_at = self._clock.now() + timedelta(seconds=wait_s)


def _wait_s(retry_after_s: float | None) -> float:
    wait_s = max(retry_after_s or MIN_WAIT_S, MIN_WAIT_S) * (1 + JITTER * random.random())  # noqa: S311
    return min(wait_s, MAX_WAIT_S)
