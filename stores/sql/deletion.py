"""Deletes many large rows a few at a time, so that no other writer waits for all of them."""

from __future__ import annotations

from sqlalchemy import ColumnElement, Table, delete, select

from stores.database import Database

ROWS_AT_ONCE = 10


async def delete_in_parts(database: Database, table: Table, condition: ColumnElement[bool]) -> None:
    """The rows of `table` that meet `condition`, with everything that belongs to them; `table` has an `id`."""
    some = select(table.c.id).where(condition).limit(ROWS_AT_ONCE)
    while True:
        async with database.transaction() as connection:
            ids = (await connection.execute(some)).scalars().all()
            if not ids:
                return
            await connection.execute(delete(table).where(table.c.id.in_(ids), condition))
