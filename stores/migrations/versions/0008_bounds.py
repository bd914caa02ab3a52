"""What bounds of storage count, indexes for pages of lists, and when a tenant was served last."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("files", sa.Column("lease_until", sa.DateTime(timezone=True)))
    op.create_index("files_of_tenant_by_time", "files", ["tenant_id", "created_at", "id"])
    op.drop_index("files_of_tenant", "files")
    op.add_column("batches", sa.Column("output_bytes", sa.BigInteger, nullable=False, server_default="0"))
    op.create_index("batches_of_tenant_by_time", "batches", ["tenant_id", "created_at", "id"])
    op.add_column("batch_results", sa.Column("bytes", sa.Integer, nullable=False, server_default="0"))
    op.add_column("tenants", sa.Column("batches_served_at", sa.DateTime(timezone=True)))
    op.add_column("label_set_versions", sa.Column("bytes", sa.Integer, nullable=False, server_default="0"))
    # The release before writes 0 until it is gone: its versions are not counted.
    is_sqlite = op.get_bind().dialect.name == "sqlite"
    size = "length(CAST(content AS BLOB))" if is_sqlite else "octet_length(content)"
    op.execute(f"UPDATE label_set_versions SET bytes = {size}")  # noqa: S608 - one of two constants


def downgrade() -> None:
    op.drop_column("label_set_versions", "bytes")
    op.drop_column("tenants", "batches_served_at")
    op.drop_column("batch_results", "bytes")
    op.drop_index("batches_of_tenant_by_time", "batches")
    op.drop_column("batches", "output_bytes")
    op.create_index("files_of_tenant", "files", ["tenant_id"])
    op.drop_index("files_of_tenant_by_time", "files")
    op.drop_column("files", "lease_until")
