"""The stores in dictionaries; the contract tests of `tests/stores` hold them to what the databases do."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Collection, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime

from stores.batches import CANCELLING, FINALIZING, UNFINISHED, Batch, LeaseLost, LineResult
from stores.errors import Conflict, InvalidRequest, NotFound, PreconditionFailed, StoreUnavailable
from stores.factory import Stores
from stores.files import File, rechunk
from stores.label_sets import LabelSet
from stores.tenants import ACTIVE, LOCAL_TENANT_ID, ApiKey, Tenant
from stores.usage import DailyUsage

NEVER = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass
class Memory:
    """What all fake stores share. `down`: every call fails as with a database that does not answer; `hangs` holds
    look-ups of keys until it is set.
    """

    tenants: dict[str, Tenant] = field(default_factory=dict)
    keys: dict[str, ApiKey] = field(default_factory=dict)
    versions: dict[tuple[str, str, int], LabelSet] = field(default_factory=dict)
    latest: dict[tuple[str, str], tuple[int, bool]] = field(default_factory=dict)
    files: dict[str, tuple[File, Sequence[bytes]]] = field(default_factory=dict)
    batches: dict[str, Batch] = field(default_factory=dict)
    idempotency_keys: dict[tuple[str, str], tuple[str, str]] = field(default_factory=dict)
    """(tenant, key) → (batch, digest of the request)."""
    owners: dict[str, tuple[str, datetime]] = field(default_factory=dict)
    """Batch → (worker, end of its lease)."""
    served_at: dict[str, datetime] = field(default_factory=dict)
    results: dict[str, dict[int, LineResult]] = field(default_factory=dict)
    usage: dict[tuple[str, date], DailyUsage] = field(default_factory=dict)
    down: bool = False
    hangs: asyncio.Event | None = None
    lookups: int = 0
    """Look-ups of keys so far."""

    def check(self) -> None:
        if self.down:
            raise StoreUnavailable("the database does not answer")

    def check_tenant(self, tenant_id: str) -> None:
        if tenant_id not in self.tenants:
            raise NotFound("no such tenant")


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
        self.memory.check_tenant(tenant.id)
        self._check_name(tenant)
        self.memory.tenants[tenant.id] = tenant

    async def remove(self, tenant_id: str) -> None:
        self.memory.check()
        self.memory.check_tenant(tenant_id)
        del self.memory.tenants[tenant_id]
        for key in [key for key in self.memory.keys.values() if key.tenant_id == tenant_id]:
            del self.memory.keys[key.id]
        for records in (self.memory.versions, self.memory.latest, self.memory.usage):
            for record in [record for record in records if record[0] == tenant_id]:
                del records[record]  # type: ignore[arg-type]

    def _check_name(self, tenant: Tenant) -> None:
        if any(other.name == tenant.name and other.id != tenant.id for other in self.memory.tenants.values()):
            raise Conflict(f"a tenant named {tenant.name!r} already exists")


@dataclass
class FakeApiKeys:
    memory: Memory

    async def add(self, key: ApiKey) -> None:
        self.memory.check()
        self.memory.check_tenant(key.tenant_id)
        expires_at = key.expires_at and key.expires_at.astimezone(UTC)
        self.memory.keys[key.id] = replace(key, expires_at=expires_at)

    async def find(self, key_id: str) -> tuple[ApiKey, Tenant] | None:
        self.memory.check()
        if self.memory.hangs is not None:
            await self.memory.hangs.wait()
        self.memory.lookups += 1
        key = self.memory.keys.get(key_id)
        return None if key is None else (key, self.memory.tenants[key.tenant_id])

    async def of(self, tenant_id: str) -> Sequence[ApiKey]:
        self.memory.check()
        keys = [key for key in self.memory.keys.values() if key.tenant_id == tenant_id]
        return sorted(keys, key=lambda key: (key.created_at, key.id))

    async def change(
        self, key_id: str, *, expires_at: datetime | None = None, last_used_at: datetime | None = None
    ) -> None:
        self.memory.check()
        if key_id not in self.memory.keys:
            raise NotFound("no such key")
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
        name = (label_set.tenant_id, label_set.name)
        # The local tenant exists without being created.
        if label_set.tenant_id != LOCAL_TENANT_ID:
            self.memory.check_tenant(label_set.tenant_id)
        if self.memory.latest.get(name, (0, False))[0] != latest:
            raise PreconditionFailed("the label set was changed since you read it; read it again")
        self.memory.latest[name] = (label_set.version, True)
        self.memory.versions[*name, label_set.version] = label_set

    async def latest(self, tenant_id: str, name: str) -> tuple[int, bool]:
        self.memory.check()
        return self.memory.latest.get((tenant_id, name), (0, False))

    async def get(self, tenant_id: str, name: str, version: int) -> LabelSet | None:
        self.memory.check()
        return self.memory.versions.get((tenant_id, name, version))

    async def all(self, tenant_id: str, name: str | None = None) -> Sequence[LabelSet]:
        self.memory.check()
        versions = [version for version in self.memory.versions.values() if version.tenant_id == tenant_id]
        if name is None:
            versions = [v for v in versions if self.memory.latest[tenant_id, v.name][0] == v.version]
        else:
            versions = [version for version in versions if version.name == name]
        return sorted(versions, key=lambda version: (version.name, -version.version))

    async def remove(self, tenant_id: str, name: str) -> None:
        self.memory.check()
        latest, exists = self.memory.latest.get((tenant_id, name), (0, False))
        if not exists:
            raise NotFound("no such label set")
        self.memory.latest[tenant_id, name] = (latest, False)
        for version in [version for version in self.memory.versions if version[:2] == (tenant_id, name)]:
            del self.memory.versions[version]


@dataclass
class FakeFiles:
    memory: Memory

    async def add(self, file: File, chunks: AsyncIterator[bytes]) -> File:
        self.memory.check()
        self.memory.check_tenant(file.tenant_id)
        kept = [chunk async for chunk in rechunk(chunks)]
        stored = replace(file, bytes=sum(map(len, kept)))
        self.memory.files[file.id] = (stored, kept)
        return stored

    async def get(self, tenant_id: str, file_id: str) -> File | None:
        self.memory.check()
        file, _ = self.memory.files.get(file_id, (None, ()))
        return file if file is not None and file.tenant_id == tenant_id else None

    async def all(self, tenant_id: str) -> Sequence[File]:
        self.memory.check()
        files = [file for file, _ in self.memory.files.values() if file.tenant_id == tenant_id]
        return sorted(sorted(files, key=lambda file: file.id), key=lambda file: file.created_at, reverse=True)

    async def chunk(self, file_id: str, index: int) -> bytes | None:
        self.memory.check()
        _, chunks = self.memory.files.get(file_id, (None, ()))
        return chunks[index] if index < len(chunks) else None

    async def remove(self, tenant_id: str, file_id: str) -> None:
        if await self.get(tenant_id, file_id) is None:
            raise NotFound("no such file")
        if any(b.input_file_id == file_id and b.status in UNFINISHED for b in self.memory.batches.values()):
            raise Conflict("an unfinished batch needs the file; cancel the batch first")
        del self.memory.files[file_id]


@dataclass
class FakeBatches:
    """A `BatchStore` and a `BatchQueue`."""

    memory: Memory

    async def add(self, batch: Batch, idempotency_key: str | None, digest: str) -> Batch:
        self.memory.check()
        self.memory.check_tenant(batch.tenant_id)
        if idempotency_key is not None:
            request = (batch.tenant_id, idempotency_key)
            earlier_id, earlier_digest = self.memory.idempotency_keys.setdefault(request, (batch.id, digest))
            if earlier_digest != digest:
                raise InvalidRequest("the key was used with another request before", field="Idempotency-Key")
            if earlier_id != batch.id:
                return self.memory.batches[earlier_id]
        self.memory.batches[batch.id] = batch
        return batch

    async def get(self, tenant_id: str, batch_id: str) -> Batch | None:
        self.memory.check()
        batch = self.memory.batches.get(batch_id)
        return batch if batch is not None and batch.tenant_id == tenant_id else None

    async def all(self, tenant_id: str) -> Sequence[Batch]:
        self.memory.check()
        batches = [batch for batch in self.memory.batches.values() if batch.tenant_id == tenant_id]
        return sorted(sorted(batches, key=lambda b: b.id), key=lambda b: b.created_at, reverse=True)

    async def cancel(self, tenant_id: str, batch_id: str, now: datetime) -> None:
        batch = self.memory.batches[batch_id]
        if batch.status == CANCELLING:
            return
        if batch.status not in UNFINISHED or batch.status == FINALIZING:
            raise Conflict("the batch is finished, or its files are being written")
        self.memory.batches[batch_id] = batch.reach(CANCELLING, now)

    async def claim(
        self, owner: str, now: datetime, until: datetime, *, excluding: Collection[str] = ()
    ) -> Batch | None:
        self.memory.check()
        waiting = [
            batch
            for batch in self.memory.batches.values()
            if batch.status in UNFINISHED
            and batch.id not in excluding
            and self.memory.tenants[batch.tenant_id].status == ACTIVE
            and (batch.id not in self.memory.owners or self.memory.owners[batch.id][1] < now)
        ]
        if not waiting:
            return None
        first = min(waiting, key=lambda b: (self.memory.served_at.get(b.id, NEVER), b.created_at, b.id))
        self.memory.owners[first.id] = (owner, until)
        self.memory.served_at[first.id] = now
        return first

    async def finished_lines(self, batch_id: str) -> set[int]:
        return set(self.memory.results.get(batch_id, {}))

    async def record(self, batch: Batch, owner: str, results: Sequence[LineResult], until: datetime) -> str:
        self._check_owner(batch.id, owner)
        kept = self.memory.results.setdefault(batch.id, {})
        kept |= {result.line: result for result in results}
        self.memory.owners[batch.id] = (owner, until)
        stored = self.memory.batches[batch.id]
        if stored.status == CANCELLING:
            batch = replace(batch, status=CANCELLING, reached_at=stored.reached_at)
        self.memory.batches[batch.id] = batch
        return batch.status

    async def renew(self, batch_id: str, owner: str, until: datetime) -> None:
        self._check_owner(batch_id, owner)
        self.memory.owners[batch_id] = (owner, until)

    async def results(self, batch_id: str, *, failed: bool) -> AsyncIterator[LineResult]:
        for _, result in sorted(self.memory.results.get(batch_id, {}).items()):
            if result.failed == failed:
                yield result

    async def release(self, batch: Batch, owner: str) -> None:
        self._check_owner(batch.id, owner)
        del self.memory.owners[batch.id]
        if batch.status not in UNFINISHED:
            self.memory.batches[batch.id] = batch
            self.memory.results.pop(batch.id, None)

    def _check_owner(self, batch_id: str, owner: str) -> None:
        self.memory.check()
        if self.memory.owners.get(batch_id, ("",))[0] != owner:
            raise LeaseLost(batch_id)


@dataclass
class FakeUsage:
    memory: Memory

    async def add(self, usage: Sequence[DailyUsage]) -> None:
        self.memory.check()
        for new in usage:
            if new.tenant_id not in self.memory.tenants:
                continue
            old = self.memory.usage.get((new.tenant_id, new.day), DailyUsage(new.tenant_id, new.day))
            self.memory.usage[new.tenant_id, new.day] = DailyUsage(
                new.tenant_id,
                new.day,
                old.requests + new.requests,
                old.pairs_computed + new.pairs_computed,
                old.pairs_cached + new.pairs_cached,
                old.tokens + new.tokens,
            )

    async def of(self, tenant_id: str, first: date, last: date) -> Sequence[DailyUsage]:
        self.memory.check()
        daily = [usage for usage in self.memory.usage.values() if usage.tenant_id == tenant_id]
        return sorted((usage for usage in daily if first <= usage.day <= last), key=lambda usage: usage.day)


def fake_stores(memory: Memory | None = None) -> Stores:
    async def close() -> None:
        pass

    memory = memory or Memory()
    return Stores(
        FakeTenants(memory),
        FakeApiKeys(memory),
        FakeLabelSets(memory),
        FakeFiles(memory),
        FakeBatches(memory),
        FakeUsage(memory),
        close,
    )
