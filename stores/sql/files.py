"""Files in SQL, in chunks, each written in a transaction of its own: a slow upload holds no lock."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import asdict, replace
from datetime import datetime

from sqlalchemy import and_, delete, func, insert, or_, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection

from stores.audit import Act, rfc3339
from stores.database import Database
from stores.errors import Conflict, NotFound, StoreUnavailable
from stores.files import ALL_FILES, BATCH_PURPOSE, Expiry, File, FileListing, UploadBounds, never, rechunk
from stores.paging import Page, PageRequest
from stores.sql.acts import record
from stores.sql.pages import Deletion, read_page
from stores.sql.storage import NEEDED, lock_tenant, stored_bytes
from stores.sql.tables import file_pieces, files

KIND, DELETED = "file", "file.delete"
"""Of the acts in the audit log."""
COMPLETE = files.c.lease_until.is_(None)
RECORD = [column for column in files.c if column is not files.c.lease_until]
"""Columns of a `File`."""


class SqlFiles:
    """A `FileStore`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def add(
        self, file: File, chunks: AsyncIterator[bytes], bounds: UploadBounds, expiry: Expiry = never
    ) -> File:
        async with self._database.transaction() as connection:
            await _begin(connection, file, bounds)
        try:
            size = await self._write(file, rechunk(chunks), bounds)
            expires_at = expiry()
            async with self._database.transaction() as connection:
                completion = update(files).where(files.c.id == file.id, ~COMPLETE)
                completion = completion.values(bytes=size, lease_until=None, expires_at=expires_at)
                if not (await connection.execute(completion)).rowcount:
                    raise Conflict("the upload took too long, or its tenant was deleted")
        except BaseException:
            # Otherwise the next upload of the tenant removes it, once this one should have been done.
            with suppress(StoreUnavailable):
                async with self._database.transaction() as connection:
                    await connection.execute(delete(files).where(files.c.id == file.id))
            raise
        return replace(file, bytes=size, expires_at=expires_at)

    async def _write(self, file: File, chunks: AsyncIterator[bytes], bounds: UploadBounds) -> int:
        size, index, reserved = 0, 0, file.bytes
        async for chunk in chunks:
            size += len(chunk)
            try:
                async with self._database.transaction() as connection:
                    if size > reserved:
                        await lock_tenant(connection, file.tenant_id)
                        await _check_room(connection, file.tenant_id, size - reserved, bounds.max_bytes)
                        await connection.execute(update(files).where(files.c.id == file.id).values(bytes=size))
                        reserved = size
                    row = {"file_id": file.id, "place": index, "content": chunk}
                    await connection.execute(insert(file_pieces).values(**row))
            except IntegrityError:
                raise Conflict("the upload took too long, or its tenant was deleted") from None
            index += 1
        return size

    async def get(self, tenant_id: str, file_id: str) -> File | None:
        query = select(*RECORD).where(files.c.tenant_id == tenant_id, files.c.id == file_id, COMPLETE)
        async with self._database.transaction() as connection:
            row = (await connection.execute(query)).mappings().first()
        return None if row is None else File(**row)

    async def page(
        self, tenant_id: str, request: PageRequest, now: datetime | None = None, listing: FileListing = ALL_FILES
    ) -> Page[File]:
        query = select(*RECORD).where(files.c.tenant_id == tenant_id, COMPLETE)
        shown = [] if now is None else [or_(files.c.expires_at.is_(None), files.c.expires_at > now)]
        if listing.purpose is not None:
            shown.append(files.c.purpose == listing.purpose)
        order = {"created_at": files.c.created_at, "id": files.c.id}
        deletion, descending = Deletion(DELETED, KIND, tenant_id), not listing.oldest_first
        async with self._database.transaction() as connection:
            rows = await read_page(
                connection, query, order, request, shown=shown, deletion=deletion, descending=descending
            )
        return Page([File(**row) for row in rows.items], rows.has_more)

    async def chunk(self, file_id: str, index: int) -> bytes | None:
        query = select(file_pieces.c.content)
        query = query.where(file_pieces.c.file_id == file_id, file_pieces.c.place == index)
        async with self._database.transaction() as connection:
            content: bytes | None = (await connection.execute(query)).scalar()
        return content

    async def remove(self, tenant_id: str, file_id: str) -> None:
        existing = and_(files.c.tenant_id == tenant_id, files.c.id == file_id, COMPLETE)
        async with self._database.transaction() as connection:
            deletion = delete(files).where(existing, ~NEEDED).returning(files.c.created_at)
            deleted = (await connection.execute(deletion)).first()
            if deleted is not None:
                before = {"created_at": rfc3339(deleted.created_at)}
                await record(connection, Act(DELETED, f"{KIND}/{file_id}", tenant_id, before))
                return
            if (await connection.execute(select(files.c.id).where(existing))).first() is None:
                raise NotFound("no such file")
        raise Conflict("an unfinished batch needs the file; cancel the batch first")


async def _begin(connection: AsyncConnection, file: File, bounds: UploadBounds) -> None:
    """Reserve the file's bytes, once uploads that were given up and expired files have lost theirs."""
    await lock_tenant(connection, file.tenant_id)
    of_tenant = files.c.tenant_id == file.tenant_id
    uploading = and_(of_tenant, files.c.purpose == BATCH_PURPOSE, ~COMPLETE)
    given_up = and_(uploading, files.c.lease_until < file.created_at)
    expired = and_(of_tenant, files.c.expires_at <= file.created_at, ~NEEDED)
    await connection.execute(delete(files).where(or_(given_up, expired)))
    number = select(func.count())
    if (await connection.execute(number.where(of_tenant))).scalar_one() >= bounds.max_files:
        raise Conflict(f"the tenant has {bounds.max_files} files; delete one first")
    if (await connection.execute(number.where(uploading))).scalar_one() >= bounds.max_uploads:
        raise Conflict(f"{bounds.max_uploads} uploads of the tenant are under way; wait for one")
    await _check_room(connection, file.tenant_id, file.bytes, bounds.max_bytes)
    await connection.execute(insert(files).values(**asdict(file), lease_until=bounds.ends_at))


async def _check_room(connection: AsyncConnection, tenant_id: str, more: int, max_bytes: int) -> None:
    if await stored_bytes(connection, tenant_id) + more > max_bytes:
        raise Conflict(f"the tenant's files would have more than {max_bytes} bytes in all; delete one first")
