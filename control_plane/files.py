"""Files: what a tenant may do with its own; another tenant's do not exist."""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from datetime import datetime, timedelta

from stores.clock import Clock
from stores.errors import BodyTooLarge, InvalidRequest, NotFound
from stores.files import BATCH_PURPOSE, File, FileListing, FileStore, UploadBounds, never
from stores.paging import Page, PageRequest

MAX_FILES, MAX_UPLOADS = 1_000, 16
"""Files of one tenant, and uploads that it has under way."""
MAX_NAME_CHARACTERS = 200
EXPIRY_ANCHOR = "created_at"
MIN_EXPIRY_S, MAX_EXPIRY_S = 3_600, 2_592_000
"""An hour and thirty days, as OpenAI has them."""


class Files:
    def __init__(
        self,
        store: FileStore,
        clock: Clock,
        *,
        max_file_bytes: int,
        max_tenant_file_bytes: int,
        upload_timeout_s: float,
    ) -> None:
        self._store = store
        self._clock = clock
        self._max_file_bytes = max_file_bytes
        self._max_tenant_file_bytes = max_tenant_file_bytes
        self._upload_timeout_s = upload_timeout_s

    async def add(
        self,
        tenant_id: str,
        name: str,
        chunks: AsyncIterator[bytes],
        declared_bytes: int = 0,
        expires_after_s: Callable[[], int | None] = never,
    ) -> File:
        """Keep what `chunks` yield, each of any size; `declared_bytes` are reserved before the first is read.

        `expires_after_s` is asked once all of it is there.
        """
        now = self._clock.now()
        file = replace(
            new_file(tenant_id, name, BATCH_PURPOSE, now), bytes=min(declared_bytes, self._max_file_bytes)
        )
        ends_at = now + timedelta(seconds=self._upload_timeout_s)
        bounds = UploadBounds(self._max_tenant_file_bytes, MAX_FILES, MAX_UPLOADS, ends_at)
        content = _bounded(chunks, self._max_file_bytes)
        return await self._store.add(file, content, bounds, lambda: expiry_of(file, expires_after_s()))

    async def get(self, tenant_id: str, file_id: str) -> File:
        file = await self._store.get(tenant_id, file_id)
        if file is None or file.has_expired(self._clock.now()):
            raise NotFound("no such file")
        return file

    async def page(self, tenant_id: str, request: PageRequest, listing: FileListing) -> Page[File]:
        return await self._store.page(tenant_id, request, self._clock.now(), listing)

    def content(self, file: File) -> AsyncIterator[bytes]:
        return content_of(self._store, file.id)

    async def remove(self, tenant_id: str, file_id: str) -> None:
        await self.get(tenant_id, file_id)
        await self._store.remove(tenant_id, file_id)


async def content_of(store: FileStore, file_id: str) -> AsyncIterator[bytes]:
    """Chunk by chunk."""
    index = 0
    while (chunk := await store.chunk(file_id, index)) is not None:
        yield chunk
        index += 1


def check_expiry(anchor: str, seconds: int, field: str) -> int:
    """The seconds; `InvalidRequest` for what `field` cannot say."""
    if anchor != EXPIRY_ANCHOR:
        raise InvalidRequest(f"must be {EXPIRY_ANCHOR!r}", field=f"{field}.anchor")
    if not MIN_EXPIRY_S <= seconds <= MAX_EXPIRY_S:
        raise InvalidRequest(f"must be {MIN_EXPIRY_S} to {MAX_EXPIRY_S}", field=f"{field}.seconds")
    return seconds


def expiry_of(file: File, expires_after_s: int | None) -> datetime | None:
    return None if expires_after_s is None else file.created_at + timedelta(seconds=expires_after_s)


def new_file(tenant_id: str, name: str, purpose: str, now: datetime) -> File:
    """Without content yet."""
    printable = "".join(character for character in name if character.isprintable())[:MAX_NAME_CHARACTERS]
    return File(f"file-{secrets.token_hex(12)}", tenant_id, printable or "unnamed", purpose, 0, now)


async def _bounded(chunks: AsyncIterator[bytes], max_bytes: int) -> AsyncIterator[bytes]:
    size = 0
    async for chunk in chunks:
        size += len(chunk)
        if size > max_bytes:
            raise BodyTooLarge(f"the file has more than {max_bytes} bytes")
        yield chunk
