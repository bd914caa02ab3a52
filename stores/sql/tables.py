"""The tables, as the newest migration leaves them; a test compares. Knows no queries."""

from __future__ import annotations

from datetime import UTC, datetime

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Date,
    DateTime,
    Dialect,
    ForeignKey,
    ForeignKeyConstraint,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
    UniqueConstraint,
)
from sqlalchemy.types import TypeDecorator

metadata = MetaData()


class UtcTime(TypeDecorator[datetime]):
    """A time with its zone, which SQLite would forget."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        return None if value is None else value.astimezone(UTC)

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        return None if value is None else value.replace(tzinfo=value.tzinfo or UTC).astimezone(UTC)


tenants = Table(
    "tenants",
    metadata,
    Column("id", String(32), primary_key=True),
    Column("name", String(100), nullable=False, unique=True),
    Column("status", String(16), nullable=False),
    Column("created_at", UtcTime, nullable=False),
    # Of its own; the gateway's where there is none.
    Column("requests_per_minute", Integer),
    Column("pairs_per_minute", Integer),
    Column("pairs_in_flight", Integer),
    Column("tokens_per_minute", Integer),
    Column("special_tokens", String(8), nullable=False, server_default="model"),
    # Its budget.
    Column("pairs_per_month", BigInteger),
    Column("tokens_per_month", BigInteger),
    Column("enforcement", String(8), nullable=False, server_default="hard"),
    # When a worker had one of its batches last.
    Column("batches_served_at", UtcTime),
)

label_sets = Table(
    "label_sets",
    metadata,
    Column("tenant_id", String(32), ForeignKey("tenants.id", ondelete="CASCADE"), primary_key=True),
    Column("name", String(63), primary_key=True),
    # The highest version that there ever was: a deleted set keeps it.
    Column("latest", Integer, nullable=False),
    Column("deleted", Boolean, nullable=False),
)

label_set_versions = Table(
    "label_set_versions",
    metadata,
    Column("tenant_id", String(32), primary_key=True),
    Column("name", String(63), primary_key=True),
    Column("version", Integer, primary_key=True),
    Column("content", Text, nullable=False),
    Column("bytes", Integer, nullable=False, server_default="0"),
    Column("created_at", UtcTime, nullable=False),
    Column("evaluation", Text),
    ForeignKeyConstraint(["tenant_id", "name"], ["label_sets.tenant_id", "label_sets.name"], ondelete="CASCADE"),
)

keys = Table(
    "keys",
    metadata,
    Column("id", String(32), primary_key=True),
    Column("tenant_id", String(32), ForeignKey("tenants.id", ondelete="CASCADE"), nullable=False),
    Column("digest", String(64), nullable=False),
    # Words with a space between them, as OAuth writes scopes.
    Column("scopes", String(500), nullable=False),
    Column("created_at", UtcTime, nullable=False),
    Column("expires_at", UtcTime),
    Column("last_used_at", UtcTime),
    Column("pairs_per_month", BigInteger),
    Column("tokens_per_month", BigInteger),
    Column("enforcement", String(8), nullable=False, server_default="hard"),
    Column("name", String(100), nullable=False, server_default=""),
    Index("keys_of_tenant", "tenant_id"),
    Index("keys_by_end", "expires_at"),
)

files = Table(
    "files",
    metadata,
    Column("id", String(40), primary_key=True),
    Column("tenant_id", String(32), ForeignKey("tenants.id", ondelete="CASCADE"), nullable=False),
    Column("name", String(200), nullable=False),
    Column("purpose", String(32), nullable=False),
    # While it is being uploaded: as many as are reserved for it.
    Column("bytes", BigInteger, nullable=False),
    Column("created_at", UtcTime, nullable=False),
    # Null: it is complete. Otherwise whoever writes it must be done by then.
    Column("lease_until", UtcTime),
    # Null: only the retention ends it.
    Column("expires_at", UtcTime),
    Index("files_of_tenant_by_time", "tenant_id", "created_at", "id"),
)

file_pieces = Table(
    "file_pieces",
    metadata,
    Column("file_id", String(40), ForeignKey("files.id", ondelete="CASCADE"), primary_key=True),
    Column("place", Integer, primary_key=True),
    Column("content", LargeBinary, nullable=False),
)

batches = Table(
    "batches",
    metadata,
    Column("id", String(40), primary_key=True),
    Column("tenant_id", String(32), ForeignKey("tenants.id", ondelete="CASCADE"), nullable=False),
    Column("input_file_id", String(40), nullable=False),
    Column("status", String(16), nullable=False),
    Column("created_at", UtcTime, nullable=False),
    Column("expires_at", UtcTime, nullable=False),
    # Times of states, files, errors and metadata, as JSON: nobody searches for them.
    Column("detail", Text, nullable=False),
    Column("total", Integer, nullable=False),
    Column("completed", Integer, nullable=False),
    Column("failed", Integer, nullable=False),
    # Of its results so far.
    Column("output_bytes", BigInteger, nullable=False, server_default="0"),
    Column("idempotency_key", String(200)),
    Column("digest", String(64), nullable=False),
    # The worker that has it, until when; and when one had it last.
    Column("owner", String(64)),
    Column("lease_until", UtcTime),
    Column("served_at", UtcTime, nullable=False),
    UniqueConstraint("tenant_id", "idempotency_key", name="batches_idempotency"),
    Index("batches_to_do", "status", "served_at"),
    Index("batches_of_tenant_by_time", "tenant_id", "created_at", "id"),
)

batch_results = Table(
    "batch_results",
    metadata,
    Column("batch_id", String(40), ForeignKey("batches.id", ondelete="CASCADE"), primary_key=True),
    Column("line", Integer, primary_key=True),
    Column("failed", Boolean, nullable=False),
    Column("content", Text, nullable=False),
    Column("bytes", Integer, nullable=False, server_default="0"),
)

usage = Table(
    "usage",
    metadata,
    Column("tenant_id", String(32), ForeignKey("tenants.id", ondelete="CASCADE"), primary_key=True),
    Column("day", Date, primary_key=True),
    Column("requests", BigInteger, nullable=False),
    Column("pairs_computed", BigInteger, nullable=False),
    Column("pairs_cached", BigInteger, nullable=False),
    Column("tokens", BigInteger, nullable=False, server_default="0"),
)

label_set_usage = Table(
    "label_set_usage",
    metadata,
    Column("tenant_id", String(32), ForeignKey("tenants.id", ondelete="CASCADE"), primary_key=True),
    Column("day", Date, primary_key=True),
    # No foreign key: what a deleted set has used stays.
    Column("label_set", String(63), primary_key=True),
    Column("requests", BigInteger, nullable=False),
    Column("pairs_computed", BigInteger, nullable=False),
    Column("pairs_cached", BigInteger, nullable=False),
    Column("tokens", BigInteger, nullable=False),
)

key_usage = Table(
    "key_usage",
    metadata,
    Column("key_id", String(32), ForeignKey("keys.id", ondelete="CASCADE"), primary_key=True),
    # Its first day.
    Column("month", Date, primary_key=True),
    # Computed ones.
    Column("pairs", BigInteger, nullable=False),
    Column("tokens", BigInteger, nullable=False),
)

budget_alerts = Table(
    "budget_alerts",
    metadata,
    Column("id", String(40), primary_key=True),
    Column("tenant_id", String(32), ForeignKey("tenants.id", ondelete="CASCADE"), nullable=False),
    # Empty: of the tenant's own budget. No foreign key: a revoked key's alerts stay.
    Column("key_id", String(32), nullable=False),
    Column("resource", String(8), nullable=False),
    Column("month", Date, nullable=False),
    Column("percent", Integer, nullable=False),
    # The limit that it was, which may have been changed since.
    Column("amount", BigInteger, nullable=False),
    Column("used", BigInteger, nullable=False),
    Column("enforcement", String(8), nullable=False),
    Column("created_at", UtcTime, nullable=False),
    Column("attempts", Integer, nullable=False),
    # When to deliver it; null: it is delivered, or was given up.
    Column("due_at", UtcTime),
    Column("kind", String(8), nullable=False, server_default="reached"),
    Index("budget_alerts_due", "due_at"),
)

audit_log = Table(
    "audit_log",
    metadata,
    Column("sequence", BigInteger, primary_key=True, autoincrement=False),
    # RFC 3339, to be hashed as it stands here.
    Column("at", String(27), nullable=False),
    Column("actor", String(80), nullable=False),
    Column("verb", String(32), nullable=False),
    Column("object", String(100), nullable=False),
    # No foreign key: a deleted tenant's acts stay.
    Column("tenant_id", String(32)),
    Column("request_id", String(64)),
    # Canonical JSON.
    Column("before", Text),
    Column("after", Text),
    Column("previous", String(64), nullable=False),
    Column("hash", String(64), nullable=False),
    Index("audit_log_by_at", "at", "sequence"),
    Index("audit_log_by_tenant_id", "tenant_id", "sequence"),
    Index("audit_log_by_actor", "actor", "sequence"),
    Index("audit_log_by_object", "object", "sequence"),
)

audit_head = Table(
    "audit_head",
    metadata,
    # One row: the newest record, locked by whoever adds the next.
    Column("id", Integer, primary_key=True, autoincrement=False),
    Column("sequence", BigInteger, nullable=False),
    Column("hash", String(64), nullable=False),
)

schema_compatibility = Table(
    "schema_compatibility",
    metadata,
    # One row: the oldest revision whose release works with these tables.
    Column("revision", String(32), primary_key=True),
)
