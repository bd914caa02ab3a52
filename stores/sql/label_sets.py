"""Label sets in SQL."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
from sqlalchemy import RowMapping, and_, delete, insert, select, update
from sqlalchemy.exc import IntegrityError

from stores.database import Database
from stores.errors import NotFound, PreconditionFailed
from stores.label_sets import LabelSet, LabelSetContent
from stores.sql.tables import label_set_versions as versions
from stores.sql.tables import label_sets as sets
from stores.sql.tables import tenants

CHANGED_SINCE = "the label set was changed since you read it; read it again"


class SqlLabelSets:
    """A `LabelSetStore`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def add(self, label_set: LabelSet, latest: int) -> None:
        key = {"tenant_id": label_set.tenant_id, "name": label_set.name}
        state: dict[str, Any] = {"latest": label_set.version, "deleted": False}
        expected = and_(_is(sets, label_set.tenant_id, label_set.name), sets.c.latest == latest)
        values = key | {
            "version": label_set.version,
            "content": msgspec.json.encode(label_set.content).decode(),
            "created_at": label_set.created_at,
        }
        try:
            async with self._database.transaction() as connection:
                if latest == 0:
                    await connection.execute(insert(sets).values(**key, **state))
                elif not (await connection.execute(update(sets).where(expected).values(**state))).rowcount:
                    raise PreconditionFailed(CHANGED_SINCE)
                await connection.execute(insert(versions).values(**values))
        except IntegrityError:
            if not await self._has_tenant(label_set.tenant_id):
                raise NotFound("no such tenant") from None
            raise PreconditionFailed(CHANGED_SINCE) from None

    async def _has_tenant(self, tenant_id: str) -> bool:
        query = select(tenants.c.id).where(tenants.c.id == tenant_id)
        async with self._database.transaction() as connection:
            return (await connection.execute(query)).first() is not None

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

    async def all(self, tenant_id: str, name: str | None = None) -> Sequence[LabelSet]:
        query = select(versions).where(versions.c.tenant_id == tenant_id)
        if name is None:
            newest = and_(
                sets.c.tenant_id == versions.c.tenant_id,
                sets.c.name == versions.c.name,
                sets.c.latest == versions.c.version,
            )
            query = query.join(sets, newest)
        else:
            query = query.where(versions.c.name == name)
        async with self._database.transaction() as connection:
            label_sets = [_label_set(row) for row in (await connection.execute(query)).mappings()]
        return sorted(label_sets, key=lambda label_set: (label_set.name, -label_set.version))

    async def remove(self, tenant_id: str, name: str) -> None:
        existing = and_(_is(sets, tenant_id, name), sets.c.deleted.is_(False))
        async with self._database.transaction() as connection:
            if not (await connection.execute(update(sets).where(existing).values(deleted=True))).rowcount:
                raise NotFound("no such label set")
            await connection.execute(delete(versions).where(_is(versions, tenant_id, name)))


def _is(table: Any, tenant_id: str, name: str) -> Any:
    return and_(table.c.tenant_id == tenant_id, table.c.name == name)


def _label_set(row: RowMapping) -> LabelSet:
    content = msgspec.json.decode(row["content"], type=LabelSetContent)
    return LabelSet(row["tenant_id"], row["name"], row["version"], content, row["created_at"])
