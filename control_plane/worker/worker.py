"""Answers batches line by line. Whatever ends it, another worker goes on where the last results were kept."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from datetime import datetime, timedelta

from control_plane.files import content_of, new_file
from control_plane.worker.gateway_client import Gateway
from control_plane.worker.lines import split_lines, validate_lines
from control_plane.worker.turn import Sleep, Turn
from stores.batches import (
    CANCELLED,
    CANCELLING,
    COMPLETED,
    EXPIRED,
    FAILED,
    FINALIZING,
    IN_PROGRESS,
    VALIDATING,
    Batch,
    BatchQueue,
    LeaseLost,
    LineResult,
)
from stores.clock import Clock
from stores.errors import NotFound, StoreUnavailable
from stores.files import OUTPUT_PURPOSE, FileStore

LEASE_S = 15.0
"""How long after a worker's death another one takes its batch over."""
IDLE_S = 1.0
STORE_WAIT_S = 1.0
GROUP_LINES = 64
"""Lines whose results are kept together: as many are asked for again after a crash, at most."""
TURN_S = 10.0
"""Then another batch has its turn, if one waits."""
WARN_INTERVAL_S = 60.0

log = logging.getLogger(__name__)


class Worker:
    """One of any number of workers on a database; `name` is its own."""

    def __init__(
        self,
        name: str,
        queue: BatchQueue,
        files: FileStore,
        gateway: Gateway,
        clock: Clock,
        *,
        max_batch_lines: int,
        lines_at_once: int,
        sleep: Sleep = asyncio.sleep,
    ) -> None:
        self._name = name
        self._queue = queue
        self._files = files
        self._gateway = gateway
        self._clock = clock
        self._max_batch_lines = max_batch_lines
        self._lines_at_once = lines_at_once
        self._sleep = sleep
        self._resume_at: dict[str, datetime] = {}
        """Batches that the gateway let wait, and until when."""
        self._warned_at: dict[str, datetime] = {}

    async def keep_serving(self) -> None:
        """Serve batches until cancelled."""
        while True:
            try:
                served = await self.serve_one()
            except StoreUnavailable:
                served = False
            if not served:
                await self._sleep(IDLE_S)

    async def serve_one(self) -> bool:
        """Give the batch that waited longest its turn; whether there was one."""
        now = self._clock.now()
        self._resume_at = {batch_id: at for batch_id, at in self._resume_at.items() if at > now}
        batch = await self._queue.claim(self._name, now, self._lease_end(), excluding=list(self._resume_at))
        if batch is None:
            return False
        try:
            async with asyncio.TaskGroup() as group:
                renewing = group.create_task(self._renew(batch.id))
                batch = await self._serve(batch, now + timedelta(seconds=TURN_S))
                renewing.cancel()
            await self._queue.release(batch, self._name)
        except* LeaseLost:
            log.warning("another worker has taken %s over", batch.id)
        except* StoreUnavailable:
            log.warning("the database does not answer; %s goes on later", batch.id)
            await self._sleep(STORE_WAIT_S)
        except* NotFound:
            log.info("%s no longer exists, or its file or its tenant does not", batch.id)
        return True

    async def _serve(self, batch: Batch, turn_ends: datetime) -> Batch:
        if batch.status == VALIDATING:
            batch = await self._validate(batch)
        if batch.status == IN_PROGRESS:
            batch = await self._answer(batch, turn_ends)
        if batch.status in (FINALIZING, CANCELLING):
            batch = await self._finalize(batch)
        return batch

    async def _validate(self, batch: Batch) -> Batch:
        total, errors = await validate_lines(self._lines(batch), self._max_batch_lines)
        if errors:
            return replace(batch, errors=tuple(errors)).reach(FAILED, self._clock.now())
        log.info("%s has %d lines", batch.id, total)
        return await self._record(replace(batch, total=total).reach(IN_PROGRESS, self._clock.now()), ())

    async def _answer(self, batch: Batch, turn_ends: datetime) -> Batch:
        """Answer lines without a result, until the turn ends, the batch expires or the tenant cancels it."""
        finished_lines = await self._queue.finished_lines(batch.id)
        turn = Turn(
            batch,
            self._gateway,
            self._clock,
            turn_ends,
            lines_at_once=self._lines_at_once,
            sleep=self._sleep,
            warn=self._warn,
        )
        async for group in _groups(self._lines(batch), finished_lines):
            if self._clock.now() >= batch.expires_at:
                break
            results = await turn.answer(group)
            failed = sum(result.failed for result in results)
            batch = replace(batch, completed=batch.completed + len(results) - failed, failed=batch.failed + failed)
            batch = await self._record(batch, results)
            if batch.status == CANCELLING:
                return batch
            if turn.resume_at is not None:
                self._resume_at[batch.id] = turn.resume_at
                return batch
            if turn_ends <= self._clock.now() < batch.expires_at:
                return batch
        return await self._record(batch.reach(FINALIZING, self._clock.now()), ())

    async def _finalize(self, batch: Batch) -> Batch:
        """Write the results to files; a worker that takes over writes the same files again."""
        for failed, kind in ((False, "output"), (True, "error")):
            if (batch.failed if failed else batch.completed) == 0:
                continue
            name = f"{batch.id}_{kind}.jsonl"
            file = new_file(batch.tenant_id, name, OUTPUT_PURPOSE, self._clock.now())
            file = replace(file, id=f"file-{kind}-{batch.id.removeprefix('batch_')}")
            if await self._files.get(batch.tenant_id, file.id) is None:
                await self._files.add(file, _content(self._queue.results(batch.id, failed=failed)))
            batch = replace(batch, error_file_id=file.id) if failed else replace(batch, output_file_id=file.id)
        now = self._clock.now()
        if batch.status == CANCELLING:
            return batch.reach(CANCELLED, now)
        finished = batch.completed + batch.failed == batch.total
        return batch.reach(COMPLETED if finished else EXPIRED, now)

    async def _record(self, batch: Batch, results: Sequence[LineResult]) -> Batch:
        status = await self._queue.record(batch, self._name, results, self._lease_end())
        return batch if status == batch.status else batch.reach(status, self._clock.now())

    async def _renew(self, batch_id: str) -> None:
        """A group may take longer than the lease."""
        while True:
            await self._sleep(LEASE_S / 3)
            await self._queue.renew(batch_id, self._name, self._lease_end())

    def _lease_end(self) -> datetime:
        return self._clock.now() + timedelta(seconds=LEASE_S)

    async def _lines(self, batch: Batch) -> AsyncIterator[tuple[int, bytes]]:
        if await self._files.get(batch.tenant_id, batch.input_file_id) is None:
            raise NotFound("no such file")
        async for line in split_lines(content_of(self._files, batch.input_file_id)):
            yield line

    def _warn(self, message: str) -> None:
        """Log it, the same message once a minute."""
        now = self._clock.now()
        warned_at = self._warned_at.get(message)
        if warned_at is None or (now - warned_at).total_seconds() >= WARN_INTERVAL_S:
            self._warned_at[message] = now
            log.warning("batches wait: %s", message)


async def _groups(
    lines: AsyncIterator[tuple[int, bytes]], finished_lines: set[int]
) -> AsyncIterator[list[tuple[int, bytes]]]:
    group: list[tuple[int, bytes]] = []
    async for number, line in lines:
        if number in finished_lines:
            continue
        group.append((number, line))
        if len(group) == GROUP_LINES:
            yield group
            group = []
    if group:
        yield group


async def _content(results: AsyncIterator[LineResult]) -> AsyncIterator[bytes]:
    async for result in results:
        yield result.content.encode() + b"\n"
