"""Notices that budgets are used up, and delivers the alerts to the webhook, each at least once."""

from __future__ import annotations

import asyncio
import logging
import random
from contextlib import suppress
from datetime import timedelta

import msgspec

from control_plane.worker.webhook import DEADLINE_S, NotDelivered, Webhook
from stores.alerts import AlertStore, BudgetAlert
from stores.budgets import next_month
from stores.clock import Clock
from stores.errors import StoreUnavailable

EVERY_S = 10.0
AT_ONCE = 4
"""Alerts that are claimed and delivered together; the others wait in the database."""
CLAIM_S = 3 * DEADLINE_S
"""After which another worker delivers what one has claimed that died."""
FIRST_PAUSE_S, MAX_PAUSE_S, ATTEMPTS = 5.0, 3_600.0, 30
"""Each pause is twice as long as the one before: about a day in all."""
JITTER = 0.25

log = logging.getLogger(__name__)


class BudgetAlerts:
    """Runs beside the worker; any number may run."""

    def __init__(self, store: AlertStore, webhook: Webhook, clock: Clock) -> None:
        self._store = store
        self._webhook = webhook
        self._clock = clock

    async def keep(self) -> None:
        """Every `EVERY_S`, until cancelled."""
        while True:
            with suppress(StoreUnavailable):
                await self.run_once()
            await asyncio.sleep(EVERY_S)

    async def run_once(self) -> None:
        """Notice what there is, and deliver all that is due."""
        await self._store.notice(self._clock.now())
        while True:
            now = self._clock.now()
            alerts = await self._store.claim(now, now + timedelta(seconds=CLAIM_S), AT_ONCE)
            await asyncio.gather(*(self._deliver(alert) for alert in alerts))
            if len(alerts) < AT_ONCE:
                return

    async def _deliver(self, alert: BudgetAlert) -> None:
        now = self._clock.now()
        try:
            await self._webhook.post(alert.id, int(now.timestamp()), _body(alert))
        except NotDelivered as error:
            is_last = alert.attempts + 1 >= ATTEMPTS
            log.warning("%s is not delivered%s: %s", alert.id, " and given up" if is_last else "", error)
            pause_s = min(FIRST_PAUSE_S * 2**alert.attempts, MAX_PAUSE_S) * random.uniform(1, 1 + JITTER)  # noqa: S311
            await self._store.failed(alert, None if is_last else now + timedelta(seconds=pause_s))
        else:
            await self._store.delivered(alert)


def _body(alert: BudgetAlert) -> bytes:
    return msgspec.json.encode(
        {
            "type": f"budget.{alert.kind}",
            "timestamp": alert.created_at,
            "data": {
                "tenant_id": alert.tenant_id,
                "key_id": alert.key_id or None,
                "resource": alert.resource,
                "percent": alert.percent,
                "limit": alert.limit,
                "used": alert.used,
                "enforcement": alert.enforcement,
                "renewed_at": next_month(alert.month),
            },
        }
    )
