"""Usage by label set and day."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0018"
down_revision = "0017"
branch_labels = None
depends_on = None
compatible_with = "0014"

COUNTS = ("requests", "pairs_computed", "pairs_cached", "tokens")


def upgrade() -> None:
    op.create_table(
        "label_set_usage",
        sa.Column("tenant_id", sa.String(32), sa.ForeignKey("tenants.id", ondelete="CASCADE"), primary_key=True),
        sa.Column("day", sa.Date, primary_key=True),
        sa.Column("label_set", sa.String(63), primary_key=True),
        *(sa.Column(name, sa.BigInteger, nullable=False) for name in COUNTS),
    )


def downgrade() -> None:
    op.drop_table("label_set_usage")
