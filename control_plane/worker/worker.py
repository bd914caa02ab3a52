"""Answers batches line by line. Whatever ends it, another worker goes on where the last results were kept."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import aclosing
from dataclasses import replace
from datetime import datetime, timedelta

from cachetools import LRUCache

from control_plane.files import content_of, expiry_of, new_file
from control_plane.worker.gateway_client import Gateway
from control_plane.worker.health import WorkerMetrics
from control_plane.worker.lines import LineChecker, split_lines
from control_plane.worker.recorder import Recorder
from control_plane.worker.slots import LineShare, LineSlots
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
    Excluded,
    LeaseLost,
    LineError,
    LineResult,
)
from stores.clock import Clock
from stores.errors import NotFound, StoreUnavailable
from stores.files import OUTPUT_PURPOSE, FileStore

LEASE_S, HEARTBEAT_S = 15.0, 2.0
"""How long after a worker's death another one takes its batch over, and how often it says that it lives."""
IDLE_S = 1.0
STORE_WAIT_S = 1.0
UNEXPECTED_WAIT_S = 60.0
"""How long a batch waits after an error that nobody foresaw, while others have their turns."""
GROUP_LINES, GROUP_BYTES = 64, 4_000_000
"""Lines that are asked for together: as many are asked for again after a crash, at most."""
WARN_INTERVAL_S = 60.0
MAX_UNFINISHED = 10_000
"""Lines whose attempts are counted; the longest unused are dropped, for their batch may have ended elsewhere."""

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
        max_batch_output_bytes: int,
        max_tenant_file_bytes: int,
        lines_at_once: int,
        metrics: WorkerMetrics,
        sleep: Sleep = asyncio.sleep,
    ) -> None:
        self._name = name
        self._queue = queue
        self._files = files
        self._gateway = gateway
        self._clock = clock
        self._max_batch_lines = max_batch_lines
        self._recorder = Recorder(
            name,
            queue,
            clock,
            lease_s=LEASE_S,
            max_batch_output_bytes=max_batch_output_bytes,
            max_tenant_file_bytes=max_tenant_file_bytes,
            count_lines=metrics.count_lines,
        )
        self._metrics = metrics
        self._slots = LineSlots(lines_at_once)
        self._sleep = sleep
        self._claiming = asyncio.Lock()
        self._tenants: list[str] = []
        """Whose batches have a turn: each tenant has one at a time, so that it leaves others theirs."""
        self._resume_at: dict[str, datetime] = {}
        """Batches that are not claimed again before then."""
        self._unfinished: LRUCache[str, int] = LRUCache(MAX_UNFINISHED)
        self._warned_at: dict[str, datetime] = {}

    async def keep_serving(self) -> None:
        """Serve batches, some at a time, until cancelled."""
        async with asyncio.TaskGroup() as group:
            for _ in range(self._slots.turns):
                group.create_task(self._keep_serving())

    async def _keep_serving(self) -> None:
        while True:
            try:
                served = await self.serve_one()
            except StoreUnavailable:
                served = False
            except Exception:
                log.exception("a batch could not be claimed")
                served = False
            if not served:
                await self._sleep(IDLE_S)

    async def serve_one(self) -> bool:
        """Give a turn to a batch of the tenant that waited longest; whether there was one."""
        async with self._claiming:
            now = self._clock.now()
            self._resume_at = {batch_id: at for batch_id, at in self._resume_at.items() if at > now}
            batch = await self._queue.claim(self._name, now, self._lease_end(), self._excluded())
            if batch is None:
                return False
            self._tenants.append(batch.tenant_id)
        self._metrics.count_turn()
        try:
            with self._metrics.loop_lag:
                await self._serve_turn(batch)
        finally:
            self._tenants.remove(batch.tenant_id)
        return True

    async def _serve_turn(self, batch: Batch) -> None:
        try:
            with self._slots.share() as share:
                turn = self._new_turn(batch, share)
                async with asyncio.TaskGroup() as group:
                    heartbeat = group.create_task(self._heartbeat(batch, turn))
                    batch = await self._serve(batch, turn)
                    heartbeat.cancel()
            await self._queue.release(batch, self._name)
            if turn.resume_at is not None:
                self._resume_at[batch.id] = turn.resume_at
        except* LeaseLost:
            log.warning("another worker has taken %s over, or it was deleted", batch.id)
        except* StoreUnavailable as errors:
            log.warning("%s; %s goes on later", errors.exceptions[0], batch.id)
            await self._sleep(STORE_WAIT_S)
        except* NotFound:
            log.info("%s no longer exists, or its tenant does not", batch.id)
        except* Exception:
            log.exception("%s has an unexpected error; it goes on later", batch.id)
            self._resume_at[batch.id] = self._clock.now() + timedelta(seconds=UNEXPECTED_WAIT_S)

    async def _serve(self, batch: Batch, turn: Turn) -> Batch:
        if batch.status in (VALIDATING, IN_PROGRESS):
            if await self._files.get(batch.tenant_id, batch.input_file_id) is None:
                return self._fail(batch, "not_found", "the input file does not exist")
            finished_lines = await self._queue.finished_lines(batch.id)
            if batch.status == VALIDATING:
                batch = await self._validate(batch, finished_lines)
            if batch.status == IN_PROGRESS:
                batch = await self._answer(batch, turn, finished_lines)
        if batch.status in (FINALIZING, CANCELLING):
            batch = await self._finalize(batch)
        return batch

    async def _validate(self, batch: Batch, finished_lines: set[int]) -> Batch:
        """Count the lines; those that cannot be asked for have their errors, and are finished."""
        checker, errors = LineChecker(batch.id), list[LineResult]()
        async for number, line in self._lines(batch):
            error = checker.check(number, line)
            if checker.total > self._max_batch_lines:
                return self._fail(batch, "too_many_lines", f"a batch has at most {self._max_batch_lines} lines")
            if error is not None and number not in finished_lines:
                errors.append(error)
                finished_lines.add(number)
            if len(errors) == GROUP_LINES:
                batch, errors = await self._recorder.keep(batch, errors), []
                if batch.status != VALIDATING:
                    return batch
        if checker.total == 0:
            return self._fail(batch, "empty_file", "the file has no lines")
        log.info("%s has %d lines", batch.id, checker.total)
        batch = await self._recorder.keep(replace(batch, total=checker.total), errors)
        if batch.status != VALIDATING:
            return batch
        return await self._recorder.record(batch.reach(IN_PROGRESS, self._clock.now()))

    async def _answer(self, batch: Batch, turn: Turn, finished_lines: set[int]) -> Batch:
        """Answer lines without a result, until the turn ends, the batch expires or the tenant cancels it."""
        async for group in _groups(self._lines(batch), finished_lines):
            if self._clock.now() >= batch.expires_at:
                break
            async with aclosing(turn.answer(group)) as answered:
                async for results in answered:
                    batch = await self._recorder.keep(batch, results)
                    if batch.status not in {IN_PROGRESS, CANCELLING}:
                        return batch
            if batch.status != IN_PROGRESS or (turn.is_over and self._clock.now() < batch.expires_at):
                return batch
        return await self._recorder.record(batch.reach(FINALIZING, self._clock.now()))

    async def _finalize(self, batch: Batch) -> Batch:
        """Write the results to files; a worker that takes over writes the same files again."""
        for failed, kind in ((False, "output"), (True, "error")):
            if (batch.failed if failed else batch.completed) == 0:
                continue
            name = f"{batch.id}_{kind}.jsonl"
            file = new_file(batch.tenant_id, name, OUTPUT_PURPOSE, self._clock.now())
            expires_at = expiry_of(file, batch.output_expires_after_s)
            file = replace(file, id=f"file-{kind}-{batch.id.removeprefix('batch_')}", expires_at=expires_at)
            await self._queue.write_output(batch, self._name, file, failed=failed)
            batch = replace(batch, error_file_id=file.id) if failed else replace(batch, output_file_id=file.id)
        now = self._clock.now()
        if batch.status == CANCELLING:
            return batch.reach(CANCELLED, now)
        if batch.errors:
            return batch.reach(FAILED, now)
        finished = batch.completed + batch.failed == batch.total
        return batch.reach(COMPLETED if finished else EXPIRED, now)

    async def _heartbeat(self, batch: Batch, turn: Turn) -> None:
        """Renew the lease, and end the turn when that is due."""
        while True:
            await self._sleep(HEARTBEAT_S)
            state = await self._queue.renew(
                batch.id, self._name, self._clock.now(), self._lease_end(), self._excluded()
            )
            if not state.tenant_is_active:
                turn.abandon()
            elif state.status == CANCELLING or (state.others_wait and len(self._tenants) == self._slots.turns):
                turn.stop()

    def _new_turn(self, batch: Batch, share: LineShare) -> Turn:
        return Turn(batch, self._gateway, self._clock, share, self._unfinished, sleep=self._sleep, warn=self._warn)

    def _fail(self, batch: Batch, code: str, message: str) -> Batch:
        """Of a batch whose lines were never asked for; it has no files."""
        failed = replace(batch, failed=0, output_bytes=0, errors=(LineError(code, message, None),))
        return failed.reach(FAILED, self._clock.now())

    def _excluded(self) -> Excluded:
        return Excluded(list(self._resume_at), list(self._tenants))

    def _lease_end(self) -> datetime:
        return self._clock.now() + timedelta(seconds=LEASE_S)

    def _lines(self, batch: Batch) -> AsyncIterator[tuple[int, bytes]]:
        return split_lines(content_of(self._files, batch.input_file_id))

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
    group, size = list[tuple[int, bytes]](), 0
    async for number, line in lines:
        if number in finished_lines:
            continue
        group.append((number, line))
        size += len(line)
        if len(group) == GROUP_LINES or size >= GROUP_BYTES:
            yield group
            group, size = [], 0
    if group:
        yield group
