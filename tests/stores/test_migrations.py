"""What a migration does to the data of the release before."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest
from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory
from sqlalchemy import create_engine, event, text

from stores.database import Database, migrate
from stores.factory import sql_stores
from stores.revisions import MIGRATIONS, revision_of, upgrade
from stores.tenants import ACTIVE, Quota, Tenant


def test_keys_keep_files_and_batches_and_tenants_the_models_special_tokens(tmp_path: Path) -> None:
    engine = create_engine(f"sqlite:///{tmp_path}/old.db")
    scopes = {"all": "classify label_sets:read", "reads": "label_sets:read usage:read", "none": ""}
    now = datetime(2030, 1, 1, tzinfo=UTC).isoformat(" ")
    with engine.begin() as connection:
        config = Config()
        config.set_main_option("script_location", str(MIGRATIONS))
        config.attributes["connection"] = connection
        command.upgrade(config, "0008")
        connection.execute(
            text("INSERT INTO tenants (id, name, status, created_at) VALUES ('t', 't', 'active', :now)"),
            {"now": now},
        )
        for key_id, given in scopes.items():
            connection.execute(
                text(
                    "INSERT INTO keys (id, tenant_id, digest, scopes, created_at) "
                    "VALUES (:id, 't', 'd', :scopes, :now)"
                ),
                {"id": key_id, "scopes": given, "now": now},
            )
        command.upgrade(config, "head")
        rows = connection.execute(text("SELECT id, scopes FROM keys")).all()
        special_tokens = connection.execute(text("SELECT special_tokens FROM tenants")).scalars().all()
    engine.dispose()
    assert {row[0]: row[1] for row in rows} == scopes | {"all": f"{scopes['all']} batches:read batches:write"}
    assert special_tokens == ["model"]


async def test_a_release_works_with_a_database_that_the_next_one_has_expanded(
    database_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    """So that `helm rollback`, and restarts during an upgrade, work. Migrating it again changes nothing."""
    await migrate(database_url)
    database = Database(database_url)
    async with database.transaction() as connection:
        known = await connection.run_sync(revision_of)
        await connection.execute(text("ALTER TABLE tenants ADD COLUMN of_the_next_release VARCHAR(8)"))
        await connection.execute(text("UPDATE alembic_version SET version_num = 'next'"))
        await connection.execute(
            text("UPDATE schema_compatibility SET revision = :known"), {"known": known.newest}
        )
    await migrate(database_url)
    await database.prepare()
    assert "at revision next of a newer release, with which this one works" in caplog.text
    async with database.transaction() as connection:
        assert await connection.scalar(text("SELECT version_num FROM alembic_version")) == "next"
    stores = sql_stores(database)
    await stores.tenants.add(Tenant("t_1", "acme", ACTIVE, datetime(2030, 1, 1, tzinfo=UTC), Quota()))
    assert await stores.tenants.get("t_1") is not None
    await stores.close()


def test_a_database_of_this_release_is_left_as_it_is(tmp_path: Path) -> None:
    """Most runs of `migrate` have nothing to do, and write nothing."""
    engine = create_engine(f"sqlite:///{tmp_path}/new.db")
    written: list[str] = []
    with engine.begin() as connection:
        upgrade(connection)
    event.listen(engine, "before_cursor_execute", lambda *told: written.append(told[2]))
    with engine.begin() as connection:
        upgrade(connection)
    engine.dispose()
    assert written
    assert [statement for statement in written if not statement.startswith(("SELECT", "PRAGMA"))] == []


def test_every_revision_says_which_releases_still_work() -> None:
    """A revision may only require what the one before it, or a later one, has."""
    scripts = ScriptDirectory(str(MIGRATIONS))
    newest_first = [script.revision for script in scripts.walk_revisions()]
    for script in scripts.walk_revisions():
        if script.revision >= "0012":
            oldest = script.module.compatible_with
            assert oldest in newest_first[newest_first.index(script.revision) + 1 :], script.revision
