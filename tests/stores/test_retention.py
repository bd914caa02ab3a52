"""Files and batches past their retention are deleted, but for what an unfinished batch needs."""

from __future__ import annotations

from dataclasses import asdict, replace
from datetime import datetime, timedelta
from functools import partial

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


def _time(expires_at: datetime | None) -> datetime | None:
    return expires_at


async def test_a_file_that_has_expired_is_not_listed_and_goes_unless_it_is_needed(
    database_url: str, acme: Tenant
) -> None:
    clock = FakeClock()
    await migrate(database_url)
    database = Database(database_url)
    stores = sql_stores(database)
    await stores.tenants.add(acme)
    ends = clock.now() + timedelta(hours=1)
    for name, expires_at in (("needed", ends), ("alone", ends), ("lasting", None)):
        file = File(f"file-{name}", "t_1", "a", BATCH_PURPOSE, 0, clock.now())
        kept = await stores.files.add(file, chunks_of(b"x", 1), bounds(clock), partial(_time, expires_at))
        assert kept == await stores.files.get("t_1", file.id)
    batch = Batch("waiting", "t_1", "file-needed", VALIDATING, clock.now(), ends, output_expires_after_s=3_600)
    await stores.batches.add(batch, None, "d", BatchBounds(9, 9))
    assert await stores.batches.get("t_1", "waiting") == batch
    for seconds, listed in ((3_599, 3), (1, 1)):
        clock.advance(seconds)
        assert len((await stores.files.page("t_1", PageRequest(9), clock.now())).items) == listed
    await Retention(database, clock, RETENTION_DAYS).sweep()
    left = {file.id for file in (await stores.files.page("t_1", PageRequest(9))).items}
    assert left == {"file-needed", "file-lasting"}
    await stores.close()


async def test_an_expired_file_makes_room_for_an_upload(database_url: str, acme: Tenant) -> None:
    clock = FakeClock()
    await migrate(database_url)
    stores = sql_stores(Database(database_url))
    await stores.tenants.add(acme)
    ends = clock.now() + timedelta(hours=1)
    file = File("file-1", "t_1", "a", BATCH_PURPOSE, 0, clock.now())
    await stores.files.add(file, chunks_of(b"x" * 900, 900), bounds(clock), lambda: ends)
    clock.advance(3_600)
    await stores.files.add(
        replace(file, id="file-2", created_at=clock.now()), chunks_of(b"x" * 900, 900), bounds(clock)
    )
    assert await stores.files.get("t_1", "file-1") is None
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
