"""Quotas of a tenant's own."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("tenants", sa.Column("requests_per_minute", sa.Integer))
    op.add_column("tenants", sa.Column("pairs_per_minute", sa.Integer))


def downgrade() -> None:
    op.drop_column("tenants", "pairs_per_minute")
    op.drop_column("tenants", "requests_per_minute")
