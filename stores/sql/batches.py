"""Batches in SQL, and the lease by which one worker at a time owns one."""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import msgspec
from sqlalchemy import and_, delete, insert, or_, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection

from stores.batches import CANCELLING, FINALIZING, UNFINISHED, Batch, LeaseLost, LineError, LineResult
from stores.database import Database
from stores.errors import Conflict, InvalidRequest, NotFound
from stores.sql.tables import batch_results, batches, tenants
from stores.tenants import ACTIVE

PAGE = 500
"""Results read at a time."""
CANDIDATES = 5
"""Batches looked at for a claim; another worker may be faster with some."""
NEVER = datetime(1970, 1, 1, tzinfo=UTC)


class _Detail(msgspec.Struct):
    """What the column `detail` holds."""

    metadata: dict[str, str]
    reached_at: dict[str, datetime] = msgspec.field(name="times")
    output_file_id: str | None
    error_file_id: str | None
    errors: tuple[LineError, ...]


class SqlBatches:
    """A `BatchStore` and a `BatchQueue`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def add(self, batch: Batch, idempotency_key: str | None, digest: str) -> Batch:
        values = _values(batch) | {"id": batch.id, "tenant_id": batch.tenant_id, "served_at": NEVER}
        try:
            async with self._database.transaction() as connection:
                await connection.execute(
                    insert(batches).values(**values, idempotency_key=idempotency_key, digest=digest)
                )
        except IntegrityError:
            return await self._earlier(batch.tenant_id, idempotency_key, digest)
        return batch

    async def _earlier(self, tenant_id: str, idempotency_key: str | None, digest: str) -> Batch:
        query = select(batches).where(batches.c.tenant_id == tenant_id)
        query = query.where(batches.c.idempotency_key == idempotency_key)
        async with self._database.transaction() as connection:
            row = (await connection.execute(query)).mappings().first()
        if row is None:
            raise NotFound("no such tenant")
        if row["digest"] != digest:
            raise InvalidRequest("the key was used with another request before", field="Idempotency-Key")
        return _batch(row)

    async def get(self, tenant_id: str, batch_id: str) -> Batch | None:
        query = select(batches).where(batches.c.tenant_id == tenant_id, batches.c.id == batch_id)
        async with self._database.transaction() as connection:
            row = (await connection.execute(query)).mappings().first()
        return None if row is None else _batch(row)

    async def all(self, tenant_id: str) -> Sequence[Batch]:
        query = select(batches).where(batches.c.tenant_id == tenant_id)
        async with self._database.transaction() as connection:
            rows = await connection.execute(query.order_by(batches.c.created_at.desc(), batches.c.id))
            return [_batch(row) for row in rows.mappings()]

    async def cancel(self, tenant_id: str, batch_id: str, now: datetime) -> None:
        batch = await self.get(tenant_id, batch_id)
        if batch is None or batch.status == CANCELLING:
            return
        running = and_(batches.c.id == batch_id, batches.c.status.in_(set(UNFINISHED) - {FINALIZING}))
        values = _values(batch.reach(CANCELLING, now))
        async with self._database.transaction() as connection:
            changed = {name: values[name] for name in ("status", "detail")}
            if not (await connection.execute(update(batches).where(running).values(**changed))).rowcount:
                raise Conflict("the batch is finished, or its files are being written")

    async def claim(
        self, owner: str, now: datetime, until: datetime, *, excluding: Collection[str] = ()
    ) -> Batch | None:
        free = or_(batches.c.lease_until.is_(None), batches.c.lease_until < now)
        waiting = select(batches.c.id).join(tenants).where(batches.c.status.in_(UNFINISHED), free)
        waiting = waiting.where(tenants.c.status == ACTIVE, batches.c.id.not_in(excluding))
        waiting = waiting.order_by(batches.c.served_at, batches.c.created_at, batches.c.id)
        async with self._database.transaction() as connection:
            for batch_id in (await connection.execute(waiting.limit(CANDIDATES))).scalars().all():
                claim = update(batches).where(batches.c.id == batch_id, free)
                claim = claim.values(owner=owner, lease_until=until, served_at=now)
                if (await connection.execute(claim)).rowcount:
                    row = await connection.execute(select(batches).where(batches.c.id == batch_id))
                    return _batch(row.mappings().one())
        return None

    async def finished_lines(self, batch_id: str) -> set[int]:
        query = select(batch_results.c.line).where(batch_results.c.batch_id == batch_id)
        async with self._database.transaction() as connection:
            return set((await connection.execute(query)).scalars())

    async def record(self, batch: Batch, owner: str, results: Sequence[LineResult], until: datetime) -> str:
        values = _values(batch)
        async with self._database.transaction() as connection:
            counts = {name: values[name] for name in ("total", "completed", "failed")}
            await _change_own(connection, batch.id, owner, {"lease_until": until} | counts)
            if results:
                rows = [
                    {"batch_id": batch.id, "line": r.line, "failed": r.failed, "content": r.content}
                    for r in results
                ]
                await connection.execute(insert(batch_results), rows)
            # A tenant's cancellation wins over the status that the worker last saw.
            this_batch = batches.c.id == batch.id
            not_cancelled = and_(this_batch, batches.c.status != CANCELLING)
            state = {name: values[name] for name in ("status", "detail")}
            await connection.execute(update(batches).where(not_cancelled).values(**state))
            status: str = (await connection.execute(select(batches.c.status).where(this_batch))).scalar_one()
        return status

    async def renew(self, batch_id: str, owner: str, until: datetime) -> None:
        async with self._database.transaction() as connection:
            await _change_own(connection, batch_id, owner, {"lease_until": until})

    async def results(self, batch_id: str, *, failed: bool) -> AsyncIterator[LineResult]:
        after = -1
        while True:
            query = select(batch_results.c.line, batch_results.c.failed, batch_results.c.content)
            query = query.where(batch_results.c.batch_id == batch_id, batch_results.c.failed.is_(failed))
            query = query.where(batch_results.c.line > after).order_by(batch_results.c.line).limit(PAGE)
            async with self._database.transaction() as connection:
                page = [LineResult(**row) for row in (await connection.execute(query)).mappings()]
            for result in page:
                yield result
            if len(page) < PAGE:
                return
            after = page[-1].line

    async def release(self, batch: Batch, owner: str) -> None:
        finished = batch.status not in UNFINISHED
        async with self._database.transaction() as connection:
            changed = _values(batch) if finished else {}
            await _change_own(connection, batch.id, owner, {"owner": None, "lease_until": None} | changed)
            if finished:
                await connection.execute(delete(batch_results).where(batch_results.c.batch_id == batch.id))


async def _change_own(connection: AsyncConnection, batch_id: str, owner: str, values: dict[str, Any]) -> None:
    """`LeaseLost` when the batch is not the owner's any more; the transaction then undoes the rest."""
    mine = and_(batches.c.id == batch_id, batches.c.owner == owner)
    if not (await connection.execute(update(batches).where(mine).values(**values))).rowcount:
        raise LeaseLost(batch_id)


def _values(batch: Batch) -> dict[str, Any]:
    """A batch's columns, but for its own id and its tenant's."""
    detail = _Detail(
        dict(batch.metadata),
        dict(batch.reached_at),
        batch.output_file_id,
        batch.error_file_id,
        tuple(batch.errors),
    )
    return {
        "input_file_id": batch.input_file_id,
        "status": batch.status,
        "created_at": batch.created_at,
        "expires_at": batch.expires_at,
        "detail": msgspec.json.encode(detail).decode(),
        "total": batch.total,
        "completed": batch.completed,
        "failed": batch.failed,
    }


def _batch(row: Mapping[Any, Any]) -> Batch:
    detail = msgspec.json.decode(row["detail"], type=_Detail)
    return Batch(
        row["id"],
        row["tenant_id"],
        row["input_file_id"],
        row["status"],
        row["created_at"],
        row["expires_at"],
        detail.metadata,
        detail.reached_at,
        row["total"],
        row["completed"],
        row["failed"],
        detail.output_file_id,
        detail.error_file_id,
        detail.errors,
    )
