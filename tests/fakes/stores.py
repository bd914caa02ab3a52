"""Tenants and keys in dictionaries; the stores' contract test holds them to what the databases do."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime

from gateway.assembly import Stores
from gateway.batches import ACTIVE, CANCELLING, FINALIZING, Batch, LeaseLost, LineResult
from gateway.errors import Conflict, InvalidRequest, NotFound, PreconditionNeeded, StoreUnavailable
from gateway.files import File, cut
from gateway.label_sets import LabelSet
from gateway.tenants import LOCAL_TENANT_ID, Key, Tenant
from gateway.usage import Use


@dataclass
class Memory:
    """What both stores share. `down`: every call fails as with a database that is gone; `hangs` holds look-ups."""

    tenants: dict[str, Tenant] = field(default_factory=dict)
    keys: dict[str, Key] = field(default_factory=dict)
    versions: dict[tuple[str, str, int], LabelSet] = field(default_factory=dict)
    latest: dict[tuple[str, str], tuple[int, bool]] = field(default_factory=dict)
    files: dict[str, tuple[File, Sequence[bytes]]] = field(default_factory=dict)
    batches: dict[str, Batch] = field(default_factory=dict)
    asked: dict[tuple[str, str], tuple[str, str]] = field(default_factory=dict)
    owners: dict[str, tuple[str, datetime]] = field(default_factory=dict)
    served: dict[str, datetime] = field(default_factory=dict)
    results: dict[str, dict[int, LineResult]] = field(default_factory=dict)
    uses: dict[tuple[str, date], Use] = field(default_factory=dict)
    down: bool = False
    hangs: asyncio.Event | None = None
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
        for known in (self.memory.versions, self.memory.latest, self.memory.uses):
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
        if self.memory.hangs is not None:
            await self.memory.hangs.wait()
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
        # The local tenant is there without being made.
        if label_set.tenant_id not in {*self.memory.tenants, LOCAL_TENANT_ID}:
            raise NotFound("there is no such tenant")
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


@dataclass
class FakeFiles:
    memory: Memory

    async def add(self, file: File, pieces: AsyncIterator[bytes]) -> File:
        self.memory.check()
        if file.tenant_id not in self.memory.tenants:
            raise NotFound("there is no such tenant")
        kept = [piece async for piece in cut(pieces)]
        made = replace(file, bytes=sum(map(len, kept)))
        self.memory.files[file.id] = (made, kept)
        return made

    async def get(self, tenant_id: str, file_id: str) -> File | None:
        self.memory.check()
        found = self.memory.files.get(file_id)
        return found[0] if found and found[0].tenant_id == tenant_id else None

    async def all(self, tenant_id: str) -> Sequence[File]:
        self.memory.check()
        mine = [file for file, _ in self.memory.files.values() if file.tenant_id == tenant_id]
        return sorted(sorted(mine, key=lambda file: file.id), key=lambda file: file.created_at, reverse=True)

    async def piece(self, file_id: str, place: int) -> bytes | None:
        self.memory.check()
        pieces = self.memory.files[file_id][1] if file_id in self.memory.files else []
        return pieces[place] if place < len(pieces) else None

    async def remove(self, tenant_id: str, file_id: str) -> None:
        if await self.get(tenant_id, file_id) is None:
            raise NotFound("there is no such file")
        if any(b.input_file_id == file_id and b.status in ACTIVE for b in self.memory.batches.values()):
            raise Conflict("a batch that is not done needs the file; cancel it first")
        del self.memory.files[file_id]


@dataclass
class FakeBatches:
    """A `BatchStore` and `BatchWork`."""

    memory: Memory

    async def add(self, batch: Batch, key: str | None, digest: str) -> Batch:
        self.memory.check()
        if batch.tenant_id not in self.memory.tenants:
            raise NotFound("there is no such tenant")
        if key is not None:
            known_id, known_digest = self.memory.asked.setdefault((batch.tenant_id, key), (batch.id, digest))
            if known_digest != digest:
                raise InvalidRequest("the key came with another request before", field="Idempotency-Key")
            if known_id != batch.id:
                return self.memory.batches[known_id]
        self.memory.batches[batch.id] = batch
        return batch

    async def get(self, tenant_id: str, batch_id: str) -> Batch | None:
        self.memory.check()
        found = self.memory.batches.get(batch_id)
        return found if found and found.tenant_id == tenant_id else None

    async def all(self, tenant_id: str) -> Sequence[Batch]:
        self.memory.check()
        mine = [batch for batch in self.memory.batches.values() if batch.tenant_id == tenant_id]
        return sorted(sorted(mine, key=lambda b: b.id), key=lambda b: b.created_at, reverse=True)

    async def cancel(self, tenant_id: str, batch_id: str, now: datetime) -> None:
        batch = self.memory.batches[batch_id]
        if batch.status == CANCELLING:
            return
        if batch.status not in ACTIVE or batch.status == FINALIZING:
            raise Conflict("the batch is done, or its files are being written")
        self.memory.batches[batch_id] = batch.reach(CANCELLING, now)

    async def claim(self, owner: str, now: datetime, until: datetime) -> Batch | None:
        self.memory.check()
        never = datetime(1970, 1, 1, tzinfo=UTC)
        waiting = [
            batch
            for batch in self.memory.batches.values()
            if batch.status in ACTIVE
            and self.memory.tenants[batch.tenant_id].status == "active"
            and (batch.id not in self.memory.owners or self.memory.owners[batch.id][1] < now)
        ]
        if not waiting:
            return None
        first = min(waiting, key=lambda b: (self.memory.served.get(b.id, never), b.created_at, b.id))
        self.memory.owners[first.id] = (owner, until)
        self.memory.served[first.id] = now
        return first

    async def known_lines(self, batch_id: str) -> set[int]:
        return set(self.memory.results.get(batch_id, {}))

    async def record(self, batch: Batch, owner: str, results: Sequence[LineResult], until: datetime) -> str:
        self._check_owner(batch.id, owner)
        kept = self.memory.results.setdefault(batch.id, {})
        kept |= {result.line: result for result in results}
        self.memory.owners[batch.id] = (owner, until)
        there = self.memory.batches[batch.id]
        if there.status == CANCELLING:
            batch = replace(batch, status=CANCELLING, times=there.times)
        self.memory.batches[batch.id] = batch
        return batch.status

    async def renew(self, batch_id: str, owner: str, until: datetime) -> None:
        self._check_owner(batch_id, owner)
        self.memory.owners[batch_id] = (owner, until)

    async def results(self, batch_id: str, *, failed: bool) -> AsyncIterator[LineResult]:
        for _, result in sorted(self.memory.results.get(batch_id, {}).items()):
            if result.failed == failed:
                yield result

    async def finish(self, batch: Batch, owner: str) -> None:
        self._check_owner(batch.id, owner)
        del self.memory.owners[batch.id]
        if batch.status not in ACTIVE:
            self.memory.batches[batch.id] = batch
            self.memory.results.pop(batch.id, None)

    def _check_owner(self, batch_id: str, owner: str) -> None:
        self.memory.check()
        if self.memory.owners.get(batch_id, ("",))[0] != owner:
            raise LeaseLost(batch_id)


@dataclass
class FakeUsage:
    memory: Memory

    async def add(self, uses: Sequence[Use]) -> None:
        self.memory.check()
        for use in uses:
            if use.tenant_id not in self.memory.tenants:
                continue
            old = self.memory.uses.get((use.tenant_id, use.day), Use(use.tenant_id, use.day))
            self.memory.uses[use.tenant_id, use.day] = Use(
                use.tenant_id,
                use.day,
                old.requests + use.requests,
                old.pairs_computed + use.pairs_computed,
                old.pairs_cached + use.pairs_cached,
            )

    async def of(self, tenant_id: str, first: date, last: date) -> Sequence[Use]:
        self.memory.check()
        mine = [use for use in self.memory.uses.values() if use.tenant_id == tenant_id]
        return sorted((use for use in mine if first <= use.day <= last), key=lambda use: use.day)


def fake_stores(memory: Memory | None = None) -> Stores:
    async def close() -> None:
        pass

    memory = memory or Memory()
    return Stores(
        FakeTenants(memory),
        FakeKeys(memory),
        FakeLabelSets(memory),
        FakeFiles(memory),
        FakeBatches(memory),
        FakeUsage(memory),
        close,
    )
