"""Alerts of budgets in SQL: noticed by comparing sums with limits, and claimed by one worker at a time."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from contextlib import suppress
from datetime import date, datetime, timedelta
from typing import Any

from sqlalchemy import RowMapping, Select, and_, delete, func, literal, or_, select, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection

from stores.alerts import ALERT_PERCENT, REACHED, REFUSED, AlertKind, BudgetAlert
from stores.budgets import SHADOW, Budget, Limit, limits_of, month_of, next_month
from stores.database import Database
from stores.sql.tables import budget_alerts, key_usage, keys, tenants, usage

KEPT = timedelta(days=40)
"""Alerts of months that ended longer ago are forgotten."""


class SqlAlerts:
    """An `AlertStore`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def notice(self, now: datetime) -> None:
        month = month_of(now)
        async with self._database.transaction() as connection:
            await connection.execute(delete(budget_alerts).where(budget_alerts.c.month < month_of(now - KEPT)))
            found = [
                row
                for query in (_of_tenants(month), _of_keys(month))
                for row in (await connection.execute(query)).mappings()
            ]
            known = select(budget_alerts.c.id).where(budget_alerts.c.month == month)
            ids = set((await connection.execute(known)).scalars()) if found else set()
            for values in (values for row in found for values in _alerts(row, month, now)):
                if values["id"] not in ids:
                    await self._add(connection, values)

    async def refused(self, limit: Limit, month: date, used: int, now: datetime) -> None:
        async with self._database.transaction() as connection:
            await self._add(connection, _values(limit, month, used * 100 // limit.amount, used, now, REFUSED))

    async def _add(self, connection: AsyncConnection, values: dict[str, Any]) -> None:
        """Unless there is one, or its tenant was deleted meanwhile."""
        insert = sqlite.insert if self._database.is_local else postgresql.insert
        with suppress(IntegrityError):
            async with connection.begin_nested():
                await connection.execute(insert(budget_alerts).values(**values).on_conflict_do_nothing())

    async def claim(self, now: datetime, until: datetime, most: int) -> Sequence[BudgetAlert]:
        due = (
            select(budget_alerts).where(budget_alerts.c.due_at <= now).order_by(budget_alerts.c.due_at).limit(most)
        )
        claimed = []
        async with self._database.transaction() as connection:
            for row in (await connection.execute(due)).mappings().all():
                # Another worker may have been faster.
                mine = (budget_alerts.c.id == row["id"], budget_alerts.c.due_at <= now)
                claim = update(budget_alerts).where(*mine).values(due_at=until)
                if (await connection.execute(claim)).rowcount:
                    claimed.append(_alert(row))
        return claimed

    async def delivered(self, alert: BudgetAlert) -> None:
        await self._update(alert, due_at=None)

    async def failed(self, alert: BudgetAlert, due_at: datetime | None) -> None:
        await self._update(alert, due_at=due_at, attempts=alert.attempts + 1)

    async def _update(self, alert: BudgetAlert, **values: Any) -> None:
        async with self._database.transaction() as connection:
            await connection.execute(update(budget_alerts).where(budget_alerts.c.id == alert.id).values(**values))


def _of_tenants(month: date) -> Select[Any]:
    last = next_month(month).date() - timedelta(days=1)
    columns, limits = (tenants.c.id.label("tenant_id"), literal("").label("key_id")), _limits(tenants)
    pairs, tokens = func.sum(usage.c.pairs_computed), func.sum(usage.c.tokens)
    query = select(*columns, *limits, pairs.label("pairs"), tokens.label("tokens"))
    joined = query.join(usage, usage.c.tenant_id == tenants.c.id).where(usage.c.day.between(month, last))
    return (
        joined.where(_is_told(tenants)).group_by(tenants.c.id, *limits).having(_is_reached(tenants, pairs, tokens))
    )


def _of_keys(month: date) -> Select[Any]:
    columns, used = (keys.c.tenant_id, keys.c.id.label("key_id")), (key_usage.c.pairs, key_usage.c.tokens)
    joined = select(*columns, *_limits(keys), *used).join(key_usage, key_usage.c.key_id == keys.c.id)
    return joined.where(key_usage.c.month == month, _is_told(keys), _is_reached(keys, *used))


def _limits(table: Any) -> tuple[Any, ...]:
    return table.c.pairs_per_month, table.c.tokens_per_month, table.c.enforcement


def _is_told(table: Any) -> Any:
    """Whether there is a limit that callers or the operator are told of."""
    limited = or_(table.c.pairs_per_month.is_not(None), table.c.tokens_per_month.is_not(None))
    return and_(table.c.enforcement != SHADOW, limited)


def _is_reached(table: Any, pairs: Any, tokens: Any) -> Any:
    """Whether the smallest share that there is an alert of is used of a limit."""
    least = min(ALERT_PERCENT)
    return or_(pairs * 100 >= table.c.pairs_per_month * least, tokens * 100 >= table.c.tokens_per_month * least)


def _alerts(row: RowMapping, month: date, now: datetime) -> Sequence[dict[str, Any]]:
    budget = Budget(row["pairs_per_month"], row["tokens_per_month"], row["enforcement"])
    return [
        _values(limit, month, percent, int(row[limit.resource]), now)
        for limit in limits_of(row["tenant_id"], budget, row["key_id"])
        for percent in ALERT_PERCENT
        if int(row[limit.resource]) * 100 >= limit.amount * percent
    ]


def _values(
    limit: Limit, month: date, percent: int, used: int, now: datetime, kind: AlertKind = REACHED
) -> dict[str, Any]:
    # The same whoever notices it, and another one once the limit was changed.
    share = percent if kind == REACHED else kind
    what = (limit.tenant_id, limit.key_id, limit.resource, month.isoformat(), share, limit.amount)
    return {
        "id": f"alert_{hashlib.sha256(repr(what).encode()).hexdigest()[:32]}",
        "tenant_id": limit.tenant_id,
        "key_id": limit.key_id,
        "resource": limit.resource,
        "month": month,
        "percent": percent,
        "amount": limit.amount,
        "used": used,
        "enforcement": limit.enforcement,
        "created_at": now,
        "attempts": 0,
        "due_at": now,
        "kind": kind,
    }


def _alert(row: RowMapping) -> BudgetAlert:
    return BudgetAlert(
        row["id"],
        row["tenant_id"],
        row["key_id"],
        row["resource"],
        row["month"],
        row["percent"],
        row["amount"],
        row["used"],
        row["enforcement"],
        row["created_at"],
        row["attempts"],
        row["kind"],
    )
