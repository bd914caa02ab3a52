"""Usage by tenant and day, by label set and day, and by key and month, in SQL."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import date, timedelta
from typing import Any

from sqlalchemy import Table, func, select
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncConnection

from stores.budgets import Used, next_month
from stores.database import Database
from stores.sql.tables import key_usage, keys, label_set_usage, tenants, usage
from stores.usage import DailyUsage, KeyUsage, LabelSetUsage

Key = tuple[Any, ...]
"""Of a row."""
COUNTS = ("requests", "pairs_computed", "pairs_cached", "tokens")


class SqlUsage:
    """A `UsageStore`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def add(self, daily: Sequence[DailyUsage], of_keys: Sequence[KeyUsage] = ()) -> None:
        async with self._database.transaction() as connection:
            existing = set((await connection.execute(select(tenants.c.id))).scalars())
            kept = [use for use in daily if use.tenant_id in existing]
            of_tenants = _sums(((use.tenant_id, use.day), _counts(use)) for use in kept)
            of_sets = _sums(
                ((use.tenant_id, use.day, use.label_set), _counts(use)) for use in kept if use.label_set
            )
            await self._add(connection, usage, ("tenant_id", "day"), of_tenants)
            await self._add(connection, label_set_usage, ("tenant_id", "day", "label_set"), of_sets)
            ids = {use.key_id for use in of_keys}
            known = (
                set((await connection.execute(select(keys.c.id).where(keys.c.id.in_(ids)))).scalars())
                if ids
                else ids
            )
            used = _sums(
                ((use.key_id, use.month), {"pairs": use.used.pairs, "tokens": use.used.tokens})
                for use in of_keys
                if use.key_id in known
            )
            await self._add(connection, key_usage, ("key_id", "month"), used)

    async def _add(
        self,
        connection: AsyncConnection,
        table: Table,
        index: Sequence[str],
        counts: Mapping[Key, Mapping[str, int]],
    ) -> None:
        """To the rows that have these values in the columns `index`."""
        insert = sqlite.insert if self._database.is_local else postgresql.insert
        # In one order everywhere: two gateways would otherwise wait for each other's rows.
        for key in sorted(counts):
            new = insert(table).values(**dict(zip(index, key, strict=True)), **counts[key])
            sums = {name: table.c[name] + new.excluded[name] for name in counts[key]}
            await connection.execute(new.on_conflict_do_update(index_elements=index, set_=sums))

    async def used(self, tenant_id: str, key_id: str, month: date) -> Used:
        if key_id:
            query = select(key_usage.c.pairs, key_usage.c.tokens).where(
                key_usage.c.key_id == key_id, key_usage.c.month == month
            )
        else:
            last = next_month(month).date() - timedelta(days=1)
            query = select(func.sum(usage.c.pairs_computed), func.sum(usage.c.tokens)).where(
                usage.c.tenant_id == tenant_id, usage.c.day.between(month, last)
            )
        async with self._database.transaction() as connection:
            row = (await connection.execute(query)).first()
        return Used() if row is None else Used(*(int(count or 0) for count in row))

    async def of(self, tenant_id: str, first: date, last: date, label_set: str = "") -> Sequence[DailyUsage]:
        table = label_set_usage if label_set else usage
        query = select(table).where(table.c.tenant_id == tenant_id, table.c.day.between(first, last))
        if label_set:
            query = query.where(label_set_usage.c.label_set == label_set)
        async with self._database.transaction() as connection:
            rows = await connection.execute(query.order_by(table.c.day))
            return [DailyUsage(**row) for row in rows.mappings()]

    async def by_label_set(
        self, tenant_id: str, first: date, last: date, limit: int, label_set: str = ""
    ) -> Sequence[LabelSetUsage]:
        columns = label_set_usage.c
        sums = {name: func.sum(columns[name]) for name in COUNTS}
        query = (
            select(columns.label_set, *(total.label(name) for name, total in sums.items()))
            .where(columns.tenant_id == tenant_id, columns.day.between(first, last))
            .group_by(columns.label_set)
            .order_by(sums["pairs_computed"].desc(), columns.label_set)
            .limit(limit)
        )
        if label_set:
            query = query.where(columns.label_set == label_set)
        async with self._database.transaction() as connection:
            rows = await connection.execute(query)
            return [LabelSetUsage(row.label_set, *(int(getattr(row, name)) for name in COUNTS)) for row in rows]


def _counts(use: DailyUsage) -> Mapping[str, int]:
    return {name: getattr(use, name) for name in COUNTS}


def _sums(counted: Iterable[tuple[Key, Mapping[str, int]]]) -> Mapping[Key, Mapping[str, int]]:
    """Of those with the same key."""
    sums: dict[Key, Counter[str]] = defaultdict(Counter)
    for key, counts in counted:
        sums[key].update(counts)
    return sums
