"""A tenant's own bound on pairs in flight."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("tenants", sa.Column("pairs_in_flight", sa.Integer))


def downgrade() -> None:
    op.drop_column("tenants", "pairs_in_flight")
