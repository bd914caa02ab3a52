"""Pages of a query: the rows behind the one that the page before ended with, by the columns that order them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, RowMapping, Select, literal, select, tuple_
from sqlalchemy.ext.asyncio import AsyncConnection

from stores.database import Database
from stores.paging import Page, PageRequest, no_such_item
from stores.sql.tables import UtcTime, audit_log

CODE_POINTS = {True: "BINARY", False: "C"}
"""The collation that compares code points, in SQLite and in PostgreSQL."""


@dataclass(frozen=True, slots=True)
class Deletion:
    """The act that deletes an item of a list.

    Its record says what the item was ordered by, so that the next page can begin behind an item that is gone.
    """

    verb: str
    kind: str
    """What the act's object begins with, before the id."""
    tenant_id: str | None = None
    """Whose list it is; None: the deployment's."""


def by_name(column: ColumnElement[str], database: Database) -> ColumnElement[str]:
    """`column` in one order everywhere: databases order names by the locale that each was set up with."""
    return column.collate(CODE_POINTS[database.is_local])


async def read_page(
    connection: AsyncConnection,
    query: Select[Any],
    order: Mapping[str, ColumnElement[Any]],
    request: PageRequest,
    *,
    shown: Sequence[ColumnElement[bool]] = (),
    deletion: Deletion | None = None,
    descending: bool = False,
) -> Page[RowMapping]:
    """Rows of `query` that are `shown`, behind the one whose id is `request.after`, whether that is shown or not.

    `order` has columns by name. `InvalidRequest` when the query has no such row and no `deletion` recorded one.
    """
    columns = tuple(order.values())
    if request.after is not None:
        labelled = [column.label(name) for name, column in order.items()]
        of_last = query.with_only_columns(*labelled).where(query.selected_columns["id"] == request.after)
        last: Sequence[Any] | None = (await connection.execute(of_last)).first()
        if last is None and deletion is not None:
            last = await _deleted(connection, deletion, request.after, order)
        if last is None:
            raise no_such_item()
        known_values = tuple_(*(literal(value, column.type) for column, value in zip(columns, last, strict=True)))
        query = query.where(tuple_(*columns) < known_values if descending else tuple_(*columns) > known_values)
    query = query.where(*shown).order_by(*(column.desc() if descending else column.asc() for column in columns))
    rows = (await connection.execute(query.limit(request.limit + 1))).mappings().all()
    return Page(rows[: request.limit], len(rows) > request.limit)


async def _deleted(
    connection: AsyncConnection, deletion: Deletion, item_id: str, order: Mapping[str, ColumnElement[Any]]
) -> Sequence[Any] | None:
    """The values of the columns of `order` that the item had when it was deleted; None: nothing says so."""
    columns = audit_log.c
    acts = select(columns.before).where(
        columns.object == f"{deletion.kind}/{item_id}", columns.verb == deletion.verb
    )
    if deletion.tenant_id is not None:
        acts = acts.where(columns.tenant_id == deletion.tenant_id)
    before = (await connection.execute(acts.order_by(columns.sequence.desc()).limit(1))).scalar()
    try:
        known = json.loads(before or "{}") | {"id": item_id}
        return [
            datetime.fromisoformat(known[name]) if isinstance(column.type, UtcTime) else known[name]
            for name, column in order.items()
        ]
    except (ValueError, TypeError, KeyError):
        # A release before this one recorded less, or somebody has changed the record.
        return None
