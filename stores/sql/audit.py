"""The audit log in SQL: read, and pruned by age."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, RowMapping, delete, select

from stores.audit import PRUNED, Act, AuditFilter, AuditRecord, canonical, rfc3339
from stores.database import Database
from stores.paging import Page, PageRequest, no_such_item
from stores.sql.acts import record
from stores.sql.tables import audit_log

MAX_DIGITS = 18


class SqlAuditLog:
    """An `AuditLog`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def page(self, records: AuditFilter, request: PageRequest) -> Page[AuditRecord]:
        query = select(audit_log).where(*_conditions(records)).order_by(audit_log.c.sequence.desc())
        if request.after is not None:
            query = query.where(audit_log.c.sequence < _sequence(request.after))
        async with self._database.transaction() as connection:
            rows = (await connection.execute(query.limit(request.limit + 1))).mappings().all()
        return Page([_record(row) for row in rows[: request.limit]], len(rows) > request.limit)

    async def read(self, records: AuditFilter, limit: int) -> Sequence[AuditRecord]:
        query = select(audit_log).where(*_conditions(records)).order_by(audit_log.c.sequence).limit(limit)
        async with self._database.transaction() as connection:
            return [_record(row) for row in (await connection.execute(query)).mappings()]

    async def prune(self, before: datetime) -> int:
        older = audit_log.c.at < rfc3339(before)
        async with self._database.transaction() as connection:
            newest = select(audit_log.c.sequence, audit_log.c.hash).where(older)
            last = (await connection.execute(newest.order_by(audit_log.c.sequence.desc()).limit(1))).first()
            if last is None:
                return 0
            through = {"through": last.sequence, "hash": last.hash}
            await record(connection, Act(PRUNED, "audit", after=through))
            removal = delete(audit_log).where(audit_log.c.sequence <= last.sequence)
            return (await connection.execute(removal)).rowcount


def _conditions(records: AuditFilter) -> Sequence[ColumnElement[bool]]:
    columns = audit_log.c
    equal = (
        (columns.tenant_id, records.tenant_id),
        (columns.actor, records.actor),
        (columns.object, records.object),
    )
    conditions = [column == value for column, value in equal if value is not None]
    if records.since is not None:
        conditions.append(columns.at >= rfc3339(records.since))
    if records.until is not None:
        conditions.append(columns.at < rfc3339(records.until))
    return [*conditions, columns.sequence > records.after]


def _sequence(after: str) -> int:
    if not (after.isascii() and after.isdigit() and len(after) <= MAX_DIGITS):
        raise no_such_item()
    return int(after)


def _record(row: RowMapping) -> AuditRecord:
    return AuditRecord(**dict(row) | {"before": _values(row["before"]), "after": _values(row["after"])})


def _values(text: str | None) -> Any:
    """The values that `text` is the canonical JSON of; `text` itself where somebody has changed it."""
    if text is None:
        return None
    try:
        values = json.loads(text)
    except ValueError:
        return text
    return values if canonical(values) == text else text
