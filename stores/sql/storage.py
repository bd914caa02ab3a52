"""How much a tenant keeps, and the lock under which it is counted: a bound that one writer meets, many meet."""

from __future__ import annotations

from sqlalchemy import and_, case, exists, func, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from stores.batches import UNFINISHED
from stores.errors import NotFound
from stores.files import OUTPUT_PURPOSE
from stores.sql.tables import batches, files, tenants

NEEDED = exists().where(batches.c.input_file_id == files.c.id, batches.c.status.in_(UNFINISHED))
"""Of a file: a batch still has to read it."""


async def lock_tenant(connection: AsyncConnection, tenant_id: str) -> None:
    """Let nobody else change what the tenant keeps before this transaction ends; `NotFound` without the tenant.

    Call it first: a write of nothing new takes the lock of the row in PostgreSQL, that of the file in SQLite.
    """
    nothing_new = update(tenants).where(tenants.c.id == tenant_id).values(status=tenants.c.status)
    if not (await connection.execute(nothing_new)).rowcount:
        raise NotFound("no such tenant")


async def stored_bytes(connection: AsyncConnection, tenant_id: str) -> int:
    """Of the tenant's files, of what is reserved for uploads, and of the results of unfinished batches.

    An output file counts once it is complete: until then its results do.
    """
    being_written = and_(files.c.purpose == OUTPUT_PURPOSE, files.c.lease_until.is_not(None))
    of_files = select(func.sum(case((being_written, 0), else_=files.c.bytes)))
    of_results = select(func.sum(batches.c.output_bytes)).where(batches.c.status.in_(UNFINISHED))
    queries = (of_files.where(files.c.tenant_id == tenant_id), of_results.where(batches.c.tenant_id == tenant_id))
    return sum([int((await connection.execute(query)).scalar() or 0) for query in queries])
