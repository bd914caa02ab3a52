"""Tenants and keys in dictionaries; the stores' contract test holds them to what the databases do."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime

from gateway.app import Stores
from gateway.errors import Conflict, NotFound, StoreUnavailable
from gateway.tenants import Key, Tenant


@dataclass
class Memory:
    """What both stores share; `down` makes every call fail as a database does that is gone."""

    tenants: dict[str, Tenant] = field(default_factory=dict)
    keys: dict[str, Key] = field(default_factory=dict)
    down: bool = False
    lookups: int = 0

    def check(self) -> None:
        if self.down:
            raise StoreUnavailable("the database does not answer")


@dataclass
class FakeTenants:
    memory: Memory

    async def add(self, tenant: Tenant) -> None:
        self.memory.check()
        self._check_name(tenant)
        self.memory.tenants[tenant.id] = tenant

    async def get(self, tenant_id: str) -> Tenant | None:
        self.memory.check()
        return self.memory.tenants.get(tenant_id)

    async def all(self) -> Sequence[Tenant]:
        self.memory.check()
        return sorted(self.memory.tenants.values(), key=lambda tenant: tenant.name)

    async def change(self, tenant: Tenant) -> None:
        self.memory.check()
        if tenant.id not in self.memory.tenants:
            raise NotFound("there is no such tenant")
        self._check_name(tenant)
        self.memory.tenants[tenant.id] = tenant

    async def remove(self, tenant_id: str) -> None:
        self.memory.check()
        if self.memory.tenants.pop(tenant_id, None) is None:
            raise NotFound("there is no such tenant")
        for key in [key for key in self.memory.keys.values() if key.tenant_id == tenant_id]:
            del self.memory.keys[key.id]

    def _check_name(self, tenant: Tenant) -> None:
        if any(other.name == tenant.name and other.id != tenant.id for other in self.memory.tenants.values()):
            raise Conflict(f"there is a tenant named {tenant.name!r} already")


@dataclass
class FakeKeys:
    memory: Memory

    async def add(self, key: Key) -> None:
        self.memory.check()
        if key.tenant_id not in self.memory.tenants:
            raise NotFound("there is no such tenant")
        expires_at = key.expires_at and key.expires_at.astimezone(UTC)
        self.memory.keys[key.id] = replace(key, expires_at=expires_at)

    async def find(self, key_id: str) -> tuple[Key, Tenant] | None:
        self.memory.check()
        self.memory.lookups += 1
        key = self.memory.keys.get(key_id)
        return None if key is None else (key, self.memory.tenants[key.tenant_id])

    async def of(self, tenant_id: str) -> Sequence[Key]:
        self.memory.check()
        own = [key for key in self.memory.keys.values() if key.tenant_id == tenant_id]
        return sorted(own, key=lambda key: (key.created_at, key.id))

    async def change(
        self, key_id: str, *, expires_at: datetime | None = None, last_used_at: datetime | None = None
    ) -> None:
        self.memory.check()
        if key_id not in self.memory.keys:
            raise NotFound("there is no such key")
        key = self.memory.keys[key_id]
        self.memory.keys[key_id] = replace(
            key, expires_at=expires_at or key.expires_at, last_used_at=last_used_at or key.last_used_at
        )

    async def remove(self, tenant_id: str, key_id: str) -> None:
        self.memory.check()
        key = self.memory.keys.get(key_id)
        if key is None or key.tenant_id != tenant_id:
            raise NotFound("the tenant has no such key")
        del self.memory.keys[key_id]


def fake_stores(memory: Memory | None = None) -> Stores:
    async def close() -> None:
        pass

    memory = memory or Memory()
    return Stores(FakeTenants(memory), FakeKeys(memory), close)
