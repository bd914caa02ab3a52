"""Answers batches line by line. Whatever ends it, another run goes on where the last results were kept."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from gateway.answering import Answering
from gateway.batches import (
    CANCELLED,
    CANCELLING,
    COMPLETED,
    EXPIRED,
    FAILED,
    FINALIZING,
    IN_PROGRESS,
    VALIDATING,
    Batch,
    BatchWork,
    LeaseLost,
    LineResult,
)
from gateway.clock import Clock
from gateway.errors import (
    DeadlineExceeded,
    GatewayError,
    NotFound,
    Overloaded,
    StoreUnavailable,
    TritonFailed,
    TritonUnavailable,
)
from gateway.facts import Facts
from gateway.files import BATCH_OUTPUT, Files, FileStore, new_file
from gateway.identity import Identity
from gateway.schema import BatchLine, ClassifyBody, decode
from gateway.settings import Settings
from gateway.tenants import CLASSIFY
from gateway.worker.lines import answered, check_lines, lines_of, read_line, refused

LEASE_S = 15.0
"""After a worker's death another waits so long before it takes the batch over."""
IDLE_S = 1.0
GROUP_LINES = 64
"""Lines whose results are kept together: what is answered again after a crash, at most."""
TURN_S = 10.0
"""Then another batch has its turn, if one waits."""
PATIENT = (TritonUnavailable, Overloaded, DeadlineExceeded, StoreUnavailable)
"""A line that meets one of these is tried again, until the batch expires."""
PAUSE_S = 1.0
ATTEMPTS = 3
"""Of a line for which Triton has an error each time."""

Sleep = Callable[[float], Awaitable[None]]
log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Worker:
    """One of any number of workers on a database; `name` is its own."""

    name: str
    work: BatchWork
    store: FileStore
    answering: Answering
    clock: Clock
    limits: Settings
    sleep: Sleep = asyncio.sleep

    async def keep(self) -> None:
        """Serve batches until cancelled."""
        while True:
            try:
                served = await self.serve_one()
            except StoreUnavailable:
                served = False
            if not served:
                await self.sleep(IDLE_S)

    async def serve_one(self) -> bool:
        """Give the batch that waited longest its turn; whether there was one."""
        now = self.clock.now()
        batch = await self.work.claim(self.name, now, self._until())
        if batch is None:
            return False
        try:
            async with asyncio.TaskGroup() as group:
                renewing = group.create_task(self._renew(batch))
                batch = await self._serve(batch, now + timedelta(seconds=TURN_S))
                renewing.cancel()
            await self.work.finish(batch, self.name)
        except* LeaseLost:
            log.warning("another worker has taken %s over", batch.id)
        except* StoreUnavailable:
            log.warning("the database does not answer; %s goes on later", batch.id)
            await self.sleep(PAUSE_S)
        except* NotFound:
            log.info("%s is gone, with its tenant or its file", batch.id)
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
        total, errors = await check_lines(self._lines(batch), self.limits.max_batch_lines)
        if errors:
            return replace(batch, errors=tuple(errors)).reach(FAILED, self.clock.now())
        log.info("%s has %d lines", batch.id, total)
        return await self._record(replace(batch, total=total).reach(IN_PROGRESS, self.clock.now()), ())

    async def _answer(self, batch: Batch, turn_ends: datetime) -> Batch:
        """Answer what has no result yet, until the turn ends or the tenant cancels."""
        known = await self.work.known_lines(batch.id)
        at_once = asyncio.Semaphore(self.limits.bulk_lines_at_once)
        async for group in _groups(self._lines(batch), known):
            async with asyncio.TaskGroup() as tasks:
                running = [tasks.create_task(self._line(batch, number, line, at_once)) for number, line in group]
            results = [task.result() for task in running]
            failed = sum(result.failed for result in results)
            batch = replace(batch, completed=batch.completed + len(results) - failed, failed=batch.failed + failed)
            batch = await self._record(batch, results)
            now = self.clock.now()
            if batch.status == CANCELLING or now >= batch.expires_at:
                break
            if now >= turn_ends:
                return batch
        if batch.status == CANCELLING:
            return batch
        return await self._record(batch.reach(FINALIZING, self.clock.now()), ())

    async def _line(self, batch: Batch, number: int, line: bytes, at_once: asyncio.Semaphore) -> LineResult:
        read = read_line(line)
        request_id = f"{batch.id}_{number}"
        failures = 0
        async with at_once:
            while True:
                try:
                    return await self._try(batch, number, read, request_id)
                except PATIENT as error:
                    if self.clock.now() >= batch.expires_at:
                        return refused(batch.id, number, read, request_id, error)
                except TritonFailed as error:
                    failures += 1
                    if failures == ATTEMPTS:
                        return refused(batch.id, number, read, request_id, error)
                except GatewayError as error:
                    return refused(batch.id, number, read, request_id, error)
                await self.sleep(PAUSE_S)

    async def _try(self, batch: Batch, number: int, read: BatchLine, request_id: str) -> LineResult:
        caller = Identity(batch.tenant_id, (CLASSIFY,))
        body = decode(ClassifyBody, read.body)
        answer = await self.answering.answer(body, caller, Facts(request_id))
        return answered(batch.id, number, read, request_id, answer)

    async def _finalize(self, batch: Batch) -> Batch:
        """The results as files; a run that was killed in here writes the same files again."""
        for failed, kind in ((False, "output"), (True, "error")):
            if batch.failed == 0 if failed else batch.completed == 0:
                continue
            name = f"{batch.id}_{kind}.jsonl"
            file = new_file(batch.tenant_id, name, BATCH_OUTPUT, self.clock.now())
            file = replace(file, id=f"file-{kind}-{batch.id.removeprefix('batch_')}")
            if await self.store.get(batch.tenant_id, file.id) is None:
                await self.store.add(file, _lines(self.work.results(batch.id, failed=failed)))
            batch = replace(batch, error_file_id=file.id) if failed else replace(batch, output_file_id=file.id)
        now = self.clock.now()
        if batch.status == CANCELLING:
            return batch.reach(CANCELLED, now)
        done = batch.completed + batch.failed == batch.total
        return batch.reach(COMPLETED if done else EXPIRED, now)

    async def _record(self, batch: Batch, results: Sequence[LineResult]) -> Batch:
        status = await self.work.record(batch, self.name, results, self._until())
        return batch if status == batch.status else batch.reach(status, self.clock.now())

    async def _renew(self, batch: Batch) -> None:
        """A group may take longer than the lease."""
        while True:
            await self.sleep(LEASE_S / 3)
            await self.work.renew(batch.id, self.name, self._until())

    def _until(self) -> datetime:
        return self.clock.now() + timedelta(seconds=LEASE_S)

    def _lines(self, batch: Batch) -> AsyncIterator[tuple[int, bytes]]:
        return lines_of(self._content(batch))

    async def _content(self, batch: Batch) -> AsyncIterator[bytes]:
        files = Files(self.store, self.clock, self.limits)
        async for piece in files.content(await files.get(batch.tenant_id, batch.input_file_id)):
            yield piece


async def _groups(
    lines: AsyncIterator[tuple[int, bytes]], known: set[int]
) -> AsyncIterator[list[tuple[int, bytes]]]:
    group: list[tuple[int, bytes]] = []
    async for number, line in lines:
        if number in known:
            continue
        group.append((number, line))
        if len(group) == GROUP_LINES:
            yield group
            group = []
    if group:
        yield group


async def _lines(results: AsyncIterator[LineResult]) -> AsyncIterator[bytes]:
    async for result in results:
        yield result.content.encode() + b"\n"
