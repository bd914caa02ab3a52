"""Files in SQL, in chunks."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import asdict, replace

from sqlalchemy import and_, delete, exists, insert, select, update
from sqlalchemy.exc import IntegrityError

from stores.batches import UNFINISHED
from stores.database import Database
from stores.errors import Conflict, NotFound
from stores.files import File, rechunk
from stores.sql.tables import batches, file_pieces, files


class SqlFiles:
    """A `FileStore`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def add(self, file: File, chunks: AsyncIterator[bytes]) -> File:
        size = 0
        try:
            async with self._database.transaction() as connection:
                await connection.execute(insert(files).values(**asdict(file)))
                index = 0
                async for chunk in rechunk(chunks):
                    row = {"file_id": file.id, "place": index, "content": chunk}
                    await connection.execute(insert(file_pieces).values(**row))
                    size, index = size + len(chunk), index + 1
                await connection.execute(update(files).where(files.c.id == file.id).values(bytes=size))
        except IntegrityError:
            raise NotFound("no such tenant") from None
        return replace(file, bytes=size)

    async def get(self, tenant_id: str, file_id: str) -> File | None:
        query = select(files).where(files.c.tenant_id == tenant_id, files.c.id == file_id)
        async with self._database.transaction() as connection:
            row = (await connection.execute(query)).mappings().first()
        return None if row is None else File(**row)

    async def all(self, tenant_id: str) -> Sequence[File]:
        query = select(files).where(files.c.tenant_id == tenant_id)
        async with self._database.transaction() as connection:
            rows = (await connection.execute(query.order_by(files.c.created_at.desc(), files.c.id))).mappings()
            return [File(**row) for row in rows]

    async def chunk(self, file_id: str, index: int) -> bytes | None:
        query = select(file_pieces.c.content)
        query = query.where(file_pieces.c.file_id == file_id, file_pieces.c.place == index)
        async with self._database.transaction() as connection:
            content: bytes | None = (await connection.execute(query)).scalar()
        return content

    async def remove(self, tenant_id: str, file_id: str) -> None:
        needed = exists().where(batches.c.input_file_id == file_id, batches.c.status.in_(UNFINISHED))
        existing = and_(files.c.tenant_id == tenant_id, files.c.id == file_id)
        async with self._database.transaction() as connection:
            if (await connection.execute(delete(files).where(existing, ~needed))).rowcount:
                return
            if (await connection.execute(select(files.c.id).where(existing))).first() is None:
                raise NotFound("no such file")
        raise Conflict("an unfinished batch needs the file; cancel the batch first")
