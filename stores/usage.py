"""What a tenant has used on a day, and a key in a month: the records, and the port of what keeps them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from typing import Protocol

from stores.budgets import Used


@dataclass(frozen=True, slots=True)
class DailyUsage:
    """Answers given to one tenant on one day (UTC), and their pairs."""

    tenant_id: str
    day: date
    requests: int = 0
    pairs_computed: int = 0
    pairs_cached: int = 0
    tokens: int = 0
    """Of the computed pairs, as the engine counted them."""
    label_set: str = ""
    """Of those alone whose labels are from the set with this name; empty: of all, or of no set."""


@dataclass(frozen=True, slots=True)
class KeyUsage:
    """What one key has used in a month (UTC), as budgets count it."""

    key_id: str
    month: date
    """Its first day."""
    used: Used


@dataclass(frozen=True, slots=True)
class LabelSetUsage:
    """What was answered with one label set in some days."""

    label_set: str
    """Its name; it may be deleted by now."""
    requests: int
    pairs_computed: int
    pairs_cached: int
    tokens: int


class UsageStore(Protocol):
    async def add(self, usage: Sequence[DailyUsage], of_keys: Sequence[KeyUsage] = ()) -> None:
        """Added to what is kept, all or nothing; a tenant or a key that does not exist is left out."""
        ...

    async def used(self, tenant_id: str, key_id: str, month: date) -> Used:
        """By the tenant, or by the key where one is given; `month` is its first day."""
        ...

    async def of(self, tenant_id: str, first: date, last: date, label_set: str = "") -> Sequence[DailyUsage]:
        """By day, without the days on which nothing was used; of one label set where it is given."""
        ...

    async def by_label_set(
        self, tenant_id: str, first: date, last: date, limit: int, label_set: str = ""
    ) -> Sequence[LabelSetUsage]:
        """The sums of the `limit` label sets with the most computed pairs, these first; or of this one."""
        ...
