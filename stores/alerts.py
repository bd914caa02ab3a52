"""Alerts of budgets: that a share of one is used, or that it refuses; and the port of what keeps them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Literal, Protocol

from stores.budgets import Limit

ALERT_PERCENT = (80, 100)
AlertKind = Literal["reached", "refused"]
REACHED: AlertKind = "reached"
REFUSED: AlertKind = "refused"


@dataclass(frozen=True, slots=True)
class BudgetAlert:
    """That `percent` of a limit is used, or that it refuses; one of each limit, share or refusal, and month."""

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
    kind: AlertKind = REACHED


class AlertStore(Protocol):
    async def notice(self, now: datetime) -> None:
        """Add an alert for each share of a limit that is used by now, unless there is one."""
        ...

    async def refused(self, limit: Limit, month: date, used: int, now: datetime) -> None:
        """Add an alert that a hard limit leaves too little for a request, unless there is one."""
        ...

    async def claim(self, now: datetime, until: datetime, most: int) -> Sequence[BudgetAlert]:
        """Those to be delivered now; nobody else gets them before `until`."""
        ...

    async def delivered(self, alert: BudgetAlert) -> None: ...

    async def failed(self, alert: BudgetAlert, due_at: datetime | None) -> None:
        """Deliver it at `due_at`; None: never, it was tried often enough."""
        ...
