"""Deletes files and batches past their retention."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from datetime import timedelta

from sqlalchemy import and_, delete, exists

from stores.batches import UNFINISHED
from stores.clock import Clock
from stores.database import Database
from stores.errors import StoreUnavailable
from stores.sql.tables import batches, files

EVERY_S = 3_600.0


class Retention:
    """Runs beside the worker; any number may run."""

    def __init__(self, database: Database, clock: Clock, retention_days: float) -> None:
        self._database = database
        self._clock = clock
        self._retention_days = retention_days

    async def keep(self) -> None:
        """Sweep every `EVERY_S`, until cancelled."""
        while True:
            with suppress(StoreUnavailable):
                await self.sweep()
            await asyncio.sleep(EVERY_S)

    async def sweep(self) -> None:
        oldest = self._clock.now() - timedelta(days=self._retention_days)
        needed = exists().where(batches.c.input_file_id == files.c.id, batches.c.status.in_(UNFINISHED))
        done = and_(batches.c.created_at < oldest, batches.c.status.not_in(UNFINISHED))
        async with self._database.transaction() as connection:
            await connection.execute(delete(batches).where(done))
            await connection.execute(delete(files).where(files.c.created_at < oldest, ~needed))
