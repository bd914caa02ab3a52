"""Alerts of budgets: that a share of one is used, for the operator; and the port of what keeps them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Protocol

from stores.budgets import Limit

ALERT_PERCENT = (80, 100)


@dataclass(frozen=True, slots=True)
class BudgetAlert:
    """That `percent` of a limit is used; there is one of each limit, share and month."""

    id: str
    tenant_id: str
    key_id: str
    """Empty: of the tenant's own budget."""
    resource: str
    month: date
    """Its first day."""
    percent: int
    limit: int
    used: int
    """When it was noticed."""
    enforcement: str
    created_at: datetime
    attempts: int = 0
    """To deliver it, that have failed."""


class AlertStore(Protocol):
    async def notice(self, now: datetime) -> None:
        """Add an alert for each share of a limit that is used by now, unless there is one."""
        ...

    async def refused(self, limit: Limit, month: date, used: int, now: datetime) -> None:
        """Add the last alert of a hard limit that leaves too little for a request, unless there is one."""
        ...

    async def claim(self, now: datetime, until: datetime, most: int) -> Sequence[BudgetAlert]:
        """Those to be delivered now; nobody else gets them before `until`."""
        ...

    async def delivered(self, alert: BudgetAlert) -> None: ...

    async def failed(self, alert: BudgetAlert, due_at: datetime | None) -> None:
        """Deliver it at `due_at`; None: never, it was tried often enough."""
        ...
