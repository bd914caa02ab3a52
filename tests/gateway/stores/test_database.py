from __future__ import annotations

import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import Connection

from gateway.errors import StoreUnavailable
from gateway.stores.database import Database, DatabaseError, migrate
from gateway.stores.tables import metadata
from gateway.stores.tenants import SqlTenants
from tests.gateway.stores.conftest import new_database
from tests.gateway.stores.test_tenants import ACME

ROOT = Path(__file__).parents[3]


def differences(connection: Connection) -> list[object]:
    return list(compare_metadata(MigrationContext.configure(connection), metadata))


@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
async def test_the_migrations_make_the_tables_that_the_code_knows(
    kind: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    url = f"sqlite:///{tmp_path}/new.db"
    if kind == "postgresql":
        url = await new_database(request.getfixturevalue("postgresql"))
    await migrate(url)
    await migrate(url)
    database = Database(url)
    async with database.transaction() as connection:
        assert await connection.run_sync(differences) == []
    await database.close()


async def test_a_postgresql_that_nobody_migrated_is_refused_with_the_way_out(postgresql: str) -> None:
    """Many gateways share it: one job migrates, not each of them."""
    database = Database(await new_database(postgresql))
    with pytest.raises(DatabaseError, match=r"at revision none, .* `python -m gateway\.stores`"):
        await database.prepare()
    await database.close()


async def test_a_database_that_is_gone_is_unavailable() -> None:
    database = Database("postgresql://nobody:secret@127.0.0.1:1/none")
    with pytest.raises(StoreUnavailable) as refusal:
        await SqlTenants(database).all()
    assert "secret" not in str(refusal.value)
    await database.close()


@pytest.mark.parametrize("url", ["mysql://a:secret@b/c", "nonsense", "sqlite"])
def test_a_url_of_another_kind_is_refused_without_its_password(url: str) -> None:
    with pytest.raises(DatabaseError, match="must begin with sqlite:/// or postgresql://") as refusal:
        Database(url)
    assert "secret" not in str(refusal.value)


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(DatabaseError, match=r"file/wanneng\.db cannot be made: "):
        Database(f"sqlite:///{tmp_path}/file/wanneng.db")


WRITER = """
import asyncio, sys
from gateway.stores.database import Database
from gateway.stores.tenants import SqlTenants
from gateway.tenants import Tenant, ACTIVE
from datetime import datetime, UTC

async def main():
    database = Database(sys.argv[1])
    await database.prepare()
    for place in range(10_000):
        await SqlTenants(database).add(Tenant(f"t_{place}", f"name {place}", ACTIVE, datetime.now(UTC)))
        print(place, flush=True)

asyncio.run(main())
"""


async def test_what_was_acknowledged_survives_a_kill(tmp_path: Path) -> None:
    """A process is killed while it writes; whatever it had said is there afterwards."""
    url = f"sqlite:///{tmp_path}/killed.db"
    writer = subprocess.Popen(
        [sys.executable, "-c", WRITER, url], cwd=ROOT, stdout=subprocess.PIPE, text=True, env=dict(os.environ)
    )
    assert writer.stdout is not None
    said = [int(writer.stdout.readline()) for _ in range(50)]
    writer.send_signal(signal.SIGKILL)
    said += [int(line) for line in writer.stdout.read().split()]
    writer.wait()
    writer.stdout.close()
    database = Database(url)
    await database.prepare()
    kept = {tenant.id for tenant in await SqlTenants(database).all()}
    await SqlTenants(database).add(replace(ACME, id="new"))
    await database.close()
    assert {f"t_{place}" for place in said} <= kept
    assert len(kept) - len(said) <= 1
