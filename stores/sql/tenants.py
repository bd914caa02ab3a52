"""Tenants and API keys in SQL."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import datetime
from typing import Any

from sqlalchemy import RowMapping, delete, insert, select, update
from sqlalchemy.exc import IntegrityError

from stores.database import Database
from stores.errors import Conflict, NotFound
from stores.sql.tables import keys, tenants
from stores.tenants import ApiKey, Quota, Tenant

TENANT_PREFIX = "tenants_"
"""Prefix of the tenant's columns in a row that has both; `tenant_id` is a column of the key."""


class SqlTenants:
    """A `TenantStore`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def add(self, tenant: Tenant) -> None:
        try:
            async with self._database.transaction() as connection:
                await connection.execute(insert(tenants).values(**_row(tenant)))
        except IntegrityError:
            raise Conflict(f"a tenant named {tenant.name!r} already exists") from None

    async def get(self, tenant_id: str) -> Tenant | None:
        async with self._database.transaction() as connection:
            row = (await connection.execute(select(tenants).where(tenants.c.id == tenant_id))).mappings().first()
        return None if row is None else _tenant(row)

    async def all(self) -> Sequence[Tenant]:
        async with self._database.transaction() as connection:
            rows = (await connection.execute(select(tenants))).mappings().all()
        # Sorted here: databases order names by the locale that each was set up with.
        return sorted((_tenant(row) for row in rows), key=lambda tenant: tenant.name)

    async def change(self, tenant: Tenant) -> None:
        values = _row(tenant)
        try:
            async with self._database.transaction() as connection:
                change = update(tenants).where(tenants.c.id == tenant.id).values(**values)
                result = await connection.execute(change)
        except IntegrityError:
            raise Conflict(f"a tenant named {tenant.name!r} already exists") from None
        if not result.rowcount:
            raise NotFound("no such tenant")

    async def remove(self, tenant_id: str) -> None:
        async with self._database.transaction() as connection:
            result = await connection.execute(delete(tenants).where(tenants.c.id == tenant_id))
        if not result.rowcount:
            raise NotFound("no such tenant")


class SqlApiKeys:
    """An `ApiKeyStore`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def add(self, key: ApiKey) -> None:
        values = asdict(key) | {"scopes": " ".join(key.scopes)}
        try:
            async with self._database.transaction() as connection:
                await connection.execute(insert(keys).values(**values))
        except IntegrityError:
            raise NotFound("no such tenant") from None

    async def find(self, key_id: str) -> tuple[ApiKey, Tenant] | None:
        tenant_columns = [column.label(f"{TENANT_PREFIX}{column.name}") for column in tenants.c]
        query = select(keys, *tenant_columns).join_from(keys, tenants).where(keys.c.id == key_id)
        async with self._database.transaction() as connection:
            row = (await connection.execute(query)).mappings().first()
        if row is None:
            return None
        return _key(row), _tenant({c.name: row[f"{TENANT_PREFIX}{c.name}"] for c in tenants.c})

    async def of(self, tenant_id: str) -> Sequence[ApiKey]:
        query = select(keys).where(keys.c.tenant_id == tenant_id).order_by(keys.c.created_at, keys.c.id)
        async with self._database.transaction() as connection:
            return [_key(row) for row in (await connection.execute(query)).mappings()]

    async def change(
        self, key_id: str, *, expires_at: datetime | None = None, last_used_at: datetime | None = None
    ) -> None:
        changes: dict[str, Any] = {"expires_at": expires_at, "last_used_at": last_used_at}
        values = {name: value for name, value in changes.items() if value is not None}
        async with self._database.transaction() as connection:
            result = await connection.execute(update(keys).where(keys.c.id == key_id).values(**values))
        if not result.rowcount:
            raise NotFound("no such key")

    async def remove(self, tenant_id: str, key_id: str) -> None:
        deletion = delete(keys).where(keys.c.id == key_id, keys.c.tenant_id == tenant_id)
        async with self._database.transaction() as connection:
            result = await connection.execute(deletion)
        if not result.rowcount:
            raise NotFound("the tenant has no such key")


def _row(tenant: Tenant) -> dict[str, Any]:
    quota = tenant.quota
    return {
        "id": tenant.id,
        "name": tenant.name,
        "status": tenant.status,
        "created_at": tenant.created_at,
        "requests_per_minute": quota.requests_per_minute,
        "pairs_per_minute": quota.pairs_per_minute,
        "pairs_in_flight": quota.pairs_in_flight,
        "tokens_per_minute": quota.tokens_per_minute,
    }


def _tenant(row: Mapping[Any, Any]) -> Tenant:
    quota = Quota(
        row["requests_per_minute"], row["pairs_per_minute"], row["pairs_in_flight"], row["tokens_per_minute"]
    )
    return Tenant(row["id"], row["name"], row["status"], row["created_at"], quota)


def _key(row: RowMapping) -> ApiKey:
    values = {column.name: row[column.name] for column in keys.c}
    return ApiKey(**values | {"scopes": tuple(row["scopes"].split())})
