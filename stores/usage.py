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


@dataclass(frozen=True, slots=True)
class KeyUsage:
    """What one key has used in a month (UTC), as budgets count it."""

    key_id: str
    month: date
    """Its first day."""
    used: Used


class UsageStore(Protocol):
    async def add(self, usage: Sequence[DailyUsage], of_keys: Sequence[KeyUsage] = ()) -> None:
        """Added to what is kept, all or nothing; a tenant or a key that does not exist is left out."""
        ...

    async def used(self, tenant_id: str, key_id: str, month: date) -> Used:
        """By the tenant, or by the key where one is given; `month` is its first day."""
        ...

    async def of(self, tenant_id: str, first: date, last: date) -> Sequence[DailyUsage]:
        """By day, without the days on which nothing was used."""
        ...
