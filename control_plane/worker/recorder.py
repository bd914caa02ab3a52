"""Keeps the results of a batch, within what the batch and its tenant may have."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import timedelta

from control_plane.worker.lines import BadLine, error_of
from stores.batches import CANCELLING, FINALIZING, Batch, BatchQueue, LineError, LineResult, StorageFull
from stores.clock import Clock
from stores.errors import InvalidRequest

log = logging.getLogger(__name__)


class Recorder:
    """Of the worker `name`, whose lease is renewed for `lease_s` with everything that it keeps."""

    def __init__(
        self,
        name: str,
        queue: BatchQueue,
        clock: Clock,
        *,
        lease_s: float,
        max_batch_output_bytes: int,
        max_tenant_file_bytes: int,
        count_lines: Callable[[Sequence[LineResult]], None],
    ) -> None:
        self._count_lines = count_lines
        self._name = name
        self._queue = queue
        self._clock = clock
        self._lease_s = lease_s
        self._max_batch_output_bytes = max_batch_output_bytes
        self._max_tenant_file_bytes = max_tenant_file_bytes

    async def keep(self, batch: Batch, results: Sequence[LineResult]) -> Batch:
        """Keep results; the batch is `finalizing` afterwards when there is no room for all of them."""
        fitting = list(results)
        while fitting and batch.output_bytes + _bytes(fitting) > self._max_batch_output_bytes:
            fitting.pop()
        try:
            batch = await self._store(batch, fitting)
            if len(fitting) == len(results):
                return batch
            code, reason = "output_too_large", f"the results have more than {self._max_batch_output_bytes} bytes"
        except StorageFull:
            code, reason = "storage_full", f"the tenant's files have more than {self._max_tenant_file_bytes} bytes"
        if batch.status == CANCELLING:
            return batch
        batch = replace(batch, errors=(LineError(code, reason, None),))
        return await self.record(batch.reach(FINALIZING, self._clock.now()))

    async def record(self, batch: Batch, results: Sequence[LineResult] = ()) -> Batch:
        """The batch as it is now, with the results and their counts; its tenant may have cancelled it."""
        failed = sum(result.failed for result in results)
        batch = replace(
            batch,
            completed=batch.completed + len(results) - failed,
            failed=batch.failed + failed,
            output_bytes=batch.output_bytes + _bytes(results),
        )
        until = self._clock.now() + timedelta(seconds=self._lease_s)
        status = await self._queue.record(batch, self._name, results, until, self._max_tenant_file_bytes)
        self._count_lines(results)
        return batch if status == batch.status else batch.reach(status, self._clock.now())

    async def _store(self, batch: Batch, results: Sequence[LineResult]) -> Batch:
        """Where the database cannot keep a result, the line has an error in its place."""
        try:
            return await self.record(batch, results)
        except InvalidRequest as error:
            if len(results) > 1:
                for result in results:
                    batch = await self._store(batch, [result])
                return batch
            (result,) = results
            log.warning("%s: the result of line %d cannot be kept: %s", batch.id, result.line + 1, error)
            message = "the result of this line cannot be kept"
            return await self.record(batch, [error_of(batch.id, result.line, BadLine(error.code, message))])


def _bytes(results: Sequence[LineResult]) -> int:
    return sum(result.bytes for result in results)
