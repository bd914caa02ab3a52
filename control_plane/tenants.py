"""Tenants and their keys: what the operator may do with them."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from stores.api_keys import NewApiKey, generate_key
from stores.budgets import Budget
from stores.clock import Clock
from stores.errors import Conflict, InvalidRequest, NotFound
from stores.paging import Page, PageRequest
from stores.special_tokens import SpecialTokens
from stores.tenants import (
    ACTIVE,
    DEFAULT_SCOPES,
    LOCAL_TENANT_ID,
    SCOPES,
    SUSPENDED,
    ApiKey,
    ApiKeyStore,
    Quota,
    Replaced,
    Tenant,
    TenantChanges,
    TenantStore,
)

MAX_NAME_CHARACTERS = 100
MAX_KEYS = 100
"""Keys of one tenant."""
MAX_QUOTA = 1_000_000_000
MAX_OVERLAP_S = 30 * 86_400
LAST_TIME = datetime(9999, 1, 1, tzinfo=UTC)
"""Of what every time zone and every database can keep."""


class Tenants:
    def __init__(self, tenants: TenantStore, api_keys: ApiKeyStore, clock: Clock) -> None:
        self._tenants = tenants
        self._api_keys = api_keys
        self._clock = clock

    async def create(self, name: str) -> Tenant:
        tenant = Tenant(f"t_{secrets.token_hex(6)}", _validate_name(name), ACTIVE, self._clock.now())
        await self._tenants.add(tenant)
        return tenant

    async def ensure_local(self) -> None:
        """The tenant of this machine, as which callers without a key are served where none is needed."""
        with suppress(Conflict):  # Another process may be doing the same.
            if await self._tenants.get(LOCAL_TENANT_ID) is None:
                await self._tenants.add(Tenant(LOCAL_TENANT_ID, LOCAL_TENANT_ID, ACTIVE, self._clock.now()))

    async def page(self, request: PageRequest) -> Page[Tenant]:
        return await self._tenants.page(request)

    async def get(self, tenant_id: str) -> Tenant:
        tenant = await self._tenants.get(tenant_id)
        if tenant is None:
            raise NotFound("no such tenant")
        return tenant

    async def change(
        self,
        tenant_id: str,
        *,
        name: str | None = None,
        status: str | None = None,
        special_tokens: SpecialTokens | None = None,
    ) -> Tenant:
        """Rename, suspend (`suspended`) or resume (`active`), or say what special tokens in its texts are."""
        changes = TenantChanges()
        if name is not None:
            changes["name"] = _validate_name(name)
        if status is not None:
            if status not in (ACTIVE, SUSPENDED):
                raise InvalidRequest(f"must be {ACTIVE} or {SUSPENDED}", field="status")
            changes["status"] = status
        if special_tokens is not None:
            changes["special_tokens"] = special_tokens
        return await self._tenants.change(tenant_id, **changes)

    async def set_quota(self, tenant_id: str, quota: Quota) -> Tenant:
        """A quota of its own; None in it: the gateway's default."""
        for field, value in (
            ("requests_per_minute", quota.requests_per_minute),
            ("pairs_per_minute", quota.pairs_per_minute),
            ("pairs_in_flight", quota.pairs_in_flight),
            ("tokens_per_minute", quota.tokens_per_minute),
        ):
            if value is not None and not 1 <= value <= MAX_QUOTA:
                raise InvalidRequest(f"must be 1 to {MAX_QUOTA}", field=field)
        return await self._tenants.change(tenant_id, quota=quota)

    async def budget(self, tenant_id: str, key_id: str = "") -> Budget:
        """Of the tenant, or of one of its keys."""
        if not key_id:
            return (await self.get(tenant_id)).budget
        return (await self.key(tenant_id, key_id)).budget

    async def set_budget(self, tenant_id: str, budget: Budget, key_id: str = "") -> None:
        if key_id:
            await self._api_keys.set_budget(tenant_id, key_id, budget)
        else:
            await self._tenants.change(tenant_id, budget=budget)

    async def remove(self, tenant_id: str) -> None:
        """With everything that is the tenant's."""
        await self._tenants.remove(tenant_id)

    async def keys(self, tenant_id: str, request: PageRequest) -> Page[ApiKey]:
        await self.get(tenant_id)
        return await self._api_keys.page(tenant_id, request)

    async def key(self, tenant_id: str, key_id: str) -> ApiKey:
        known = await self._api_keys.find(key_id)
        if known is None or known[0].tenant_id != tenant_id:
            raise NotFound("the tenant has no such key")
        return known[0]

    async def add_key(
        self,
        tenant_id: str,
        scopes: Sequence[str] = DEFAULT_SCOPES,
        expires_at: datetime | None = None,
        name: str = "",
    ) -> tuple[ApiKey, NewApiKey]:
        """A key for the tenant; the `NewApiKey` is the only place where it can be read."""
        now = self._clock.now()
        unknown = set(scopes) - set(SCOPES)
        if unknown:
            raise InvalidRequest(f"{min(unknown)!r} is not one of {', '.join(SCOPES)}", field="scopes")
        if expires_at is not None and (expires_at.tzinfo is None or not now < expires_at <= LAST_TIME):
            raise InvalidRequest("must be a time in the future, with its time zone", field="expires_at")
        new = generate_key()
        key = ApiKey(
            new.id,
            tenant_id,
            new.digest,
            tuple(dict.fromkeys(scopes)),
            now,
            expires_at,
            name=name and _validate_name(name),
        )
        await self._api_keys.add(key, MAX_KEYS)
        return key, new

    async def rotate_key(
        self, tenant_id: str, key_id: str, overlap_s: float, last_end: datetime | None = None
    ) -> tuple[ApiKey, NewApiKey]:
        """A key with the same name, scopes, lifetime and budget; the old one works for `overlap_s` more at most.

        `last_end`: the new one works no longer than that.
        """
        if not 0 <= overlap_s <= MAX_OVERLAP_S:
            raise InvalidRequest(f"must be 0 to {MAX_OVERLAP_S} seconds", field="overlap_s")
        old, now = await self.key(tenant_id, key_id), self._clock.now()
        lifetime = None if old.expires_at is None else old.expires_at - old.created_at
        ends = [now + min(lifetime, LAST_TIME - now)] if lifetime is not None else []
        ends += [last_end] if last_end is not None else []
        end = now + timedelta(seconds=overlap_s)
        replaced = Replaced(old.id, end if old.expires_at is None else min(end, old.expires_at))
        new = generate_key()
        key = replace(
            old,
            id=new.id,
            digest=new.digest,
            created_at=now,
            expires_at=min(ends, default=None),
            last_used_at=None,
        )
        await self._api_keys.add(key, MAX_KEYS, replaced)
        return key, new

    async def remove_key(self, tenant_id: str, key_id: str) -> None:
        await self._api_keys.remove(tenant_id, key_id)


def _validate_name(name: str) -> str:
    if not name.strip() or len(name) > MAX_NAME_CHARACTERS or not name.isprintable():
        raise InvalidRequest(f"must have 1 to {MAX_NAME_CHARACTERS} printable characters", field="name")
    return name.strip()
