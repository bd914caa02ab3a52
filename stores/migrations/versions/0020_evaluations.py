"""What each version of a label set answered to sample texts before it was saved."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0020"
down_revision = "0019"
branch_labels = None
depends_on = None
compatible_with = "0014"


def upgrade() -> None:
    op.add_column("label_set_versions", sa.Column("evaluation", sa.Text))


def downgrade() -> None:
    op.drop_column("label_set_versions", "evaluation")
