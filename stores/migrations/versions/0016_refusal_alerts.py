"""Alerts that a budget refuses, beside those that a share of it is used."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0016"
down_revision = "0015"
branch_labels = None
depends_on = None
compatible_with = "0014"


def upgrade() -> None:
    op.add_column("budget_alerts", sa.Column("kind", sa.String(8), nullable=False, server_default="reached"))


def downgrade() -> None:
    op.drop_column("budget_alerts", "kind")
