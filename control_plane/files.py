"""Files: what a tenant may do with its own; another tenant's do not exist."""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator, Sequence
from datetime import datetime

from stores.clock import Clock
from stores.errors import BodyTooLarge, Conflict, InvalidRequest, NotFound
from stores.files import BATCH_PURPOSE, File, FileStore

MAX_FILES = 1_000
"""Files of one tenant."""
MAX_NAME_CHARACTERS = 200


class Files:
    def __init__(self, store: FileStore, clock: Clock, *, max_file_bytes: int, max_tenant_file_bytes: int) -> None:
        self._store = store
        self._clock = clock
        self._max_file_bytes = max_file_bytes
        self._max_tenant_file_bytes = max_tenant_file_bytes

    async def add(self, tenant_id: str, name: str, purpose: str, chunks: AsyncIterator[bytes]) -> File:
        """Keep what `chunks` yield, each of any size."""
        if purpose != BATCH_PURPOSE:
            raise InvalidRequest(f"must be {BATCH_PURPOSE!r}", field="purpose")
        files = await self._store.all(tenant_id)
        if len(files) >= MAX_FILES:
            raise Conflict(f"the tenant has {MAX_FILES} files; delete one first")
        room = self._max_tenant_file_bytes - sum(file.bytes for file in files)
        file = new_file(tenant_id, name, purpose, self._clock.now())
        return await self._store.add(file, _bounded(chunks, self._max_file_bytes, room))

    async def get(self, tenant_id: str, file_id: str) -> File:
        file = await self._store.get(tenant_id, file_id)
        if file is None:
            raise NotFound("no such file")
        return file

    async def all(self, tenant_id: str) -> Sequence[File]:
        return await self._store.all(tenant_id)

    def content(self, file: File) -> AsyncIterator[bytes]:
        return content_of(self._store, file.id)

    async def remove(self, tenant_id: str, file_id: str) -> None:
        await self._store.remove(tenant_id, file_id)


async def content_of(store: FileStore, file_id: str) -> AsyncIterator[bytes]:
    """Chunk by chunk."""
    index = 0
    while (chunk := await store.chunk(file_id, index)) is not None:
        yield chunk
        index += 1


def new_file(tenant_id: str, name: str, purpose: str, now: datetime) -> File:
    """Without content yet."""
    printable = "".join(character for character in name if character.isprintable())[:MAX_NAME_CHARACTERS]
    return File(f"file-{secrets.token_hex(12)}", tenant_id, printable or "unnamed", purpose, 0, now)


async def _bounded(chunks: AsyncIterator[bytes], max_bytes: int, room: int) -> AsyncIterator[bytes]:
    size = 0
    async for chunk in chunks:
        size += len(chunk)
        if size > max_bytes:
            raise BodyTooLarge(f"the file has more than {max_bytes} bytes")
        if size > room:
            raise Conflict("the tenant's files would have more bytes than allowed in all; delete one first")
        yield chunk
