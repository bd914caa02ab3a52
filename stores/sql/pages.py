"""Pages of a query: the rows behind the one that the page before ended with, by the columns that order them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import ColumnElement, RowMapping, Select, literal, tuple_
from sqlalchemy.ext.asyncio import AsyncConnection

from stores.database import Database
from stores.paging import Page, PageRequest, no_such_item

CODE_POINTS = {True: "BINARY", False: "C"}
"""The collation that compares code points, in SQLite and in PostgreSQL."""


def by_name(column: ColumnElement[str], database: Database) -> ColumnElement[str]:
    """`column` in one order everywhere: databases order names by the locale that each was set up with."""
    return column.collate(CODE_POINTS[database.is_local])


async def read_page(
    connection: AsyncConnection,
    query: Select[Any],
    id_column: ColumnElement[str],
    order: Sequence[ColumnElement[Any]],
    request: PageRequest,
    *,
    descending: bool = False,
) -> Page[RowMapping]:
    """Rows of `query` behind the one whose id is `request.after`; `InvalidRequest` when it has no such row."""
    if request.after is not None:
        columns = [column.label(f"key_{number}") for number, column in enumerate(order)]
        of_last = query.with_only_columns(*columns).where(id_column == request.after)
        last = (await connection.execute(of_last)).first()
        if last is None:
            raise no_such_item()
        known_values = tuple_(*(literal(value, column.type) for column, value in zip(order, last, strict=True)))
        query = query.where(tuple_(*order) < known_values if descending else tuple_(*order) > known_values)
    query = query.order_by(*(column.desc() if descending else column.asc() for column in order))
    rows = (await connection.execute(query.limit(request.limit + 1))).mappings().all()
    return Page(rows[: request.limit], len(rows) > request.limit)
