"""Alembic's entry: runs the revisions on the connection that `stores.database.migrate` opened."""

from __future__ import annotations

from alembic import context

from stores.sql.tables import metadata

context.configure(connection=context.config.attributes["connection"], target_metadata=metadata)
with context.begin_transaction():
    context.run_migrations()
