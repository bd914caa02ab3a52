"""Which releases still work with the database after a migration."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None
compatible_with = "0011"


def upgrade() -> None:
    op.create_table("schema_compatibility", sa.Column("revision", sa.String(32), primary_key=True))


def downgrade() -> None:
    op.drop_table("schema_compatibility")
