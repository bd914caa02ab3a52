"""Batches: many lines of questions, answered in their own time. Knows no HTTP, no database, and answers none."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Protocol, runtime_checkable

from gateway.clock import Clock
from gateway.errors import Conflict, InvalidRequest, NotFound
from gateway.files import BATCH, FileStore

VALIDATING, IN_PROGRESS, FINALIZING, COMPLETED = "validating", "in_progress", "finalizing", "completed"
FAILED, EXPIRED, CANCELLING, CANCELLED = "failed", "expired", "cancelling", "cancelled"
ACTIVE = (VALIDATING, IN_PROGRESS, FINALIZING, CANCELLING)
"""States in which a worker has something to do."""
ENDPOINT = "/v1/classify"
WINDOW, WINDOW_S = "24h", 86_400
MAX_ACTIVE = 100
"""Batches of one tenant that wait or run."""
MAX_METADATA, MAX_METADATA_CHARACTERS = 16, 512
MAX_KEY_CHARACTERS = 200


@dataclass(frozen=True, slots=True)
class LineError:
    """Why a file cannot be a batch."""

    code: str
    message: str
    line: int | None


@dataclass(frozen=True, slots=True)
class Batch:
    """Times are absent until the state that they name was reached."""

    id: str
    tenant_id: str
    input_file_id: str
    status: str
    created_at: datetime
    expires_at: datetime
    metadata: Mapping[str, str] = field(default_factory=dict)
    times: Mapping[str, datetime] = field(default_factory=dict)
    """When a state was reached, by its name."""
    total: int = 0
    completed: int = 0
    failed: int = 0
    output_file_id: str | None = None
    error_file_id: str | None = None
    errors: Sequence[LineError] = ()

    def reach(self, status: str, now: datetime) -> Batch:
        return replace(self, status=status, times={**self.times, status: now})


@dataclass(frozen=True, slots=True)
class LineResult:
    """What became of a line, as it will stand in the output file or the error file."""

    line: int
    """Counted from 0."""
    failed: bool
    content: str


class BatchStore(Protocol):
    """Batches as their tenants see them."""

    async def add(self, batch: Batch, key: str | None, digest: str) -> Batch:
        """Keep it; what was kept under this idempotency key before, if that was the same request.

        `InvalidRequest` when it was another, `NotFound` when the tenant is gone.
        """
        ...

    async def get(self, tenant_id: str, batch_id: str) -> Batch | None: ...

    async def all(self, tenant_id: str) -> Sequence[Batch]:
        """Newest first."""
        ...

    async def cancel(self, tenant_id: str, batch_id: str, now: datetime) -> None:
        """`Conflict` when it is done."""
        ...


@runtime_checkable
class BatchWork(Protocol):
    """Batches as workers see them. One owner at a time: its lease is renewed with everything that it writes,
    and who has lost the lease writes nothing (`LeaseLost`).
    """

    async def claim(self, owner: str, now: datetime, until: datetime) -> Batch | None:
        """The batch of an active tenant that was served longest ago, of those without an owner."""
        ...

    async def known_lines(self, batch_id: str) -> set[int]:
        """Lines that have a result."""
        ...

    async def record(self, batch: Batch, owner: str, results: Sequence[LineResult], until: datetime) -> str:
        """Keep results and counts, all or nothing; the status now, which may have become `cancelling`."""
        ...

    async def renew(self, batch_id: str, owner: str, until: datetime) -> None: ...

    def results(self, batch_id: str, *, failed: bool) -> AsyncIterator[LineResult]:
        """In the order of lines."""
        ...

    async def finish(self, batch: Batch, owner: str) -> None:
        """Give up the lease; of a batch that is done the results are dropped, for they are in its files."""
        ...


class LeaseLost(Exception):
    """Another worker has the batch."""


class Batches:
    """What a tenant may do with its batches; another tenant's do not exist."""

    def __init__(self, batches: BatchStore, files: FileStore, clock: Clock) -> None:
        self._batches = batches
        self._files = files
        self._clock = clock

    async def create(
        self, tenant_id: str, input_file_id: str, endpoint: str, window: str, metadata: Mapping[str, str], key: str
    ) -> Batch:
        """A batch over a file of the tenant's. The same `key` again (unless `""`): the same batch again."""
        if endpoint != ENDPOINT:
            raise InvalidRequest(f"{ENDPOINT} is possible", field="endpoint")
        if window != WINDOW:
            raise InvalidRequest(f"{WINDOW} is possible", field="completion_window")
        sizes = [len(text) for item in metadata.items() for text in item]
        if len(metadata) > MAX_METADATA or max(sizes, default=0) > MAX_METADATA_CHARACTERS:
            raise InvalidRequest(
                f"at most {MAX_METADATA} entries of {MAX_METADATA_CHARACTERS} characters are possible",
                field="metadata",
            )
        if len(key) > MAX_KEY_CHARACTERS or not key.isprintable():
            raise InvalidRequest(
                f"at most {MAX_KEY_CHARACTERS} printable characters are possible", field="Idempotency-Key"
            )
        file = await self._files.get(tenant_id, input_file_id)
        if file is None or file.purpose != BATCH:
            raise InvalidRequest("there is no such file to read lines from", field="input_file_id")
        if sum(batch.status in ACTIVE for batch in await self._batches.all(tenant_id)) >= MAX_ACTIVE:
            raise Conflict(f"{MAX_ACTIVE} batches of the tenant wait or run; wait for one")
        now = self._clock.now()
        batch = Batch(
            f"batch_{secrets.token_hex(12)}",
            tenant_id,
            input_file_id,
            VALIDATING,
            now,
            now + timedelta(seconds=WINDOW_S),
            dict(metadata),
        )
        asked = repr((input_file_id, endpoint, window, sorted(metadata.items())))
        return await self._batches.add(batch, key or None, hashlib.sha256(asked.encode()).hexdigest())

    async def get(self, tenant_id: str, batch_id: str) -> Batch:
        batch = await self._batches.get(tenant_id, batch_id)
        if batch is None:
            raise NotFound("there is no such batch")
        return batch

    async def all(self, tenant_id: str) -> Sequence[Batch]:
        return await self._batches.all(tenant_id)

    async def cancel(self, tenant_id: str, batch_id: str) -> Batch:
        """What has been answered by then is in the output file."""
        await self.get(tenant_id, batch_id)
        await self._batches.cancel(tenant_id, batch_id, self._clock.now())
        return await self.get(tenant_id, batch_id)
