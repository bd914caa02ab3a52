"""What a tenant has used on a day: the record, and the port of what keeps it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from typing import Protocol


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


class UsageStore(Protocol):
    async def add(self, usage: Sequence[DailyUsage]) -> None:
        """Added to what is kept, all or nothing; a tenant that does not exist is left out."""
        ...

    async def of(self, tenant_id: str, first: date, last: date) -> Sequence[DailyUsage]:
        """By day, without the days on which nothing was used."""
        ...
