"""Tenants and API keys in SQL."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, replace
from datetime import datetime
from typing import Any, Unpack

from msgspec import structs
from sqlalchemy import RowMapping, delete, func, insert, literal, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection

from stores.audit import Act, difference, rfc3339
from stores.budgets import Budget
from stores.database import Database
from stores.errors import Conflict, NotFound
from stores.paging import Page, PageRequest
from stores.sql.acts import record
from stores.sql.deletion import delete_in_parts
from stores.sql.pages import Deletion, by_name, read_page
from stores.sql.storage import lock_tenant
from stores.sql.tables import batches, files, key_usage, keys, tenants
from stores.tenants import SUSPENDED, ApiKey, Quota, Replaced, Tenant, TenantChanges

STATE = (
    *("name", "status", "requests_per_minute", "pairs_per_minute", "pairs_in_flight", "tokens_per_minute"),
    *("special_tokens", "pairs_per_month", "tokens_per_month", "enforcement"),
)
"""Columns of a tenant that an operator may change."""
TENANT_DELETED, KEY_REVOKED = "tenant.delete", "key.revoke"
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
                await record(connection, _act("tenant.create", tenant.id, after=_state(_row(tenant))))
        except IntegrityError:
            raise Conflict(f"a tenant named {tenant.name!r} already exists") from None

    async def get(self, tenant_id: str) -> Tenant | None:
        async with self._database.transaction() as connection:
            row = (await connection.execute(select(tenants).where(tenants.c.id == tenant_id))).mappings().first()
        return None if row is None else _tenant(row)

    async def page(self, request: PageRequest) -> Page[Tenant]:
        order = {"name": by_name(tenants.c.name, self._database)}
        deletion = Deletion(TENANT_DELETED, "tenant")
        async with self._database.transaction() as connection:
            rows = await read_page(connection, select(tenants), order, request, deletion=deletion)
        return Page([_tenant(row) for row in rows.items], rows.has_more)

    async def change(self, tenant_id: str, **changes: Unpack[TenantChanges]) -> Tenant:
        try:
            async with self._database.transaction() as connection:
                known = await _lock(connection, tenant_id)
                tenant = replace(_tenant(known), **changes)
                values = _row(tenant)
                await connection.execute(update(tenants).where(tenants.c.id == tenant_id).values(**values))
                before, after = difference(_state(known), _state(values))
                await record(connection, _act("tenant.update", tenant_id, before, after))
        except IntegrityError:
            raise Conflict(f"a tenant named {changes.get('name')!r} already exists") from None
        return tenant

    async def remove(self, tenant_id: str) -> None:
        this_tenant = tenants.c.id == tenant_id
        async with self._database.transaction() as connection:
            known = await _lock(connection, tenant_id)
            # Nobody is served any more from here on, whatever comes between.
            await connection.execute(update(tenants).where(this_tenant).values(status=SUSPENDED))
            await connection.execute(delete(keys).where(keys.c.tenant_id == tenant_id))
            await record(connection, _act(TENANT_DELETED, tenant_id, before=_state(known)))
        for table in (files, batches):
            await delete_in_parts(self._database, table, table.c.tenant_id == tenant_id)
        async with self._database.transaction() as connection:
            await connection.execute(delete(tenants).where(this_tenant))


class SqlApiKeys:
    """An `ApiKeyStore`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def add(self, key: ApiKey, max_keys: int, replaced: Replaced | None = None) -> None:
        values = asdict(key) | {"scopes": " ".join(key.scopes)} | structs.asdict(key.budget)
        del values["budget"]
        number = select(func.count()).where(keys.c.tenant_id == key.tenant_id)
        async with self._database.transaction() as connection:
            await lock_tenant(connection, key.tenant_id)
            if (await connection.execute(number)).scalar_one() >= max_keys:
                raise Conflict(f"the tenant has {max_keys} keys; revoke one first")
            await connection.execute(insert(keys).values(**values))
            after: dict[str, Any] = {"scopes": list(key.scopes), "expires_at": _time(key.expires_at)}
            after |= {"name": key.name} if key.name else {}
            if replaced is None:
                act = Act("key.create", f"key/{key.id}", key.tenant_id, None, after)
            else:
                before = await _expire(connection, key.tenant_id, replaced)
                used = select(literal(key.id), key_usage.c.month, key_usage.c.pairs, key_usage.c.tokens)
                columns = ["key_id", "month", "pairs", "tokens"]
                await connection.execute(
                    insert(key_usage).from_select(columns, used.where(key_usage.c.key_id == replaced.id))
                )
                after = {"new_key": key.id, "new_key_expires_at": after["expires_at"]} | {
                    "expires_at": _time(replaced.expires_at)
                }
                act = Act("key.rotate", f"key/{replaced.id}", key.tenant_id, before, after)
            await record(connection, act)

    async def find(self, key_id: str) -> tuple[ApiKey, Tenant] | None:
        tenant_columns = [column.label(f"{TENANT_PREFIX}{column.name}") for column in tenants.c]
        query = select(keys, *tenant_columns).join_from(keys, tenants).where(keys.c.id == key_id)
        async with self._database.transaction() as connection:
            row = (await connection.execute(query)).mappings().first()
        if row is None:
            return None
        return _key(row), _tenant({c.name: row[f"{TENANT_PREFIX}{c.name}"] for c in tenants.c})

    async def page(self, tenant_id: str, request: PageRequest) -> Page[ApiKey]:
        query = select(keys).where(keys.c.tenant_id == tenant_id)
        order = {"created_at": keys.c.created_at, "id": keys.c.id}
        deletion = Deletion(KEY_REVOKED, "key", tenant_id)
        async with self._database.transaction() as connection:
            rows = await read_page(connection, query, order, request, deletion=deletion)
        return Page([_key(row) for row in rows.items], rows.has_more)

    async def set_budget(self, tenant_id: str, key_id: str, budget: Budget) -> None:
        this_key, values = (keys.c.id == key_id, keys.c.tenant_id == tenant_id), structs.asdict(budget)
        async with self._database.transaction() as connection:
            await lock_tenant(connection, tenant_id)
            known = (await connection.execute(select(keys).where(*this_key))).mappings().first()
            if known is None:
                raise NotFound("the tenant has no such key")
            await connection.execute(update(keys).where(*this_key).values(**values))
            before, after = difference(structs.asdict(_budget(known)), values)
            await record(connection, Act("key.update", f"key/{key_id}", tenant_id, before, after))

    async def ends(self, since: datetime, until: datetime, limit: int) -> dict[str, datetime]:
        end = keys.c.expires_at
        query = select(keys.c.id, end).where(end.between(since, until)).order_by(end).limit(limit)
        async with self._database.transaction() as connection:
            return {row.id: row.expires_at for row in await connection.execute(query)}

    async def mark_used(self, key_id: str, used_at: datetime) -> None:
        async with self._database.transaction() as connection:
            result = await connection.execute(update(keys).where(keys.c.id == key_id).values(last_used_at=used_at))
        if not result.rowcount:
            raise NotFound("no such key")

    async def remove(self, tenant_id: str, key_id: str) -> None:
        deletion = delete(keys).where(keys.c.id == key_id, keys.c.tenant_id == tenant_id)
        async with self._database.transaction() as connection:
            revoked = (await connection.execute(deletion.returning(keys.c.created_at))).first()
            if revoked is None:
                raise NotFound("the tenant has no such key")
            before = {"created_at": _time(revoked.created_at)}
            await record(connection, Act(KEY_REVOKED, f"key/{key_id}", tenant_id, before))


async def _lock(connection: AsyncConnection, tenant_id: str) -> RowMapping:
    """The tenant's row, which nobody else changes before this transaction ends."""
    await lock_tenant(connection, tenant_id)
    return (await connection.execute(select(tenants).where(tenants.c.id == tenant_id))).mappings().one()


async def _expire(connection: AsyncConnection, tenant_id: str, replaced: Replaced) -> dict[str, Any]:
    """Of the old key, what the audit log says of it as it was; `NotFound`."""
    this_key = (keys.c.id == replaced.id, keys.c.tenant_id == tenant_id)
    old = (await connection.execute(select(keys.c.expires_at).where(*this_key))).first()
    if old is None:
        raise NotFound("the tenant has no such key")
    await connection.execute(update(keys).where(*this_key).values(expires_at=replaced.expires_at))
    return {"expires_at": _time(old.expires_at)}


def _act(
    verb: str, tenant_id: str, before: Mapping[str, Any] | None = None, after: Mapping[str, Any] | None = None
) -> Act:
    return Act(verb, f"tenant/{tenant_id}", tenant_id, before, after)


def _state(row: Mapping[Any, Any]) -> dict[str, Any]:
    """What an operator may change of a tenant."""
    return {name: row[name] for name in STATE}


def _time(time: datetime | None) -> str | None:
    return None if time is None else rfc3339(time)


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
    } | structs.asdict(tenant.budget)


def _tenant(row: Mapping[Any, Any]) -> Tenant:
    quota = Quota(
        row["requests_per_minute"], row["pairs_per_minute"], row["pairs_in_flight"], row["tokens_per_minute"]
    )
    return Tenant(
        row["id"], row["name"], row["status"], row["created_at"], quota, row["special_tokens"], _budget(row)
    )


def _budget(row: Mapping[Any, Any]) -> Budget:
    return Budget(row["pairs_per_month"], row["tokens_per_month"], row["enforcement"])


def _key(row: RowMapping) -> ApiKey:
    return ApiKey(
        row["id"],
        row["tenant_id"],
        row["digest"],
        tuple(row["scopes"].split()),
        row["created_at"],
        row["expires_at"],
        row["last_used_at"],
        _budget(row),
        row["name"],
    )
