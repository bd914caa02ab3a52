"""Usage reports: by day, summed with their price, and of this month as budgets count it."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime, timedelta
from decimal import Decimal

from msgspec import Struct

from stores.budgets import Used, month_of, next_month
from stores.clock import Clock
from stores.errors import InvalidRequest
from stores.usage import DailyUsage, LabelSetUsage, UsageStore

DEFAULT_DAYS, MAX_DAYS = 30, 400
MAX_LABEL_SETS = 100
"""Of one report: those with the most computed pairs."""


MILLION = 1_000_000


class Price(Struct, frozen=True):
    """Of tokens of computed pairs."""

    per_million_tokens: Decimal
    currency: str

    def cost(self, tokens: int) -> Decimal:
        return self.per_million_tokens * tokens / MILLION


def price_of(per_million_tokens: float, currency: str) -> Price | None:
    """By its shortest digits: 0.1 is meant, and not the binary number next to it; 0: there is none."""
    return Price(Decimal(repr(per_million_tokens)), currency) if per_million_tokens else None


class UsageReports:
    """`price`: None where nothing is charged."""

    def __init__(self, store: UsageStore, clock: Clock, price: Price | None = None) -> None:
        self._store = store
        self._clock = clock
        self.price = price

    async def this_month(self, tenant_id: str, key_id: str = "") -> tuple[Used, datetime]:
        """What the tenant or one of its keys has used, and when budgets are renewed."""
        month = month_of(self._clock.now())
        return await self._store.used(tenant_id, key_id, month), next_month(month)

    async def of(
        self, tenant_id: str, first: date | None, last: date | None, label_set: str = ""
    ) -> Sequence[DailyUsage]:
        """From `first` to `last`, by default the last `DEFAULT_DAYS` days; gateways store it every few seconds.

        `label_set`: with this one alone.
        """
        return await self._store.of(tenant_id, *self._days(first, last), label_set)

    async def by_label_set(
        self, tenant_id: str, first: date | None, last: date | None, label_set: str = ""
    ) -> Sequence[LabelSetUsage]:
        """As `of`: the sums of its label sets, or of this one."""
        return await self._store.by_label_set(tenant_id, *self._days(first, last), MAX_LABEL_SETS, label_set)

    def _days(self, first: date | None, last: date | None) -> tuple[date, date]:
        last = last or self._clock.now().date()
        first = first or last - min(timedelta(days=DEFAULT_DAYS - 1), last - date.min)
        if not 0 <= (last - first).days < MAX_DAYS:
            raise InvalidRequest(f"must be 0 to {MAX_DAYS - 1} days before the last day", field="from")
        return first, last
