"""A tenant's files: the record, and the port of what keeps them, in chunks."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from stores.paging import Page, PageRequest

CHUNK_BYTES = 1 << 20
BATCH_PURPOSE, OUTPUT_PURPOSE = "batch", "batch_output"


@dataclass(frozen=True, slots=True)
class File:
    id: str
    tenant_id: str
    name: str
    purpose: str
    """`batch` for what a tenant uploaded, `batch_output` for a batch's results."""
    bytes: int
    created_at: datetime
    expires_at: datetime | None = None
    """When it ceases to exist, but for an unfinished batch that needs it; None: only the retention ends it."""

    def has_expired(self, now: datetime) -> bool:
        return self.expires_at is not None and self.expires_at <= now


Expiry = Callable[[], datetime | None]
"""When an upload's file expires; asked once all of it has arrived, for the form may say so behind its content."""


def never() -> None:
    """An `Expiry`: only the retention ends the file."""


@dataclass(frozen=True, slots=True)
class UploadBounds:
    """What one tenant may keep, and how long an upload may take."""

    max_bytes: int
    """Of all files, what is reserved for uploads under way, and results of unfinished batches."""
    max_files: int
    max_uploads: int
    """Under way at a time."""
    ends_at: datetime
    """When an upload that is not done counts as given up."""


@dataclass(frozen=True, slots=True)
class FileListing:
    """Which files a list has, and in which order."""

    purpose: str | None = None
    """None: any."""
    oldest_first: bool = False


ALL_FILES = FileListing()
"""Newest first."""


class FileStore(Protocol):
    """Files that are complete, expired ones included; what an upload has written so far is nobody's."""

    async def add(
        self, file: File, chunks: AsyncIterator[bytes], bounds: UploadBounds, expiry: Expiry = never
    ) -> File:
        """Keep what `chunks` yield, all or nothing; returns the file with its size.

        `file.bytes` are reserved before the first chunk is read, and more as they come. `NotFound` when the tenant
        does not exist, `Conflict` when it would have more than it may.
        """
        ...

    async def get(self, tenant_id: str, file_id: str) -> File | None: ...

    async def page(
        self, tenant_id: str, request: PageRequest, now: datetime | None = None, listing: FileListing = ALL_FILES
    ) -> Page[File]:
        """After a file's id. Without those that have expired by `now`, if it is given."""
        ...

    async def chunk(self, file_id: str, index: int) -> bytes | None:
        """None after the last."""
        ...

    async def remove(self, tenant_id: str, file_id: str) -> None:
        """`NotFound` when it does not exist, `Conflict` while an unfinished batch needs it."""
        ...


async def rechunk(chunks: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """The same bytes in chunks of `CHUNK_BYTES`."""
    rest = bytearray()
    async for chunk in chunks:
        rest += chunk
        while len(rest) >= CHUNK_BYTES:
            yield bytes(rest[:CHUNK_BYTES])
            del rest[:CHUNK_BYTES]
    if rest:
        yield bytes(rest)
