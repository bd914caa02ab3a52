"""Usage by tenant and day in SQL."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from datetime import date

from sqlalchemy import select
from sqlalchemy.dialects import postgresql, sqlite

from stores.database import Database
from stores.sql.tables import tenants, usage
from stores.usage import DailyUsage

COUNTS = ("requests", "pairs_computed", "pairs_cached", "tokens")


class SqlUsage:
    """A `UsageStore`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def add(self, daily: Sequence[DailyUsage]) -> None:
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

    async def of(self, tenant_id: str, first: date, last: date) -> Sequence[DailyUsage]:
        query = select(usage).where(usage.c.tenant_id == tenant_id, usage.c.day.between(first, last))
        async with self._database.transaction() as connection:
            rows = await connection.execute(query.order_by(usage.c.day))
            return [DailyUsage(**row) for row in rows.mappings()]
