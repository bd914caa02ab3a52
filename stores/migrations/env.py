"""Alembic's entry: runs the revisions on the connection that `stores.database.migrate` opened."""

from __future__ import annotations

from alembic import context
from alembic.runtime.migration import MigrationContext
from sqlalchemy import inspect

from stores.audit import Act
from stores.sql.acts import append
from stores.sql.tables import audit_log, metadata

connection = context.config.attributes["connection"]
before = MigrationContext.configure(connection).get_current_revision()
context.configure(connection=connection, target_metadata=metadata)
with context.begin_transaction():
    context.run_migrations()
    after = MigrationContext.configure(connection).get_current_revision()
    if after != before and inspect(connection).has_table(audit_log.name):
        append(connection, Act("database.migrate", "database", None, {"revision": before}, {"revision": after}))
