"""What each tenant has used, by day."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "usage",
        sa.Column("tenant_id", sa.String(32), sa.ForeignKey("tenants.id", ondelete="CASCADE"), primary_key=True),
        sa.Column("day", sa.Date, primary_key=True),
        sa.Column("requests", sa.BigInteger, nullable=False),
        sa.Column("pairs_computed", sa.BigInteger, nullable=False),
        sa.Column("pairs_cached", sa.BigInteger, nullable=False),
    )


def downgrade() -> None:
    op.drop_table("usage")
