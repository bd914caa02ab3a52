"""Names of keys."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0017"
down_revision = "0016"
branch_labels = None
depends_on = None
compatible_with = "0014"


def upgrade() -> None:
    op.add_column("keys", sa.Column("name", sa.String(100), nullable=False, server_default=""))


def downgrade() -> None:
    op.drop_column("keys", "name")
