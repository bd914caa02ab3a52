"""Batches: the records, and the ports of what keeps them, for their tenants and for workers."""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Protocol, runtime_checkable

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
    output_file_id: str | None = None
    error_file_id: str | None = None
    errors: Sequence[LineError] = ()

    def reach(self, status: str, now: datetime) -> Batch:
        return replace(self, status=status, reached_at={**self.reached_at, status: now})


@dataclass(frozen=True, slots=True)
class LineResult:
    """The result of a line, as it will stand in the output file or the error file."""

    line: int
    """Counted from 0."""
    failed: bool
    content: str


class BatchStore(Protocol):
    """Batches as their tenants see them."""

    async def add(self, batch: Batch, idempotency_key: str | None, digest: str) -> Batch:
        """Keep it; or what was kept under this idempotency key before, if its request had the same digest.

        `InvalidRequest` when that was another request, `NotFound` when the tenant does not exist.
        """
        ...

    async def get(self, tenant_id: str, batch_id: str) -> Batch | None: ...

    async def all(self, tenant_id: str) -> Sequence[Batch]:
        """Newest first."""
        ...

    async def cancel(self, tenant_id: str, batch_id: str, now: datetime) -> None:
        """`Conflict` when it is finished."""
        ...


@runtime_checkable
class BatchQueue(Protocol):
    """Batches as workers see them. One owner at a time: its lease is renewed with everything that it writes,
    and an owner that has lost the lease writes nothing (`LeaseLost`).
    """

    async def claim(
        self, owner: str, now: datetime, until: datetime, *, excluding: Collection[str] = ()
    ) -> Batch | None:
        """Of the batches of active tenants without an owner, the one that was served longest ago.

        Batches whose ids are in `excluding` are left out.
        """
        ...

    async def finished_lines(self, batch_id: str) -> set[int]:
        """Lines that have a result."""
        ...

    async def record(self, batch: Batch, owner: str, results: Sequence[LineResult], until: datetime) -> str:
        """Keep results and counts, all or nothing; the status now, which may have become `cancelling`."""
        ...

    async def renew(self, batch_id: str, owner: str, until: datetime) -> None: ...

    def results(self, batch_id: str, *, failed: bool) -> AsyncIterator[LineResult]:
        """In the order of lines."""
        ...

    async def release(self, batch: Batch, owner: str) -> None:
        """Give up the lease; a finished batch's results are dropped, for they are in its files."""
        ...


class LeaseLost(Exception):
    """Another worker has the batch."""
