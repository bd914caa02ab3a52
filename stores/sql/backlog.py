"""What workers have to do: which batches wait, and how many there are."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Select, func, or_, select
from sqlalchemy.ext.asyncio import AsyncConnection

from stores.batches import UNFINISHED, Backlog, Excluded
from stores.sql.tables import batches, tenants
from stores.tenants import ACTIVE

IS_UNFINISHED = batches.c.status.in_(UNFINISHED)


def is_free(now: datetime) -> ColumnElement[bool]:
    return or_(batches.c.lease_until.is_(None), batches.c.lease_until < now)


def waiting_batches(now: datetime, excluded: Excluded) -> Select[Any]:
    """Ids and tenants of batches that a worker may claim."""
    query = select(batches.c.id, batches.c.tenant_id).join_from(batches, tenants)
    query = query.where(IS_UNFINISHED, is_free(now), tenants.c.status == ACTIVE)
    return query.where(batches.c.id.not_in(excluded.batch_ids), batches.c.tenant_id.not_in(excluded.tenant_ids))


async def read_backlog(connection: AsyncConnection) -> Backlog:
    lines = func.coalesce(func.sum(batches.c.total - batches.c.completed - batches.c.failed), 0)
    query = select(func.count(), lines, func.min(batches.c.created_at)).join_from(batches, tenants)
    query = query.where(IS_UNFINISHED, tenants.c.status == ACTIVE)
    number, lines_left, oldest_at = (await connection.execute(query)).one()
    return Backlog(number, max(0, int(lines_left)), oldest_at)
