"""Tenants and their keys: what may be done with them. Knows no HTTP and no database."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Protocol

from gateway.clock import Clock
from gateway.errors import Conflict, InvalidRequest, NotFound
from gateway.keys import NewKey, make_key
from gateway.quotas import NO_QUOTA, Quota

ACTIVE, SUSPENDED = "active", "suspended"
CLASSIFY, READ_LABEL_SETS, WRITE_LABEL_SETS = "classify", "label_sets:read", "label_sets:write"
READ_USAGE = "usage:read"
SCOPES = (CLASSIFY, READ_LABEL_SETS, WRITE_LABEL_SETS, READ_USAGE)
"""What a key may be allowed to do."""
LOCAL_TENANT_ID = "local"
MAX_NAME_CHARACTERS = 100
MAX_KEYS = 100
"""Keys of one tenant; a bound, since each is listed and looked through."""
MAX_QUOTA = 1_000_000_000
MAX_OVERLAP_S = 30 * 86_400


@dataclass(frozen=True, slots=True)
class Tenant:
    id: str
    name: str
    status: str
    """`active` or `suspended`: a suspended tenant's keys are refused, and nothing of it is lost."""
    created_at: datetime
    quota: Quota = NO_QUOTA
    """Its own; where it has none, the gateway's."""


@dataclass(frozen=True, slots=True)
class Key:
    """What is known of a key: everything but the key."""

    id: str
    tenant_id: str
    digest: str
    scopes: tuple[str, ...]
    created_at: datetime
    expires_at: datetime | None
    last_used_at: datetime | None = None

    def __repr__(self) -> str:
        return f"Key(id={self.id!r}, tenant_id={self.tenant_id!r})"


class TenantStore(Protocol):
    """Tenants, kept; a name is there once."""

    async def add(self, tenant: Tenant) -> None:
        """`Conflict` when the name is taken."""
        ...

    async def get(self, tenant_id: str) -> Tenant | None: ...

    async def all(self) -> Sequence[Tenant]:
        """By name."""
        ...

    async def change(self, tenant: Tenant) -> None:
        """`NotFound` when it is gone, `Conflict` when the name is taken."""
        ...

    async def remove(self, tenant_id: str) -> None:
        """With its keys; `NotFound` when it is gone."""
        ...


class KeyStore(Protocol):
    """Keys, kept; each belongs to a tenant."""

    async def add(self, key: Key) -> None:
        """`NotFound` when the tenant is gone."""
        ...

    async def find(self, key_id: str) -> tuple[Key, Tenant] | None: ...

    async def of(self, tenant_id: str) -> Sequence[Key]:
        """In the order of their creation."""
        ...

    async def change(
        self, key_id: str, *, expires_at: datetime | None = None, last_used_at: datetime | None = None
    ) -> None:
        """What is given, and nothing else of the record; `NotFound` when it is gone."""
        ...

    async def remove(self, tenant_id: str, key_id: str) -> None:
        """`NotFound` when the tenant has no such key."""
        ...


class Tenants:
    """The operator's view."""

    def __init__(self, tenants: TenantStore, keys: KeyStore, clock: Clock) -> None:
        self._tenants = tenants
        self._keys = keys
        self._clock = clock

    async def create(self, name: str) -> Tenant:
        tenant = Tenant(f"t_{secrets.token_hex(6)}", _checked_name(name), ACTIVE, self._clock.now())
        await self._tenants.add(tenant)
        return tenant

    async def ensure_local(self) -> None:
        """The tenant of this machine, who also asks without a key where none is needed."""
        with suppress(Conflict):  # Another gateway may be doing the same.
            if await self._tenants.get(LOCAL_TENANT_ID) is not None:
                return
            await self._tenants.add(Tenant(LOCAL_TENANT_ID, LOCAL_TENANT_ID, ACTIVE, self._clock.now()))

    async def all(self) -> Sequence[Tenant]:
        return await self._tenants.all()

    async def get(self, tenant_id: str) -> Tenant:
        tenant = await self._tenants.get(tenant_id)
        if tenant is None:
            raise NotFound("there is no such tenant")
        return tenant

    async def change(self, tenant_id: str, *, name: str | None = None, status: str | None = None) -> Tenant:
        """Rename, suspend (`suspended`) or let in again (`active`)."""
        tenant = await self.get(tenant_id)
        if name is not None:
            tenant = replace(tenant, name=_checked_name(name))
        if status is not None:
            if status not in (ACTIVE, SUSPENDED):
                raise InvalidRequest(f"{ACTIVE} and {SUSPENDED} are possible", field="status")
            tenant = replace(tenant, status=status)
        await self._tenants.change(tenant)
        return tenant

    async def set_quota(self, tenant_id: str, quota: Quota) -> Tenant:
        """A quota of its own; None in it: the gateway's."""
        for field, value in (
            ("requests_per_minute", quota.requests),
            ("pairs_per_minute", quota.pairs),
            ("pairs_in_flight", quota.pairs_in_flight),
        ):
            if value is not None and not 1 <= value <= MAX_QUOTA:
                raise InvalidRequest(f"1 to {MAX_QUOTA} is possible", field=field)
        tenant = replace(await self.get(tenant_id), quota=quota)
        await self._tenants.change(tenant)
        return tenant

    async def remove(self, tenant_id: str) -> None:
        """With everything that is the tenant's."""
        await self._tenants.remove(tenant_id)

    async def keys(self, tenant_id: str) -> Sequence[Key]:
        await self.get(tenant_id)
        return await self._keys.of(tenant_id)

    async def add_key(
        self, tenant_id: str, scopes: Sequence[str] = SCOPES, expires_at: datetime | None = None
    ) -> tuple[Key, NewKey]:
        """A key for the tenant; the `NewKey` is the only place where it can be read."""
        now = self._clock.now()
        unknown = set(scopes) - set(SCOPES)
        if unknown:
            raise InvalidRequest(f"{min(unknown)!r} is none of {', '.join(SCOPES)}", field="scopes")
        if expires_at is not None and (expires_at.tzinfo is None or expires_at <= now):
            raise InvalidRequest("a time in the future, with its zone, is needed", field="expires_at")
        if len(await self.keys(tenant_id)) >= MAX_KEYS:
            raise Conflict(f"the tenant has {MAX_KEYS} keys; revoke one first")
        new = make_key()
        key = Key(new.id, tenant_id, new.digest, tuple(dict.fromkeys(scopes)), now, expires_at)
        await self._keys.add(key)
        return key, new

    async def rotate_key(self, tenant_id: str, key_id: str, overlap_s: float) -> tuple[Key, NewKey]:
        """A key with the same scopes and lifetime; the old one works for another `overlap_s` at most."""
        if not 0 <= overlap_s <= MAX_OVERLAP_S:
            raise InvalidRequest(f"0 to {MAX_OVERLAP_S} seconds are possible", field="overlap_s")
        old = next((key for key in await self.keys(tenant_id) if key.id == key_id), None)
        if old is None:
            raise NotFound("the tenant has no such key")
        now = self._clock.now()
        lifetime = None if old.expires_at is None else old.expires_at - old.created_at
        made = await self.add_key(tenant_id, old.scopes, None if lifetime is None else now + lifetime)
        end = now + timedelta(seconds=overlap_s)
        await self._keys.change(old.id, expires_at=end if old.expires_at is None else min(end, old.expires_at))
        return made

    async def remove_key(self, tenant_id: str, key_id: str) -> None:
        await self._keys.remove(tenant_id, key_id)


def _checked_name(name: str) -> str:
    if not name.strip() or len(name) > MAX_NAME_CHARACTERS or not name.isprintable():
        raise InvalidRequest(f"1 to {MAX_NAME_CHARACTERS} printable characters are needed", field="name")
    return name.strip()
