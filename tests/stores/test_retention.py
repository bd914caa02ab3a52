"""Files and batches past their retention are deleted, but for what an unfinished batch needs."""

from __future__ import annotations

from dataclasses import asdict, replace
from datetime import timedelta

import pytest
from sqlalchemy import insert, select

from stores.batches import COMPLETED, VALIDATING, Batch, BatchBounds
from stores.database import Database, migrate
from stores.factory import sql_stores
from stores.files import BATCH_PURPOSE, File, UploadBounds
from stores.paging import PageRequest
from stores.sql.retention import Retention
from stores.sql.tables import files
from stores.tenants import Tenant
from tests.fakes.chunks import chunks_of
from tests.fakes.clock import FakeClock

RETENTION_DAYS = 30.0


def bounds(clock: FakeClock) -> UploadBounds:
    return UploadBounds(1_000, 9, 9, clock.now() + timedelta(seconds=60))


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
        await stores.files.add(file, chunks_of(b"x", 1), bounds(clock))
        end = clock.now() + timedelta(days=1)
        await stores.batches.add(
            Batch(name, "t_1", file.id, status, clock.now(), end), None, "d", BatchBounds(9, 9)
        )
    await stores.files.add(replace(file, id="file-alone"), chunks_of(b"x", 1), bounds(clock))
    clock.advance(days * 86_400)
    await Retention(database, clock, RETENTION_DAYS).sweep()
    kept_files = {file.id for file in (await stores.files.page("t_1", PageRequest(9))).items}
    kept_batches = {batch.id for batch in (await stores.batches.page("t_1", PageRequest(9))).items}
    assert kept_files == {"file-waiting"} | ({"file-done", "file-alone"} if kept else set())
    assert kept_batches == {"waiting"} | ({"done"} if kept else set())
    assert (await stores.files.chunk("file-done", 0) is not None) is kept
    await stores.close()


async def test_an_upload_that_was_given_up_goes_with_what_it_had_reserved(database_url: str, acme: Tenant) -> None:
    """As after a kill: nobody is there to remove it."""
    clock = FakeClock()
    await migrate(database_url)
    database = Database(database_url)
    stores = sql_stores(database)
    await stores.tenants.add(acme)
    for name, seconds in (("given-up", -1), ("under-way", 1)):
        row = asdict(File(name, "t_1", "a", BATCH_PURPOSE, 500, clock.now()))
        async with database.transaction() as connection:
            lease = {"lease_until": clock.now() + timedelta(seconds=seconds)}
            await connection.execute(insert(files).values(**row, **lease))
    await Retention(database, clock, RETENTION_DAYS).sweep()
    async with database.transaction() as connection:
        assert (await connection.execute(select(files.c.id))).scalars().all() == ["under-way"]
    await stores.close()
