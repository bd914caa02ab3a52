"""A tenant's files for bulk work: kept in pieces, read in pieces. Knows no HTTP and no database."""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
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

    async def add(self, file: File, pieces: AsyncIterator[bytes]) -> File:
        """Keep what `pieces` give, all or nothing; the file with its size. `NotFound` when the tenant is gone."""
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
        room = self._limits.max_tenant_file_bytes - sum(file.bytes for file in known)
        made = new_file(tenant_id, name, purpose, self._clock.now())
        return await self._store.add(made, _bounded(pieces, self._limits.max_file_bytes, room))

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


async def cut(pieces: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """The same bytes in pieces of `PIECE_BYTES`."""
    rest = bytearray()
    async for piece in pieces:
        rest += piece
        while len(rest) >= PIECE_BYTES:
            yield bytes(rest[:PIECE_BYTES])
            del rest[:PIECE_BYTES]
    if rest:
        yield bytes(rest)


async def _bounded(pieces: AsyncIterator[bytes], most: int, room: int) -> AsyncIterator[bytes]:
    size = 0
    async for piece in pieces:
        size += len(piece)
        if size > most:
            raise BodyTooLarge(f"a file has at most {most} bytes")
        if size > room:
            raise Conflict("the tenant's files would have more bytes than they may in all; delete one first")
        yield piece


def new_file(tenant_id: str, name: str, purpose: str, now: datetime) -> File:
    """Nothing is in it yet."""
    shown = "".join(character for character in name if character.isprintable())[:MAX_NAME_CHARACTERS]
    return File(f"file-{secrets.token_hex(12)}", tenant_id, shown or "unnamed", purpose, 0, now)
