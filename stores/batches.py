"""Batches: the records, and the ports of what keeps them, for their tenants and for workers."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Protocol, runtime_checkable

from stores.files import File
from stores.paging import Page, PageRequest

VALIDATING, IN_PROGRESS, FINALIZING, COMPLETED = "validating", "in_progress", "finalizing", "completed"
FAILED, EXPIRED, CANCELLING, CANCELLED = "failed", "expired", "cancelling", "cancelled"
UNFINISHED = (VALIDATING, IN_PROGRESS, FINALIZING, CANCELLING)
"""States in which a worker has something to do."""


@dataclass(frozen=True, slots=True)
class LineError:
    """Why a file cannot be a batch."""

    code: str
    message: str
    line: int | None
    """Counted from 1; None: the file as a whole."""


@dataclass(frozen=True, slots=True)
class Batch:
    id: str
    tenant_id: str
    input_file_id: str
    status: str
    created_at: datetime
    expires_at: datetime
    metadata: Mapping[str, str] = field(default_factory=dict)
    reached_at: Mapping[str, datetime] = field(default_factory=dict)
    """When each state was reached, by its name; states that were not reached are absent."""
    total: int = 0
    completed: int = 0
    failed: int = 0
    output_bytes: int = 0
    """Of the results so far."""
    output_file_id: str | None = None
    error_file_id: str | None = None
    errors: Sequence[LineError] = ()
    output_expires_after_s: int | None = None
    """After their creation, its files cease to exist; None: only the retention ends them."""
    key_id: str = ""
    """The key that created it, whose budget pays for it; empty: none was needed."""

    def reach(self, status: str, now: datetime) -> Batch:
        return replace(self, status=status, reached_at={**self.reached_at, status: now})


@dataclass(frozen=True, slots=True)
class LineResult:
    """The result of a line, as it will stand in the output file or the error file."""

    line: int
    """Counted from 0."""
    failed: bool
    content: str

    @property
    def bytes(self) -> int:
        """In a file, with the end of the line."""
        return len(self.content.encode()) + 1


@dataclass(frozen=True, slots=True)
class BatchBounds:
    """What one tenant may have."""

    max_unfinished: int
    max_batches: int
    """With the finished ones."""


@dataclass(frozen=True, slots=True)
class Backlog:
    """Unfinished batches of all active tenants."""

    batches: int
    lines: int
    """Without a result, of batches whose lines have been counted."""
    oldest_at: datetime | None
    """When the oldest of them was created; None: there is none."""


class BatchStore(Protocol):
    """Batches as their tenants see them, and how many there are to do."""

    async def add(self, batch: Batch, idempotency_key: str | None, digest: str, bounds: BatchBounds) -> Batch:
        """Keep it; or what was kept under this idempotency key before, if its request had the same digest.

        `InvalidRequest` when that was another request, `NotFound` when the tenant does not exist, `Conflict` when
        it has as many as it may.
        """
        ...

    async def get(self, tenant_id: str, batch_id: str) -> Batch | None: ...

    async def page(self, tenant_id: str, request: PageRequest) -> Page[Batch]:
        """Newest first; after a batch's id."""
        ...

    async def cancel(self, tenant_id: str, batch_id: str, now: datetime) -> None:
        """`Conflict` when it is finished."""
        ...

    async def backlog(self) -> Backlog: ...


@dataclass(frozen=True, slots=True)
class Excluded:
    """What a worker does not want to claim."""

    batch_ids: Collection[str] = ()
    tenant_ids: Collection[str] = ()


NOTHING_EXCLUDED = Excluded()


@dataclass(frozen=True, slots=True)
class BatchState:
    """What a worker learns of the batch that it has, while it renews its lease."""

    status: str
    tenant_is_active: bool
    others_wait: bool
    """Whether there is another batch that the worker could claim."""


@runtime_checkable
class BatchQueue(Protocol):
    """Batches as workers see them. One owner at a time: its lease is renewed with everything that it writes,
    and an owner that has lost the lease writes nothing (`LeaseLost`).
    """

    async def claim(
        self, owner: str, now: datetime, until: datetime, excluded: Excluded = NOTHING_EXCLUDED
    ) -> Batch | None:
        """A batch without an owner, of the active tenant that was served longest ago.

        Of that tenant's batches it is the one that was served longest ago.
        """
        ...

    async def finished_lines(self, batch_id: str) -> set[int]:
        """Lines that have a result."""
        ...

    async def record(
        self, batch: Batch, owner: str, results: Sequence[LineResult], until: datetime, max_tenant_bytes: int
    ) -> str:
        """Keep results and counts, all or nothing; the status now, which may have become `cancelling`.

        `StorageFull` when the tenant's files and results would have more than `max_tenant_bytes`, `InvalidRequest`
        when the database cannot keep a result.
        """
        ...

    async def renew(
        self, batch_id: str, owner: str, now: datetime, until: datetime, excluded: Excluded = NOTHING_EXCLUDED
    ) -> BatchState: ...

    async def write_output(self, batch: Batch, owner: str, file: File, *, failed: bool) -> None:
        """Write the results to `file`, in the order of lines; what another owner had written of it is replaced.

        The file is complete once the batch is released as finished.
        """
        ...

    async def release(self, batch: Batch, owner: str) -> None:
        """Give up the lease; a finished batch's files are complete, and its results are dropped."""
        ...


class LeaseLost(Exception):
    """Another worker has the batch."""


class StorageFull(Exception):
    """The tenant has no room for more results."""
