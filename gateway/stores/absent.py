"""Stores for which there is no place where tenants are declared in a file: they say so."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from datetime import date, datetime
from typing import NoReturn

from gateway.batches import Batch
from gateway.errors import NotAvailable
from gateway.files import File
from gateway.usage import Use

WHY_NOT = "tenants and label sets are declared in a file here: change that, or give the gateway a database"


class NoFiles:
    """A `FileStore` for which there is no place."""

    async def add(self, file: File, pieces: AsyncIterator[bytes]) -> File:
        refuse()

    async def get(self, tenant_id: str, file_id: str) -> File | None:
        refuse()

    async def all(self, tenant_id: str) -> Sequence[File]:
        refuse()

    async def piece(self, file_id: str, place: int) -> bytes | None:
        refuse()

    async def remove(self, tenant_id: str, file_id: str) -> None:
        refuse()


class NoBatches:
    """A `BatchStore` for which there is no place."""

    async def add(self, batch: Batch, key: str | None, digest: str) -> Batch:
        refuse()

    async def get(self, tenant_id: str, batch_id: str) -> Batch | None:
        refuse()

    async def all(self, tenant_id: str) -> Sequence[Batch]:
        refuse()

    async def cancel(self, tenant_id: str, batch_id: str, now: datetime) -> None:
        refuse()


class NoUsage:
    """A `UsageStore` that forgets: metrics still count."""

    async def add(self, uses: Sequence[Use]) -> None:
        pass

    async def of(self, tenant_id: str, first: date, last: date) -> Sequence[Use]:
        refuse()


def refuse() -> NoReturn:
    raise NotAvailable(WHY_NOT)
