"""Files and batches past their retention are deleted, but for what an unfinished batch needs."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from stores.batches import COMPLETED, VALIDATING, Batch
from stores.database import Database, migrate
from stores.factory import sql_stores
from stores.files import BATCH_PURPOSE, File
from stores.sql.retention import Retention
from stores.tenants import Tenant
from tests.fakes.chunks import chunks_of
from tests.fakes.clock import FakeClock

RETENTION_DAYS = 30.0


@pytest.mark.parametrize(("days", "kept"), [(29.9, True), (30.1, False)])
async def test_what_is_past_its_retention_goes_unless_it_is_needed(
    days: float, kept: bool, database_url: str, acme: Tenant
) -> None:
    clock = FakeClock()
    await migrate(database_url)
    database = Database(database_url)
    stores = sql_stores(database)
    await stores.tenants.add(acme)
    for name, status in (("done", COMPLETED), ("waiting", VALIDATING)):
        file = File(f"file-{name}", "t_1", "a", BATCH_PURPOSE, 0, clock.now())
        await stores.files.add(file, chunks_of(b"x", 1))
        end = clock.now() + timedelta(days=1)
        await stores.batches.add(Batch(name, "t_1", file.id, status, clock.now(), end), None, "d")
    await stores.files.add(replace(file, id="file-alone"), chunks_of(b"x", 1))
    clock.advance(days * 86_400)
    await Retention(database, clock, RETENTION_DAYS).sweep()
    files = {file.id for file in await stores.files.all("t_1")}
    batches = {batch.id for batch in await stores.batches.all("t_1")}
    assert files == {"file-waiting"} | ({"file-done", "file-alone"} if kept else set())
    assert batches == {"waiting"} | ({"done"} if kept else set())
    assert (await stores.files.chunk("file-done", 0) is not None) is kept
    await stores.close()
