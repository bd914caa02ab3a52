"""Adds an act to the audit log, in the transaction of the act itself: both are kept, or neither."""

from __future__ import annotations

from datetime import UTC, datetime

from sqlalchemy import Connection, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from stores.audit import Act, Values, canonical, current_origin, hash_of, rfc3339
from stores.sql.tables import audit_head, audit_log


async def record(connection: AsyncConnection, act: Act) -> None:
    """Call it last: all acts wait for each other from here to the end of the transaction."""
    await connection.run_sync(append, act)


def append(connection: Connection, act: Act) -> None:
    """As `record`, on a connection that blocks."""
    # Takes the lock of the row in PostgreSQL and that of the file in SQLite, so that there is one chain.
    connection.execute(update(audit_head).values(sequence=audit_head.c.sequence + 1))
    head = connection.execute(select(audit_head.c.sequence, audit_head.c.hash)).one()
    origin = current_origin()
    values = {
        "sequence": head.sequence,
        "at": rfc3339(datetime.now(UTC)),
        "actor": origin.actor,
        "verb": act.verb,
        "object": act.object,
        "tenant_id": act.tenant_id,
        "request_id": origin.request_id,
        "before": act.before,
        "after": act.after,
        "previous": head.hash,
    }
    values["hash"] = hash_of(values)
    row = values | {"before": _json(act.before), "after": _json(act.after)}
    connection.execute(insert(audit_log).values(**row))
    connection.execute(update(audit_head).values(hash=values["hash"]))


def _json(values: Values | None) -> str | None:
    return None if values is None else canonical(values)
