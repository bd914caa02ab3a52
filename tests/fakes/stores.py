"""Tenants and keys in dictionaries; the stores' contract test holds them to what the databases do."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime

from gateway.app import Stores
from gateway.errors import Conflict, NotFound, PreconditionNeeded, StoreUnavailable
from gateway.label_sets import LabelSet
from gateway.tenants import Key, Tenant


@dataclass
class Memory:
    """What both stores share; `down` makes every call fail as a database does that is gone."""

    tenants: dict[str, Tenant] = field(default_factory=dict)
    keys: dict[str, Key] = field(default_factory=dict)
    versions: dict[tuple[str, str, int], LabelSet] = field(default_factory=dict)
    latest: dict[tuple[str, str], tuple[int, bool]] = field(default_factory=dict)
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
        for known in (self.memory.versions, self.memory.latest):
            for place in [place for place in known if place[0] == tenant_id]:
                del known[place]  # type: ignore[attr-defined]

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


@dataclass
class FakeLabelSets:
    memory: Memory

    async def add(self, label_set: LabelSet, latest: int) -> None:
        self.memory.check()
        place = (label_set.tenant_id, label_set.name)
        if self.memory.latest.get(place, (0, False))[0] != latest:
            raise PreconditionNeeded("somebody else has written this label set since; look again")
        self.memory.latest[place] = (label_set.version, True)
        self.memory.versions[*place, label_set.version] = label_set

    async def latest(self, tenant_id: str, name: str) -> tuple[int, bool]:
        self.memory.check()
        return self.memory.latest.get((tenant_id, name), (0, False))

    async def get(self, tenant_id: str, name: str, version: int) -> LabelSet | None:
        self.memory.check()
        return self.memory.versions.get((tenant_id, name, version))

    async def all(self, tenant_id: str, name: str | None = None) -> Sequence[LabelSet]:
        self.memory.check()
        own = [one for one in self.memory.versions.values() if one.tenant_id == tenant_id]
        newest = {place: latest for place, (latest, _) in self.memory.latest.items()}
        if name is None:
            own = [one for one in own if newest[tenant_id, one.name] == one.version]
        else:
            own = [one for one in own if one.name == name]
        return sorted(own, key=lambda one: (one.name, -one.version))

    async def remove(self, tenant_id: str, name: str) -> None:
        self.memory.check()
        latest, there = self.memory.latest.get((tenant_id, name), (0, False))
        if not there:
            raise NotFound("there is no such label set")
        self.memory.latest[tenant_id, name] = (latest, False)
        for place in [place for place in self.memory.versions if place[:2] == (tenant_id, name)]:
            del self.memory.versions[place]


def fake_stores(memory: Memory | None = None) -> Stores:
    async def close() -> None:
        pass

    memory = memory or Memory()
    return Stores(FakeTenants(memory), FakeKeys(memory), FakeLabelSets(memory), close)
