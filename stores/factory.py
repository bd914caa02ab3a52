"""Opens the stores of a deployment: a database, or the tenants file in its place."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

from stores.alerts import AlertStore
from stores.audit import AuditLog
from stores.batches import BatchStore
from stores.database import Database
from stores.files import FileStore
from stores.label_sets import LabelLimits, LabelSetStore
from stores.sql.alerts import SqlAlerts
from stores.sql.audit import SqlAuditLog
from stores.sql.batches import SqlBatches
from stores.sql.files import SqlFiles
from stores.sql.label_sets import SqlLabelSets
from stores.sql.tenants import SqlApiKeys, SqlTenants
from stores.sql.usage import SqlUsage
from stores.tenants import ApiKeyStore, TenantStore
from stores.tenants_file.stores import FileApiKeys, FileLabelSets, FileTenants, TenantsFile
from stores.tenants_file.unavailable import NoAlerts, NoAudit, NoBatches, NoFiles, NoUsage
from stores.usage import UsageStore


@dataclass(frozen=True, slots=True)
class Stores:
    """Call `close` at the end."""

    tenants: TenantStore
    api_keys: ApiKeyStore
    label_sets: LabelSetStore
    files: FileStore
    batches: BatchStore
    usage: UsageStore
    audit: AuditLog
    alerts: AlertStore
    close: Callable[[], Awaitable[None]]
    check: Callable[[], Awaitable[None]]
    """The tenants file can be used, or the database is at the revision that this release needs."""
    tenants_file: TenantsFile | None = None
    """Where all of it comes from, if not from a database."""


def sql_stores(database: Database) -> Stores:
    """All of them on one pool of connections."""
    return Stores(
        SqlTenants(database),
        SqlApiKeys(database),
        SqlLabelSets(database),
        SqlFiles(database),
        SqlBatches(database),
        SqlUsage(database),
        SqlAuditLog(database),
        SqlAlerts(database),
        database.close,
        database.check,
    )


def file_stores(path: Path, limits: LabelLimits) -> Stores:
    """From the tenants file at `path`; nothing is read before the first use."""
    file = TenantsFile(path, limits)

    async def close() -> None:
        pass

    async def check() -> None:
        _ = file.current

    return Stores(
        FileTenants(file),
        FileApiKeys(file),
        FileLabelSets(file),
        NoFiles(),
        NoBatches(),
        NoUsage(),
        NoAudit(),
        NoAlerts(),
        close,
        check,
        file,
    )
