"""Files in SQL, in pieces. Knows tables and rows, decides nothing."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import asdict, replace

from sqlalchemy import and_, delete, exists, insert, select, update
from sqlalchemy.exc import IntegrityError

from gateway.batches import ACTIVE
from gateway.errors import Conflict, NotFound
from gateway.files import File, cut
from gateway.stores.database import Database
from gateway.stores.tables import batches, file_pieces, files


class SqlFiles:
    """A `FileStore`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def add(self, file: File, pieces: AsyncIterator[bytes]) -> File:
        size = 0
        try:
            async with self._database.transaction() as connection:
                await connection.execute(insert(files).values(**asdict(file)))
                place = 0
                async for piece in cut(pieces):
                    row = {"file_id": file.id, "place": place, "content": piece}
                    await connection.execute(insert(file_pieces).values(**row))
                    size, place = size + len(piece), place + 1
                await connection.execute(update(files).where(files.c.id == file.id).values(bytes=size))
        except IntegrityError:
            raise NotFound("there is no such tenant") from None
        return replace(file, bytes=size)

    async def get(self, tenant_id: str, file_id: str) -> File | None:
        wanted = select(files).where(files.c.tenant_id == tenant_id, files.c.id == file_id)
        async with self._database.transaction() as connection:
            row = (await connection.execute(wanted)).mappings().first()
        return None if row is None else File(**row)

    async def all(self, tenant_id: str) -> Sequence[File]:
        wanted = select(files).where(files.c.tenant_id == tenant_id)
        async with self._database.transaction() as connection:
            rows = (await connection.execute(wanted.order_by(files.c.created_at.desc(), files.c.id))).mappings()
            return [File(**row) for row in rows]

    async def piece(self, file_id: str, place: int) -> bytes | None:
        wanted = select(file_pieces.c.content)
        wanted = wanted.where(file_pieces.c.file_id == file_id, file_pieces.c.place == place)
        async with self._database.transaction() as connection:
            found: bytes | None = (await connection.execute(wanted)).scalar()
        return found

    async def remove(self, tenant_id: str, file_id: str) -> None:
        needed = exists().where(batches.c.input_file_id == file_id, batches.c.status.in_(ACTIVE))
        there = and_(files.c.tenant_id == tenant_id, files.c.id == file_id)
        async with self._database.transaction() as connection:
            if (await connection.execute(delete(files).where(there, ~needed))).rowcount:
                return
            if (await connection.execute(select(files.c.id).where(there))).first() is None:
                raise NotFound("there is no such file")
        raise Conflict("a batch that is not done needs the file; cancel it first")
