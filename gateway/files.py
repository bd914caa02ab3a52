"""A tenant's files for bulk work: kept in pieces, read in pieces. Knows no HTTP and no database."""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Protocol

from gateway.clock import Clock
from gateway.errors import BodyTooLarge, Conflict, InvalidRequest, NotFound
from gateway.settings import Settings

PIECE_BYTES = 1 << 20
BATCH, BATCH_OUTPUT = "batch", "batch_output"
MAX_FILES = 1_000
MAX_NAME_CHARACTERS = 200


@dataclass(frozen=True, slots=True)
class File:
    id: str
    tenant_id: str
    name: str
    purpose: str
    """`batch` for what a tenant gave, `batch_output` for what became of it."""
    bytes: int
    created_at: datetime


class FileStore(Protocol):
    """Files, kept."""

    async def add(self, file: File, pieces: Sequence[bytes]) -> None:
        """`NotFound` when the tenant is gone."""
        ...

    async def get(self, tenant_id: str, file_id: str) -> File | None: ...

    async def all(self, tenant_id: str) -> Sequence[File]:
        """Newest first."""
        ...

    async def piece(self, file_id: str, place: int) -> bytes | None:
        """None after the last."""
        ...

    async def remove(self, tenant_id: str, file_id: str) -> None:
        """`NotFound` when it is gone, `Conflict` while a batch that is not done needs it."""
        ...


class Files:
    """What a tenant may do with its files; another tenant's do not exist."""

    def __init__(self, store: FileStore, clock: Clock, limits: Settings) -> None:
        self._store = store
        self._clock = clock
        self._limits = limits

    async def add(self, tenant_id: str, name: str, purpose: str, pieces: AsyncIterator[bytes]) -> File:
        """Keep what `pieces` give, each of any size."""
        if purpose != BATCH:
            raise InvalidRequest(f"{BATCH!r} is possible", field="purpose")
        known = await self._store.all(tenant_id)
        if len(known) >= MAX_FILES:
            raise Conflict(f"the tenant has {MAX_FILES} files; delete one first")
        made = new_file(tenant_id, name, purpose, 0, self._clock.now())
        cut, size = bytearray(), 0
        kept: list[bytes] = []
        async for piece in pieces:
            size += len(piece)
            if size > self._limits.max_file_bytes:
                raise BodyTooLarge(f"a file has at most {self._limits.max_file_bytes} bytes")
            cut += piece
            while len(cut) >= PIECE_BYTES:
                kept.append(bytes(cut[:PIECE_BYTES]))
                del cut[:PIECE_BYTES]
        kept += [bytes(cut)] if cut else []
        if size + sum(file.bytes for file in known) > self._limits.max_tenant_file_bytes:
            raise Conflict(f"the tenant's files have at most {self._limits.max_tenant_file_bytes} bytes in all")
        made = replace(made, bytes=size)
        await self._store.add(made, kept)
        return made

    async def get(self, tenant_id: str, file_id: str) -> File:
        file = await self._store.get(tenant_id, file_id)
        if file is None:
            raise NotFound("there is no such file")
        return file

    async def all(self, tenant_id: str) -> Sequence[File]:
        return await self._store.all(tenant_id)

    async def content(self, file: File) -> AsyncIterator[bytes]:
        """Piece by piece."""
        place = 0
        while (piece := await self._store.piece(file.id, place)) is not None:
            yield piece
            place += 1

    async def remove(self, tenant_id: str, file_id: str) -> None:
        await self._store.remove(tenant_id, file_id)


def new_file(tenant_id: str, name: str, purpose: str, size: int, now: datetime) -> File:
    shown = "".join(character for character in name if character.isprintable())[:MAX_NAME_CHARACTERS]
    return File(f"file-{secrets.token_hex(12)}", tenant_id, shown or "unnamed", purpose, size, now)
