"""Label sets in SQL."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any

import msgspec
from sqlalchemy import RowMapping, and_, delete, func, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from stores.audit import Act
from stores.database import Database
from stores.errors import Conflict, PreconditionFailed
from stores.evaluation import Evaluation
from stores.label_sets import VERSION, LabelSet, LabelSetBounds, LabelSetContent, missing
from stores.paging import Page, PageRequest, count_within, no_such_item
from stores.sql.acts import record
from stores.sql.pages import by_name
from stores.sql.storage import lock_tenant
from stores.sql.tables import label_set_versions as versions
from stores.sql.tables import label_sets as sets

CHANGED_SINCE = "the label set was changed since you read it; read it again"


class SqlLabelSets:
    """A `LabelSetStore`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def add(self, label_set: LabelSet, latest: int, bounds: LabelSetBounds) -> Sequence[int]:
        tenant_id, name = label_set.tenant_id, label_set.name
        content = msgspec.json.encode(label_set.content)
        evaluation = None if label_set.evaluation is None else msgspec.json.encode(label_set.evaluation)
        size = len(content) + len(evaluation or b"")
        values = {
            "tenant_id": tenant_id,
            "name": name,
            "version": label_set.version,
            "content": content.decode(),
            "bytes": size,
            "created_at": label_set.created_at,
            "evaluation": evaluation and evaluation.decode(),
        }
        async with self._database.transaction() as connection:
            await lock_tenant(connection, tenant_id)
            await _write_name(connection, label_set, latest, bounds)
            removed = await _remove_oldest(connection, tenant_id, name, keep=bounds.max_versions - 1)
            stored = select(func.sum(versions.c.bytes)).where(versions.c.tenant_id == tenant_id)
            if int((await connection.execute(stored)).scalar() or 0) + size > bounds.max_bytes:
                raise Conflict(
                    f"the tenant's label sets would have more than {bounds.max_bytes} bytes; delete one first"
                )
            await connection.execute(insert(versions).values(**values))
            before = {"version": latest} if latest else None
            after = {
                "version": label_set.version,
                "labels": len(label_set.content.labels),
                "sha256": hashlib.sha256(content).hexdigest(),
                "removed_versions": list(removed),
            }
            await record(connection, Act("label_set.put", f"label_set/{name}", tenant_id, before, after))
        return removed

    async def latest(self, tenant_id: str, name: str) -> tuple[int, bool]:
        query = select(sets.c.latest, sets.c.deleted).where(_is(sets, tenant_id, name))
        async with self._database.transaction() as connection:
            row = (await connection.execute(query)).first()
        return (0, False) if row is None else (row.latest, not row.deleted)

    async def get(self, tenant_id: str, name: str, version: int) -> LabelSet | None:
        query = select(versions).where(_is(versions, tenant_id, name), versions.c.version == version)
        async with self._database.transaction() as connection:
            row = (await connection.execute(query)).mappings().first()
        return None if row is None else _label_set(row)

    async def page(self, tenant_id: str, request: PageRequest, name: str | None = None) -> Page[LabelSet]:
        query = select(versions).where(versions.c.tenant_id == tenant_id)
        if name is None:
            newest = and_(
                sets.c.tenant_id == versions.c.tenant_id,
                sets.c.name == versions.c.name,
                sets.c.latest == versions.c.version,
            )
            order = by_name(versions.c.name, self._database)
            query = query.join(sets, newest).order_by(order)
            if request.after is not None:
                query = query.where(order > request.after)
        else:
            query = query.where(versions.c.name == name).order_by(versions.c.version.desc())
            if request.after is not None:
                query = query.where(versions.c.version < _number(request.after))
        async with self._database.transaction() as connection:
            # Contents are read once it is known how many of them are a page.
            sizes = query.with_only_columns(versions.c.bytes).limit(request.limit + 1)
            listed = (await connection.execute(sizes)).scalars().all()
            count = count_within(listed[: request.limit])
            rows = (await connection.execute(query.limit(count))).mappings().all()
        return Page([_label_set(row) for row in rows], len(listed) > len(rows))

    async def remove(self, tenant_id: str, name: str) -> None:
        existing = and_(_is(sets, tenant_id, name), sets.c.deleted.is_(False))
        async with self._database.transaction() as connection:
            if not (await connection.execute(update(sets).where(existing).values(deleted=True))).rowcount:
                raise missing(name)
            await connection.execute(delete(versions).where(_is(versions, tenant_id, name)))
            await record(connection, Act("label_set.delete", f"label_set/{name}", tenant_id))


async def _write_name(
    connection: AsyncConnection, label_set: LabelSet, latest: int, bounds: LabelSetBounds
) -> None:
    """`label_set` as the newest version of its name; `PreconditionFailed` when `latest` is not the newest now."""
    tenant_id, name = label_set.tenant_id, label_set.name
    known = (await connection.execute(select(sets).where(_is(sets, tenant_id, name)))).mappings().first()
    if (0 if known is None else known["latest"]) != latest:
        raise PreconditionFailed(CHANGED_SINCE)
    if known is None or known["deleted"]:
        names = select(func.count()).where(sets.c.tenant_id == tenant_id)
        if (await connection.execute(names.where(sets.c.deleted.is_(False)))).scalar_one() >= bounds.max_sets:
            raise Conflict(f"the tenant has {bounds.max_sets} label sets; delete one first")
        if known is None and (await connection.execute(names)).scalar_one() >= bounds.max_names:
            raise Conflict(f"the tenant has used {bounds.max_names} names; use one of a deleted label set again")
    state = {"latest": label_set.version, "deleted": False}
    if known is None:
        await connection.execute(insert(sets).values(tenant_id=tenant_id, name=name, **state))
    else:
        await connection.execute(update(sets).where(_is(sets, tenant_id, name)).values(**state))


async def _remove_oldest(connection: AsyncConnection, tenant_id: str, name: str, keep: int) -> Sequence[int]:
    """Remove all but the newest `keep` versions; which ones."""
    numbers = select(versions.c.version).where(_is(versions, tenant_id, name)).order_by(versions.c.version.desc())
    removed = sorted((await connection.execute(numbers)).scalars().all()[keep:])
    if removed:
        oldest = and_(_is(versions, tenant_id, name), versions.c.version <= removed[-1])
        await connection.execute(delete(versions).where(oldest))
    return removed


def _number(version: str) -> int:
    if not VERSION.fullmatch(version):
        raise no_such_item()
    return int(version)


def _is(table: Any, tenant_id: str, name: str) -> Any:
    return and_(table.c.tenant_id == tenant_id, table.c.name == name)


def _label_set(row: RowMapping) -> LabelSet:
    content = msgspec.json.decode(row["content"], type=LabelSetContent)
    evaluation = row["evaluation"] and msgspec.json.decode(row["evaluation"], type=Evaluation)
    return LabelSet(row["tenant_id"], row["name"], row["version"], content, row["created_at"], evaluation)
