"""Budgets: what a tenant or a key may use in a calendar month (UTC), and what is used of it."""

from __future__ import annotations

from datetime import UTC, date, datetime
from typing import Annotated, Literal

from msgspec import Meta, Struct

MAX_BUDGET = 10**14
Amount = Annotated[int, Meta(ge=1, le=MAX_BUDGET)]
Enforcement = Literal["hard", "soft", "shadow"]
HARD, SOFT, SHADOW = "hard", "soft", "shadow"
Resource = Literal["pairs", "tokens"]
TOLD_SHARE = 0.8
"""From this share on, answers and alerts say how much of a budget is used."""


class Budget(Struct, frozen=True, forbid_unknown_fields=True):
    """What may be used in a calendar month (UTC); null: unlimited."""

    pairs_per_month: Amount | None = None
    """Computed pairs; cached ones are free."""
    tokens_per_month: Amount | None = None
    """Of computed pairs."""
    enforcement: Enforcement = "hard"
    """`hard` refuses what exceeds it, `soft` tells the caller, `shadow` only counts."""


NO_BUDGET = Budget()


class Used(Struct, frozen=True):
    """In a month so far, or by one request."""

    pairs: int = 0
    tokens: int = 0

    def __sub__(self, other: Used) -> Used:
        return Used(self.pairs - other.pairs, self.tokens - other.tokens)

    def of(self, resource: Resource) -> int:
        return self.pairs if resource == "pairs" else self.tokens


class Limit(Struct, frozen=True):
    """One number of a budget, and whose it is."""

    tenant_id: str
    key_id: str
    """Empty: the tenant's own."""
    resource: Resource
    amount: int
    enforcement: Enforcement

    @property
    def owner(self) -> Literal["tenant", "key"]:
        return "key" if self.key_id else "tenant"

    def level(self, month: date) -> str:
        """The name under which its use is counted."""
        return f"{self.tenant_id}:{self.key_id}:{self.resource}:{month:%Y-%m}"


class BudgetStatus(Struct, frozen=True):
    """What is used of a limit."""

    owner: Literal["tenant", "key"]
    resource: Resource
    limit: int
    used: int
    renewed_at: datetime

    @property
    def header(self) -> bytes:
        """An item of a structured field (RFC 9651)."""
        return (
            f"{self.owner}-{self.resource};limit={self.limit};used={self.used};"
            f'renewed="{self.renewed_at:%Y-%m-%dT%H:%M:%SZ}"'
        ).encode()


def limits_of(tenant_id: str, budget: Budget, key_id: str = "") -> tuple[Limit, ...]:
    """Without what is unlimited."""
    amounts: tuple[tuple[Resource, int | None], ...] = (
        ("pairs", budget.pairs_per_month),
        ("tokens", budget.tokens_per_month),
    )
    return tuple(
        Limit(tenant_id, key_id, resource, amount, budget.enforcement)
        for resource, amount in amounts
        if amount is not None
    )


def month_of(time: datetime) -> date:
    """The first day of its month, in UTC."""
    return time.astimezone(UTC).date().replace(day=1)


def next_month(month: date) -> datetime:
    """When the budgets of `month` are renewed."""
    year, number = divmod(month.year * 12 + month.month, 12)
    return datetime(year, number + 1, 1, tzinfo=UTC)
