"""Tokens a minute as a quota, and the tokens that were used."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("tenants", sa.Column("tokens_per_minute", sa.Integer))
    op.add_column("usage", sa.Column("tokens", sa.BigInteger, nullable=False, server_default="0"))


def downgrade() -> None:
    op.drop_column("usage", "tokens")
    op.drop_column("tenants", "tokens_per_minute")
