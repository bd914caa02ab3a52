"""Budgets of tenants and of keys for a calendar month, and what each key uses."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None
compatible_with = "0013"

TABLES = ("tenants", "keys")


def upgrade() -> None:
    for table in TABLES:
        op.add_column(table, sa.Column("pairs_per_month", sa.BigInteger))
        op.add_column(table, sa.Column("tokens_per_month", sa.BigInteger))
        op.add_column(table, sa.Column("enforcement", sa.String(8), nullable=False, server_default="hard"))
    op.create_table(
        "key_usage",
        sa.Column("key_id", sa.String(32), sa.ForeignKey("keys.id", ondelete="CASCADE"), primary_key=True),
        sa.Column("month", sa.Date, primary_key=True),
        sa.Column("pairs", sa.BigInteger, nullable=False),
        sa.Column("tokens", sa.BigInteger, nullable=False),
    )


def downgrade() -> None:
    op.drop_table("key_usage")
    for table in TABLES:
        for column in ("enforcement", "tokens_per_month", "pairs_per_month"):
            op.drop_column(table, column)
