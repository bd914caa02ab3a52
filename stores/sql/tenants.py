"""Tenants and API keys in SQL."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from datetime import datetime
from typing import Any

from sqlalchemy import RowMapping, delete, func, insert, select, update
from sqlalchemy.exc import IntegrityError

from stores.database import Database
from stores.errors import Conflict, NotFound
from stores.paging import Page, PageRequest
from stores.sql.deletion import delete_in_parts
from stores.sql.pages import by_name, read_page
from stores.sql.storage import lock_tenant
from stores.sql.tables import batches, files, keys, tenants
from stores.tenants import SUSPENDED, ApiKey, Quota, Tenant

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

    async def page(self, request: PageRequest) -> Page[Tenant]:
        order = (by_name(tenants.c.name, self._database),)
        async with self._database.transaction() as connection:
            rows = await read_page(connection, select(tenants), tenants.c.id, order, request)
        return Page([_tenant(row) for row in rows.items], rows.has_more)

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
        this_tenant = tenants.c.id == tenant_id
        async with self._database.transaction() as connection:
            # Nobody is served any more from here on, whatever comes between.
            suspension = update(tenants).where(this_tenant).values(status=SUSPENDED)
            if not (await connection.execute(suspension)).rowcount:
                raise NotFound("no such tenant")
            await connection.execute(delete(keys).where(keys.c.tenant_id == tenant_id))
        for table in (files, batches):
            await delete_in_parts(self._database, table, table.c.tenant_id == tenant_id)
        async with self._database.transaction() as connection:
            await connection.execute(delete(tenants).where(this_tenant))


class SqlApiKeys:
    """An `ApiKeyStore`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def add(self, key: ApiKey, max_keys: int) -> None:
        values = asdict(key) | {"scopes": " ".join(key.scopes)}
        number = select(func.count()).where(keys.c.tenant_id == key.tenant_id)
        async with self._database.transaction() as connection:
            await lock_tenant(connection, key.tenant_id)
            if (await connection.execute(number)).scalar_one() >= max_keys:
                raise Conflict(f"the tenant has {max_keys} keys; revoke one first")
            await connection.execute(insert(keys).values(**values))

    async def find(self, key_id: str) -> tuple[ApiKey, Tenant] | None:
        tenant_columns = [column.label(f"{TENANT_PREFIX}{column.name}") for column in tenants.c]
        query = select(keys, *tenant_columns).join_from(keys, tenants).where(keys.c.id == key_id)
        async with self._database.transaction() as connection:
            row = (await connection.execute(query)).mappings().first()
        if row is None:
            return None
        return _key(row), _tenant({c.name: row[f"{TENANT_PREFIX}{c.name}"] for c in tenants.c})

    async def page(self, tenant_id: str, request: PageRequest) -> Page[ApiKey]:
        query, order = select(keys).where(keys.c.tenant_id == tenant_id), (keys.c.created_at, keys.c.id)
        async with self._database.transaction() as connection:
            rows = await read_page(connection, query, keys.c.id, order, request)
        return Page([_key(row) for row in rows.items], rows.has_more)

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
        "special_tokens": tenant.special_tokens,
    }


def _tenant(row: Mapping[Any, Any]) -> Tenant:
    quota = Quota(
        row["requests_per_minute"], row["pairs_per_minute"], row["pairs_in_flight"], row["tokens_per_minute"]
    )
    return Tenant(row["id"], row["name"], row["status"], row["created_at"], quota, row["special_tokens"])


def _key(row: RowMapping) -> ApiKey:
    values = {column.name: row[column.name] for column in keys.c}
    return ApiKey(**values | {"scopes": tuple(row["scopes"].split())})
