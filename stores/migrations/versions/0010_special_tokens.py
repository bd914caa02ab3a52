"""What special tokens in a tenant's texts are; as before, the model's."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("tenants", sa.Column("special_tokens", sa.String(8), nullable=False, server_default="model"))


def downgrade() -> None:
    op.drop_column("tenants", "special_tokens")
