"""Drops files and batches that are older than they are kept. Decides nothing else."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from datetime import timedelta

from sqlalchemy import and_, delete, exists

from gateway.batches import ACTIVE
from gateway.clock import Clock
from gateway.errors import StoreUnavailable
from gateway.settings import Settings
from gateway.stores.database import Database
from gateway.stores.tables import batches, files

EVERY_S = 3_600.0


class Housekeeping:
    """Runs beside the worker; any number may."""

    def __init__(self, database: Database, clock: Clock, settings: Settings) -> None:
        self._database = database
        self._clock = clock
        self._keep_days = settings.bulk_keep_days

    async def keep(self) -> None:
        """Sweep every `EVERY_S`, until cancelled."""
        while True:
            with suppress(StoreUnavailable):
                await self.sweep()
            await asyncio.sleep(EVERY_S)

    async def sweep(self) -> None:
        oldest = self._clock.now() - timedelta(days=self._keep_days)
        needed = exists().where(batches.c.input_file_id == files.c.id, batches.c.status.in_(ACTIVE))
        done = and_(batches.c.created_at < oldest, batches.c.status.not_in(ACTIVE))
        async with self._database.transaction() as connection:
            await connection.execute(delete(batches).where(done))
            await connection.execute(delete(files).where(files.c.created_at < oldest, ~needed))
