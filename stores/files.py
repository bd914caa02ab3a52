"""A tenant's files: the record, and the port of what keeps them, in chunks."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

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


class FileStore(Protocol):
    async def add(self, file: File, chunks: AsyncIterator[bytes]) -> File:
        """Keep what `chunks` yield, all or nothing; returns the file with its size.

        `NotFound` when the tenant does not exist.
        """
        ...

    async def get(self, tenant_id: str, file_id: str) -> File | None: ...

    async def all(self, tenant_id: str) -> Sequence[File]:
        """Newest first."""
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
