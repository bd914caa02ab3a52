from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Awaitable, Callable
from contextlib import nullcontext
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import Connection, insert, select
from sqlalchemy.exc import IntegrityError

from stores.database import Database, DatabaseError, migrate
from stores.errors import InvalidRequest, StoreUnavailable
from stores.sql.tables import metadata, tenants
from stores.sql.tenants import SqlTenants
from stores.tenants import Quota, Tenant

ROOT = Path(__file__).parents[2]


def differences(connection: Connection) -> list[object]:
    return list(compare_metadata(MigrationContext.configure(connection), metadata))


async def test_the_migrations_make_the_tables_that_the_code_knows(database_url: str) -> None:
    await migrate(database_url)
    await migrate(database_url)
    database = Database(database_url)
    async with database.transaction() as connection:
        assert await connection.run_sync(differences) == []
    await database.close()


async def test_a_postgresql_that_nobody_migrated_is_refused_with_the_way_out(
    new_database: Callable[[], Awaitable[str]],
) -> None:
    """Many processes share it: one job migrates, not each of them."""
    database = Database(await new_database())
    with pytest.raises(DatabaseError, match=r"at revision none, .* `python -m control_plane migrate`"):
        await database.prepare()
    await database.close()


async def test_a_database_that_is_gone_is_unavailable() -> None:
    database = Database("postgresql://nobody:secret@127.0.0.1:1/none")
    with pytest.raises(StoreUnavailable) as refusal:
        await SqlTenants(database).get("t_1")
    assert "secret" not in str(refusal.value)
    await database.close()


async def test_what_a_database_cannot_keep_is_the_callers_error_and_no_outage(
    database_url: str, acme: Tenant
) -> None:
    """No database can keep a lone surrogate, or a number of 81 bits; SQLite alone keeps a NUL."""
    await migrate(database_url)
    database = Database(database_url)
    store = SqlTenants(database)
    with pytest.raises(InvalidRequest):
        await store.get("\ud800")
    late = datetime(9999, 12, 31, 23, tzinfo=timezone(timedelta(hours=-5)))
    for bad in (
        replace(acme, quota=Quota(2**80)),
        replace(acme, name="\ud800"),
        replace(acme, created_at=late),
    ):
        with pytest.raises(InvalidRequest):
            await store.add(bad)
    with nullcontext() if database.is_local else pytest.raises(InvalidRequest):
        assert await store.get("t_1\0") is None
    await store.add(acme)
    await database.close()


async def test_no_value_is_in_an_error_of_the_database(database_url: str, acme: Tenant) -> None:
    """As in the traceback of an error that nobody foresaw."""
    await migrate(database_url)
    database = Database(database_url)
    await SqlTenants(database).add(acme)
    with pytest.raises(IntegrityError) as error:
        async with database.transaction() as connection:
            secret = {"id": "t_1", "name": "secret", "status": "x", "created_at": acme.created_at}
            await connection.execute(insert(tenants).values(**secret))
    assert "secret" not in str(error.value)
    await database.close()


@pytest.mark.parametrize("url", ["mysql://a:secret@b/c", "nonsense", "sqlite"])
def test_a_url_of_another_kind_is_refused_without_its_password(url: str) -> None:
    with pytest.raises(DatabaseError, match="must begin with sqlite:/// or postgresql://") as refusal:
        Database(url)
    assert "secret" not in str(refusal.value)


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(DatabaseError, match=r"file/wanneng\.db cannot be created: "):
        Database(f"sqlite:///{tmp_path}/file/wanneng.db")


async def test_a_file_that_others_could_read_is_its_owners_alone(tmp_path: Path) -> None:
    file = tmp_path / "wanneng.db"
    url = f"sqlite:///{file}"
    await migrate(url)
    for path in tmp_path.glob("wanneng.db*"):
        path.chmod(0o666)
    database = Database(url)
    await database.check()
    modes = {path.name: path.stat().st_mode & 0o777 for path in tmp_path.iterdir()}
    await database.close()
    assert set(modes.values()) == {0o600}, modes


WRITER = """
import asyncio, sys
from datetime import UTC, datetime
from stores.database import Database
from stores.sql.tenants import SqlTenants
from stores.tenants import ACTIVE, Tenant

async def main():
    database = Database(sys.argv[1])
    await database.prepare()
    for number in range(10_000):
        await SqlTenants(database).add(Tenant(f"t_{number}", f"name {number}", ACTIVE, datetime.now(UTC)))
        print(number, flush=True)

asyncio.run(main())
"""


async def test_what_was_acknowledged_survives_a_kill(tmp_path: Path, acme: Tenant) -> None:
    """A process is killed while it writes; whatever it had acknowledged is there afterwards."""
    url = f"sqlite:///{tmp_path}/killed.db"
    writer = subprocess.Popen(
        [sys.executable, "-c", WRITER, url], cwd=ROOT, stdout=subprocess.PIPE, text=True, env=dict(os.environ)
    )
    assert writer.stdout is not None
    acknowledged = [int(writer.stdout.readline()) for _ in range(50)]
    writer.send_signal(signal.SIGKILL)
    acknowledged += [int(line) for line in writer.stdout.read().split()]
    writer.wait()
    writer.stdout.close()
    database = Database(url)
    await database.prepare()
    async with database.transaction() as connection:
        kept = set((await connection.execute(select(tenants.c.id))).scalars())
    await SqlTenants(database).add(replace(acme, id="new"))
    await database.close()
    assert {f"t_{number}" for number in acknowledged} <= kept
    assert len(kept) - len(acknowledged) <= 1
