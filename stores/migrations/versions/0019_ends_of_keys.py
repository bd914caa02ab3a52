"""Keys that end about now are found without reading all keys, as each process does every second."""

from __future__ import annotations

from alembic import op

revision = "0019"
down_revision = "0018"
branch_labels = None
depends_on = None
compatible_with = "0014"


def upgrade() -> None:
    op.create_index("keys_by_end", "keys", ["expires_at"])


def downgrade() -> None:
    op.drop_index("keys_by_end", "keys")
