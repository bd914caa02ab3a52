"""The revision of a database, and whether this release works with it.

Each revision from 0012 on declares `compatible_with`: the oldest revision whose release still works after it.
So what a release reads or writes is removed by the release after the next, at the earliest.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import sqlalchemy as sa
from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection

MIGRATIONS = Path(__file__).parent / "migrations"
COMPATIBILITY = sa.table("schema_compatibility", sa.column("revision", sa.String))
"""One row: the oldest revision whose release works with the database."""


@dataclass(frozen=True, slots=True)
class Revision:
    """Of a database, as this release sees it."""

    current: str | None
    """None: nobody has migrated it."""
    newest: str
    """The one that this release needs."""
    is_newer: bool
    """A newer release has migrated it."""
    is_compatible: bool
    """And this release still works with it."""


def revision_of(connection: Connection) -> Revision:
    current = MigrationContext.configure(connection).get_current_revision()
    scripts = ScriptDirectory(str(MIGRATIONS))
    known = {script.revision for script in scripts.walk_revisions()}
    is_newer = current is not None and current not in known
    is_compatible = is_newer and _compatible_with(connection) in known
    return Revision(current, scripts.get_current_head() or "", is_newer, is_compatible)


def upgrade(connection: Connection) -> None:
    """Apply all revisions that this release knows."""
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    config.attributes["connection"] = connection
    command.upgrade(config, "head")
    scripts = ScriptDirectory(str(MIGRATIONS))
    head = scripts.get_revision(scripts.get_current_head() or "")
    oldest = head.module.compatible_with
    if connection.scalars(sa.select(COMPATIBILITY.c.revision)).all() != [oldest]:
        connection.execute(sa.delete(COMPATIBILITY))
        connection.execute(sa.insert(COMPATIBILITY).values(revision=oldest))


def _compatible_with(connection: Connection) -> str | None:
    if not sa.inspect(connection).has_table(COMPATIBILITY.name):
        return None
    return connection.execute(sa.select(COMPATIBILITY.c.revision)).scalar()
