"""What a migration does to the data of the release before."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

from alembic import command
from alembic.config import Config
from sqlalchemy import create_engine, text

from stores.database import MIGRATIONS


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
