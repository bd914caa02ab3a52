"""Deletes files, batches and administrative acts past their retention, expired files, and uploads given up."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from datetime import timedelta

from sqlalchemy import and_, or_

from stores.batches import UNFINISHED
from stores.clock import Clock
from stores.database import Database
from stores.errors import StoreUnavailable
from stores.files import BATCH_PURPOSE
from stores.sql.audit import SqlAuditLog
from stores.sql.deletion import delete_in_parts
from stores.sql.storage import NEEDED
from stores.sql.tables import batches, files

EVERY_S = 3_600.0


class Retention:
    """Runs beside the worker; any number may run."""

    def __init__(
        self, database: Database, clock: Clock, retention_days: float, audit_retention_days: float = 0.0
    ) -> None:
        """`audit_retention_days`: 0 keeps all acts."""
        self._database = database
        self._audit_log = SqlAuditLog(database)
        self._audit_retention_days = audit_retention_days
        self._clock = clock
        self._retention_days = retention_days

    async def keep(self) -> None:
        """Sweep every `EVERY_S`, until cancelled."""
        while True:
            with suppress(StoreUnavailable):
                await self.sweep()
            await asyncio.sleep(EVERY_S)

    async def sweep(self) -> None:
        now = self._clock.now()
        oldest = now - timedelta(days=self._retention_days)
        done = and_(batches.c.created_at < oldest, batches.c.status.not_in(UNFINISHED))
        given_up = and_(files.c.purpose == BATCH_PURPOSE, files.c.lease_until < now)
        ended = or_(files.c.created_at < oldest, files.c.expires_at <= now)
        await delete_in_parts(self._database, batches, done)
        await delete_in_parts(self._database, files, or_(and_(ended, ~NEEDED), given_up))
        if self._audit_retention_days:
            oldest = now - timedelta(days=self._audit_retention_days)
            # By whole days: each time that some are removed adds a record.
            await self._audit_log.prune(oldest.replace(hour=0, minute=0, second=0, microsecond=0))
