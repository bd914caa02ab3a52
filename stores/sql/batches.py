"""Batches in SQL, and the lease by which one worker at a time owns one."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

import msgspec
from sqlalchemy import and_, delete, func, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from stores.audit import Act
from stores.batches import (
    CANCELLING,
    FINALIZING,
    NOTHING_EXCLUDED,
    UNFINISHED,
    Backlog,
    Batch,
    BatchBounds,
    BatchState,
    Excluded,
    LeaseLost,
    LineError,
    LineResult,
    StorageFull,
)
from stores.database import Database
from stores.errors import Conflict, InvalidRequest, NotFound
from stores.files import File, rechunk
from stores.paging import Page, PageRequest, count_within
from stores.sql.acts import record
from stores.sql.backlog import IS_UNFINISHED, is_free, read_backlog, waiting_batches
from stores.sql.pages import read_page
from stores.sql.storage import lock_tenant, stored_bytes
from stores.sql.tables import batch_results, batches, file_pieces, files, tenants
from stores.tenants import ACTIVE

MAX_RESULTS = 500
"""Read at a time, if they are small."""
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
    output_expires_after_s: int | None = None
    key_id: str = ""


class SqlBatches:
    """A `BatchStore` and a `BatchQueue`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def add(self, batch: Batch, idempotency_key: str | None, digest: str, bounds: BatchBounds) -> Batch:
        values = _values(batch) | {"id": batch.id, "tenant_id": batch.tenant_id, "served_at": NEVER}
        values |= {"idempotency_key": idempotency_key, "digest": digest}
        of_tenant = batches.c.tenant_id == batch.tenant_id
        number = select(func.count()).where(of_tenant)
        async with self._database.transaction() as connection:
            await lock_tenant(connection, batch.tenant_id)
            if idempotency_key is not None:
                earlier = select(batches).where(of_tenant, batches.c.idempotency_key == idempotency_key)
                row = (await connection.execute(earlier)).mappings().first()
                if row is not None:
                    return _earlier(row, digest)
            if (await connection.execute(number.where(IS_UNFINISHED))).scalar_one() >= bounds.max_unfinished:
                raise Conflict(
                    f"{bounds.max_unfinished} batches of the tenant are unfinished; wait for one, or cancel it"
                )
            if (await connection.execute(number)).scalar_one() >= bounds.max_batches:
                raise Conflict(f"the tenant has {bounds.max_batches} batches; the oldest are deleted in some days")
            await connection.execute(insert(batches).values(**values))
        return batch

    async def get(self, tenant_id: str, batch_id: str) -> Batch | None:
        query = select(batches).where(batches.c.tenant_id == tenant_id, batches.c.id == batch_id)
        async with self._database.transaction() as connection:
            row = (await connection.execute(query)).mappings().first()
        return None if row is None else _batch(row)

    async def page(self, tenant_id: str, request: PageRequest) -> Page[Batch]:
        query = select(batches).where(batches.c.tenant_id == tenant_id)
        order = {"created_at": batches.c.created_at, "id": batches.c.id}
        async with self._database.transaction() as connection:
            rows = await read_page(connection, query, order, request, descending=True)
        return Page([_batch(row) for row in rows.items], rows.has_more)

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
            states = ({"status": batch.status}, {"status": CANCELLING})
            await record(connection, Act("batch.cancel", f"batch/{batch_id}", tenant_id, *states))

    async def backlog(self) -> Backlog:
        async with self._database.transaction() as connection:
            return await read_backlog(connection)

    async def claim(
        self, owner: str, now: datetime, until: datetime, excluded: Excluded = NOTHING_EXCLUDED
    ) -> Batch | None:
        waiting = waiting_batches(now, excluded).order_by(
            func.coalesce(tenants.c.batches_served_at, NEVER),
            batches.c.served_at,
            batches.c.created_at,
            batches.c.id,
        )
        async with self._database.transaction() as connection:
            for batch_id, tenant_id in (await connection.execute(waiting.limit(CANDIDATES))).all():
                # The tenant's row first, as in every other transaction that has both.
                with suppress(NotFound):
                    await lock_tenant(connection, tenant_id)
                claim = update(batches).where(batches.c.id == batch_id, is_free(now))
                claim = claim.values(owner=owner, lease_until=until, served_at=now)
                if (await connection.execute(claim)).rowcount:
                    served = update(tenants).where(tenants.c.id == tenant_id).values(batches_served_at=now)
                    await connection.execute(served)
                    row = await connection.execute(select(batches).where(batches.c.id == batch_id))
                    return _batch(row.mappings().one())
        return None

    async def finished_lines(self, batch_id: str) -> set[int]:
        query = select(batch_results.c.line).where(batch_results.c.batch_id == batch_id)
        async with self._database.transaction() as connection:
            return set((await connection.execute(query)).scalars())

    async def record(
        self, batch: Batch, owner: str, results: Sequence[LineResult], until: datetime, max_tenant_bytes: int
    ) -> str:
        values = _values(batch)
        async with self._database.transaction() as connection:
            if results:
                await lock_tenant(connection, batch.tenant_id)
                more = sum(result.bytes for result in results)
                if await stored_bytes(connection, batch.tenant_id) + more > max_tenant_bytes:
                    raise StorageFull(batch.id)
            counts = {name: values[name] for name in ("total", "completed", "failed", "output_bytes")}
            await _change_own(connection, batch.id, owner, {"lease_until": until} | counts)
            if results:
                rows = [
                    {
                        "batch_id": batch.id,
                        "line": result.line,
                        "failed": result.failed,
                        "content": result.content,
                        "bytes": result.bytes,
                    }
                    for result in results
                ]
                await connection.execute(insert(batch_results), rows)
            # A tenant's cancellation wins over the status that the worker last saw.
            this_batch = batches.c.id == batch.id
            not_cancelled = and_(this_batch, batches.c.status != CANCELLING)
            state = {name: values[name] for name in ("status", "detail")}
            await connection.execute(update(batches).where(not_cancelled).values(**state))
            status: str = (await connection.execute(select(batches.c.status).where(this_batch))).scalar_one()
        return status

    async def renew(
        self, batch_id: str, owner: str, now: datetime, until: datetime, excluded: Excluded = NOTHING_EXCLUDED
    ) -> BatchState:
        state = (
            select(batches.c.status, tenants.c.status).join_from(batches, tenants).where(batches.c.id == batch_id)
        )
        async with self._database.transaction() as connection:
            await _change_own(connection, batch_id, owner, {"lease_until": until})
            status, tenant_status = (await connection.execute(state)).one()
            others_wait = (await connection.execute(waiting_batches(now, excluded).limit(1))).first() is not None
        return BatchState(status, tenant_status == ACTIVE, others_wait)

    async def write_output(self, batch: Batch, owner: str, file: File, *, failed: bool) -> None:
        this_file = files.c.id == file.id
        async with self._database.transaction() as connection:
            await _change_own(connection, batch.id, owner, {"owner": owner})
            await connection.execute(delete(files).where(this_file))
            row = asdict(file) | {"bytes": 0, "lease_until": batch.expires_at}
            await connection.execute(insert(files).values(**row))
        index, size = 0, 0
        async for chunk in rechunk(self._output(batch.id, failed=failed)):
            size += len(chunk)
            async with self._database.transaction() as connection:
                await _change_own(connection, batch.id, owner, {"owner": owner})
                piece = {"file_id": file.id, "place": index, "content": chunk}
                await connection.execute(insert(file_pieces).values(**piece))
                await connection.execute(update(files).where(this_file).values(bytes=size))
            index += 1

    async def _output(self, batch_id: str, *, failed: bool) -> AsyncIterator[bytes]:
        """The results' lines."""
        after = -1
        while True:
            left = and_(
                batch_results.c.batch_id == batch_id,
                batch_results.c.failed.is_(failed),
                batch_results.c.line > after,
            )
            sizes = select(batch_results.c.bytes).where(left).order_by(batch_results.c.line).limit(MAX_RESULTS)
            page = select(batch_results.c.line, batch_results.c.content).where(left).order_by(batch_results.c.line)
            async with self._database.transaction() as connection:
                count = count_within((await connection.execute(sizes)).scalars())
                rows = (await connection.execute(page.limit(count))).all()
            if not rows:
                return
            yield b"".join(content.encode() + b"\n" for _, content in rows)
            after = rows[-1].line

    async def release(self, batch: Batch, owner: str) -> None:
        finished = batch.status not in UNFINISHED
        async with self._database.transaction() as connection:
            changed = _values(batch) if finished else {}
            await _change_own(connection, batch.id, owner, {"owner": None, "lease_until": None} | changed)
            if finished:
                output = files.c.id.in_([batch.output_file_id, batch.error_file_id])
                await connection.execute(update(files).where(output).values(lease_until=None))
                await connection.execute(delete(batch_results).where(batch_results.c.batch_id == batch.id))


def _earlier(row: Mapping[Any, Any], digest: str) -> Batch:
    """What an idempotency key stands for."""
    if row["digest"] != digest:
        raise InvalidRequest("the key was used with another request before", field="Idempotency-Key")
    return _batch(row)


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
        batch.output_expires_after_s,
        batch.key_id,
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
        "output_bytes": batch.output_bytes,
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
        row["output_bytes"],
        detail.output_file_id,
        detail.error_file_id,
        detail.errors,
        detail.output_expires_after_s,
        detail.key_id,
    )
