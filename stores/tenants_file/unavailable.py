"""What a tenants file cannot keep: files, batches, usage, the audit log and alerts."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from datetime import date, datetime
from typing import NoReturn

from stores.alerts import BudgetAlert
from stores.audit import AuditFilter, AuditRecord
from stores.batches import Backlog, Batch, BatchBounds
from stores.budgets import Limit, Used
from stores.errors import NotAvailable
from stores.files import ALL_FILES, Expiry, File, FileListing, UploadBounds, never
from stores.paging import Page, PageRequest
from stores.usage import DailyUsage, KeyUsage, LabelSetUsage

REASON = "tenants are declared in WANNENG_TENANTS_FILE here: change that file, or use a database"


class NoFiles:
    """A `FileStore` that refuses everything."""

    async def add(
        self, file: File, chunks: AsyncIterator[bytes], bounds: UploadBounds, expiry: Expiry = never
    ) -> File:
        refuse()

    async def get(self, tenant_id: str, file_id: str) -> File | None:
        refuse()

    async def page(
        self, tenant_id: str, request: PageRequest, now: datetime | None = None, listing: FileListing = ALL_FILES
    ) -> Page[File]:
        refuse()

    async def chunk(self, file_id: str, index: int) -> bytes | None:
        refuse()

    async def remove(self, tenant_id: str, file_id: str) -> None:
        refuse()


class NoBatches:
    """A `BatchStore` that refuses everything."""

    async def add(self, batch: Batch, idempotency_key: str | None, digest: str, bounds: BatchBounds) -> Batch:
        refuse()

    async def get(self, tenant_id: str, batch_id: str) -> Batch | None:
        refuse()

    async def page(self, tenant_id: str, request: PageRequest) -> Page[Batch]:
        refuse()

    async def cancel(self, tenant_id: str, batch_id: str, now: datetime) -> None:
        refuse()

    async def backlog(self) -> Backlog:
        refuse()


class NoUsage:
    """A `UsageStore` that keeps nothing; metrics still count."""

    async def add(self, usage: Sequence[DailyUsage], of_keys: Sequence[KeyUsage] = ()) -> None:
        pass

    async def used(self, tenant_id: str, key_id: str, month: date) -> Used:
        """Nothing is known here: gateways count by themselves, and in Redis."""
        return Used()

    async def by_label_set(
        self, tenant_id: str, first: date, last: date, limit: int, label_set: str = ""
    ) -> Sequence[LabelSetUsage]:
        refuse()

    async def of(self, tenant_id: str, first: date, last: date, label_set: str = "") -> Sequence[DailyUsage]:
        refuse()


class NoAudit:
    """An `AuditLog` that refuses everything: whoever changes the file does so in Git."""

    async def page(self, records: AuditFilter, request: PageRequest) -> Page[AuditRecord]:
        refuse()

    async def read(self, records: AuditFilter, limit: int) -> Sequence[AuditRecord]:
        refuse()

    async def prune(self, before: datetime) -> int:
        refuse()


class NoAlerts:
    """An `AlertStore` that keeps nothing: there is no worker to deliver it."""

    async def notice(self, now: datetime) -> None:
        pass

    async def refused(self, limit: Limit, month: date, used: int, now: datetime) -> None:
        pass

    async def claim(self, now: datetime, until: datetime, most: int) -> Sequence[BudgetAlert]:
        return []

    async def delivered(self, alert: BudgetAlert) -> None:
        refuse()

    async def failed(self, alert: BudgetAlert, due_at: datetime | None) -> None:
        refuse()


def refuse() -> NoReturn:
    raise NotAvailable(REASON)
