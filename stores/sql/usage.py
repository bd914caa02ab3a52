"""Usage by tenant and day, and by key and month, in SQL."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from datetime import date, timedelta

from sqlalchemy import func, select
from sqlalchemy.dialects import postgresql, sqlite

from stores.budgets import Used, next_month
from stores.database import Database
from stores.sql.tables import key_usage, keys, tenants, usage
from stores.usage import DailyUsage, KeyUsage

COUNTS = ("requests", "pairs_computed", "pairs_cached", "tokens")


class SqlUsage:
    """A `UsageStore`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def add(self, daily: Sequence[DailyUsage], of_keys: Sequence[KeyUsage] = ()) -> None:
        insert = sqlite.insert if self._database.is_local else postgresql.insert
        async with self._database.transaction() as connection:
            existing = set((await connection.execute(select(tenants.c.id))).scalars())
            # In one order everywhere: two gateways would otherwise wait for each other's rows.
            for use in sorted(daily, key=lambda day: (day.tenant_id, day.day)):
                if use.tenant_id not in existing:
                    continue
                new = insert(usage).values(**asdict(use))
                sums = {name: usage.c[name] + new.excluded[name] for name in COUNTS}
                await connection.execute(new.on_conflict_do_update(index_elements=["tenant_id", "day"], set_=sums))
            ids = {use.key_id for use in of_keys}
            known = (
                set((await connection.execute(select(keys.c.id).where(keys.c.id.in_(ids)))).scalars())
                if ids
                else ids
            )
            for of_key in sorted(of_keys, key=lambda use: (use.key_id, use.month)):
                if of_key.key_id not in known:
                    continue
                used = {"pairs": of_key.used.pairs, "tokens": of_key.used.tokens}
                new = insert(key_usage).values(key_id=of_key.key_id, month=of_key.month, **used)
                sums = {name: key_usage.c[name] + new.excluded[name] for name in used}
                await connection.execute(new.on_conflict_do_update(index_elements=["key_id", "month"], set_=sums))

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

    async def of(self, tenant_id: str, first: date, last: date) -> Sequence[DailyUsage]:
        query = select(usage).where(usage.c.tenant_id == tenant_id, usage.c.day.between(first, last))
        async with self._database.transaction() as connection:
            rows = await connection.execute(query.order_by(usage.c.day))
            return [DailyUsage(**row) for row in rows.mappings()]
