"""Files and batches have scopes of their own; keys that could classify keep them."""

from __future__ import annotations

from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None

ADDED = " batches:read batches:write"


def upgrade() -> None:
    op.execute(
        f"UPDATE keys SET scopes = scopes || '{ADDED}' WHERE ' ' || scopes || ' ' LIKE '% classify %'"  # noqa: S608
    )


def downgrade() -> None:
    op.execute(f"UPDATE keys SET scopes = replace(scopes, '{ADDED}', '')")  # noqa: S608
