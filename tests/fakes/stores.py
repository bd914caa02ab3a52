"""The stores in dictionaries; the contract tests of `tests/stores` hold them to what the databases do."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime
from typing import Any, TypeVar, Unpack

import msgspec

from stores.alerts import BudgetAlert
from stores.audit import AuditFilter, AuditRecord
from stores.batches import (
    CANCELLING,
    FINALIZING,
    NOTHING_EXCLUDED,
    UNFINISHED,
    Backlog,
    Batch,
    BatchBounds,
    BatchState,
    Excluded,
    LeaseLost,
    LineResult,
    StorageFull,
)
from stores.budgets import Budget, Limit, Used
from stores.errors import Conflict, InvalidRequest, NotFound, PreconditionFailed, StoreUnavailable
from stores.factory import Stores
from stores.files import ALL_FILES, CHUNK_BYTES, Expiry, File, FileListing, UploadBounds, never, rechunk
from stores.label_sets import VERSION, LabelSet, LabelSetBounds, missing
from stores.paging import Page, PageRequest, count_within, no_such_item, page_of
from stores.tenants import ACTIVE, LOCAL_TENANT_ID, ApiKey, Replaced, Tenant, TenantChanges
from stores.usage import DailyUsage, KeyUsage, LabelSetUsage

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
    uploads: dict[str, tuple[File, datetime]] = field(default_factory=dict)
    """Under way: what is reserved for each, and when it counts as given up."""
    deleted: list[Tenant | ApiKey | File] = field(default_factory=list)
    """What the audit log knows of, behind which a page may begin."""
    outputs: dict[str, tuple[File, Sequence[bytes]]] = field(default_factory=dict)
    """Written, of batches that are not released yet."""
    batches: dict[str, Batch] = field(default_factory=dict)
    idempotency_keys: dict[tuple[str, str], tuple[str, str]] = field(default_factory=dict)
    """(tenant, key) → (batch, digest of the request)."""
    owners: dict[str, tuple[str, datetime]] = field(default_factory=dict)
    """Batch → (worker, end of its lease)."""
    served_at: dict[str, datetime] = field(default_factory=dict)
    """Of batches and of tenants."""
    unstorable: Collection[int] = ()
    """Lines whose results the database refuses."""
    results: dict[str, dict[int, LineResult]] = field(default_factory=dict)
    usage: dict[tuple[str, date], DailyUsage] = field(default_factory=dict)
    label_set_usage: dict[tuple[str, date, str], DailyUsage] = field(default_factory=dict)
    key_usage: dict[tuple[str, date], Used] = field(default_factory=dict)
    refused: list[tuple[Limit, date, int]] = field(default_factory=list)
    """Limits that refused a request, the month, and what was used."""
    down: bool = False
    hangs: asyncio.Event | None = None
    lookups: int = 0
    """Look-ups of keys so far."""
    usage_reads: int = 0
    """How often was asked what is used of a month."""

    def check(self) -> None:
        if self.down:
            raise StoreUnavailable("the database does not answer")

    def check_tenant(self, tenant_id: str) -> None:
        if tenant_id not in self.tenants:
            raise NotFound("no such tenant")

    def needs(self, file_id: str) -> bool:
        """Whether an unfinished batch has to read it."""
        return any(b.input_file_id == file_id and b.status in UNFINISHED for b in self.batches.values())

    def stored_bytes(self, tenant_id: str) -> int:
        """Of files, uploads under way and results of unfinished batches."""
        files = [file for file, _ in [*self.files.values(), *self.uploads.values()] if file.tenant_id == tenant_id]
        unfinished = [b for b in self.batches.values() if b.tenant_id == tenant_id and b.status in UNFINISHED]
        return sum(file.bytes for file in files) + sum(batch.output_bytes for batch in unfinished)


_Item = TypeVar("_Item", bound=Tenant | ApiKey | File)


def _page_behind(
    shown: Iterable[_Item],
    hidden: Iterable[_Item],
    request: PageRequest,
    order: Callable[[_Item], tuple[Any, ...]],
    *,
    descending: bool = False,
) -> Page[_Item]:
    """Of `shown`, in `order`; it may begin behind one of `hidden`."""
    items: list[_Item] = sorted(shown, key=order, reverse=descending)
    if request.after is not None:
        last = next((item for item in [*items, *hidden] if item.id == request.after), None)
        if last is None:
            raise no_such_item()
        items = [
            item for item in items if (order(item) < order(last) if descending else order(item) > order(last))
        ]
    return Page(items[: request.limit], len(items) > request.limit)


@dataclass
class FakeTenants:
    memory: Memory

    async def add(self, tenant: Tenant) -> None:
        self.memory.check()
        self._check_name(tenant)
        self.memory.tenants[tenant.id] = tenant

    async def get(self, tenant_id: str) -> Tenant | None:
        self.memory.check()
        tenant = self.memory.tenants.get(tenant_id)
        await asyncio.sleep(0)  # Others come between, as with a database.
        return tenant

    async def page(self, request: PageRequest) -> Page[Tenant]:
        self.memory.check()
        gone = [gone for gone in self.memory.deleted if isinstance(gone, Tenant)]
        return _page_behind(self.memory.tenants.values(), gone, request, lambda tenant: (tenant.name,))

    async def change(self, tenant_id: str, **changes: Unpack[TenantChanges]) -> Tenant:
        self.memory.check()
        self.memory.check_tenant(tenant_id)
        tenant = replace(self.memory.tenants[tenant_id], **changes)
        self._check_name(tenant)
        self.memory.tenants[tenant_id] = tenant
        return tenant

    async def remove(self, tenant_id: str) -> None:
        self.memory.check()
        self.memory.check_tenant(tenant_id)
        self.memory.deleted.append(self.memory.tenants.pop(tenant_id))
        for key in [key for key in self.memory.keys.values() if key.tenant_id == tenant_id]:
            del self.memory.keys[key.id]
        for records in (self.memory.versions, self.memory.latest, self.memory.usage, self.memory.label_set_usage):
            for record in [record for record in records if record[0] == tenant_id]:
                del records[record]  # type: ignore[arg-type]
        for batch in [batch for batch in self.memory.batches.values() if batch.tenant_id == tenant_id]:
            del self.memory.batches[batch.id]
            self.memory.owners.pop(batch.id, None)
        for file in [file for file, _ in self.memory.files.values() if file.tenant_id == tenant_id]:
            del self.memory.files[file.id]

    def _check_name(self, tenant: Tenant) -> None:
        if any(other.name == tenant.name and other.id != tenant.id for other in self.memory.tenants.values()):
            raise Conflict(f"a tenant named {tenant.name!r} already exists")


@dataclass
class FakeApiKeys:
    memory: Memory

    async def add(self, key: ApiKey, max_keys: int, replaced: Replaced | None = None) -> None:
        self.memory.check()
        self.memory.check_tenant(key.tenant_id)
        if sum(known.tenant_id == key.tenant_id for known in self.memory.keys.values()) >= max_keys:
            raise Conflict(f"the tenant has {max_keys} keys; revoke one first")
        if replaced is not None:
            old = self.memory.keys.get(replaced.id)
            if old is None or old.tenant_id != key.tenant_id:
                raise NotFound("the tenant has no such key")
            self.memory.keys[old.id] = replace(old, expires_at=replaced.expires_at)
            for (key_id, month), used in list(self.memory.key_usage.items()):
                if key_id == old.id:
                    self.memory.key_usage[key.id, month] = used
        expires_at = key.expires_at and key.expires_at.astimezone(UTC)
        self.memory.keys[key.id] = replace(key, expires_at=expires_at)

    async def find(self, key_id: str) -> tuple[ApiKey, Tenant] | None:
        self.memory.check()
        if self.memory.hangs is not None:
            await self.memory.hangs.wait()
        self.memory.lookups += 1
        key = self.memory.keys.get(key_id)
        return None if key is None else (key, self.memory.tenants[key.tenant_id])

    async def page(self, tenant_id: str, request: PageRequest) -> Page[ApiKey]:
        self.memory.check()
        keys = [key for key in self.memory.keys.values() if key.tenant_id == tenant_id]
        deleted = [gone for gone in self.memory.deleted if isinstance(gone, ApiKey)]
        gone = [key for key in deleted if key.tenant_id == tenant_id]
        return _page_behind(keys, gone, request, lambda key: (key.created_at, key.id))

    async def set_budget(self, tenant_id: str, key_id: str, budget: Budget) -> None:
        self.memory.check()
        self.memory.check_tenant(tenant_id)
        key = self.memory.keys.get(key_id)
        if key is None or key.tenant_id != tenant_id:
            raise NotFound("the tenant has no such key")
        self.memory.keys[key_id] = replace(key, budget=budget)

    async def ends(self, since: datetime, until: datetime, limit: int) -> dict[str, datetime]:
        self.memory.check()
        ends = [
            (end, key.id) for key in self.memory.keys.values() if (end := key.expires_at) and since <= end <= until
        ]
        return {key_id: end for end, key_id in sorted(ends)[:limit]}

    async def mark_used(self, key_id: str, used_at: datetime) -> None:
        self.memory.check()
        if key_id not in self.memory.keys:
            raise NotFound("no such key")
        self.memory.keys[key_id] = replace(self.memory.keys[key_id], last_used_at=used_at)

    async def remove(self, tenant_id: str, key_id: str) -> None:
        self.memory.check()
        key = self.memory.keys.get(key_id)
        if key is None or key.tenant_id != tenant_id:
            raise NotFound("the tenant has no such key")
        self.memory.deleted.append(self.memory.keys.pop(key_id))


@dataclass
class FakeLabelSets:
    memory: Memory

    async def add(self, label_set: LabelSet, latest: int, bounds: LabelSetBounds) -> Sequence[int]:
        self.memory.check()
        name = (label_set.tenant_id, label_set.name)
        # The local tenant exists without being created.
        if label_set.tenant_id != LOCAL_TENANT_ID:
            self.memory.check_tenant(label_set.tenant_id)
        if self.memory.latest.get(name, (0, False))[0] != latest:
            raise PreconditionFailed("the label set was changed since you read it; read it again")
        names = [state[1] for key, state in self.memory.latest.items() if key[0] == label_set.tenant_id]
        if not self.memory.latest.get(name, (0, False))[1] and names.count(True) >= bounds.max_sets:
            raise Conflict(f"the tenant has {bounds.max_sets} label sets; delete one first")
        if name not in self.memory.latest and len(names) >= bounds.max_names:
            raise Conflict(f"the tenant has used {bounds.max_names} names; use one of a deleted label set again")
        kept = sorted((version for *key, version in self.memory.versions if tuple(key) == name), reverse=True)
        removed = sorted(kept[bounds.max_versions - 1 :])
        others = [
            version
            for key, version in self.memory.versions.items()
            if version.tenant_id == label_set.tenant_id and not (key[:2] == name and version.version in removed)
        ]
        if sum(map(_bytes_of, [*others, label_set])) > bounds.max_bytes:
            raise Conflict(
                f"the tenant's label sets would have more than {bounds.max_bytes} bytes; delete one first"
            )
        for version in removed:
            del self.memory.versions[*name, version]
        self.memory.latest[name] = (label_set.version, True)
        self.memory.versions[*name, label_set.version] = label_set
        return removed

    async def latest(self, tenant_id: str, name: str) -> tuple[int, bool]:
        self.memory.check()
        return self.memory.latest.get((tenant_id, name), (0, False))

    async def get(self, tenant_id: str, name: str, version: int) -> LabelSet | None:
        self.memory.check()
        return self.memory.versions.get((tenant_id, name, version))

    async def page(self, tenant_id: str, request: PageRequest, name: str | None = None) -> Page[LabelSet]:
        self.memory.check()
        versions = [version for version in self.memory.versions.values() if version.tenant_id == tenant_id]
        if name is None:
            versions = [v for v in versions if self.memory.latest[tenant_id, v.name][0] == v.version]
            versions = [v for v in versions if request.after is None or v.name > request.after]
        else:
            if request.after is not None and not VERSION.fullmatch(request.after):
                raise no_such_item()
            versions = [v for v in versions if v.name == name]
            versions = [v for v in versions if request.after is None or v.version < int(request.after)]
        versions.sort(key=lambda version: (version.name, -version.version))
        sizes = [_bytes_of(version) for version in versions[: request.limit]]
        return page_of(versions, PageRequest(count_within(sizes)), lambda version: version.reference)

    async def remove(self, tenant_id: str, name: str) -> None:
        self.memory.check()
        latest, exists = self.memory.latest.get((tenant_id, name), (0, False))
        if not exists:
            raise missing(name)
        self.memory.latest[tenant_id, name] = (latest, False)
        for version in [version for version in self.memory.versions if version[:2] == (tenant_id, name)]:
            del self.memory.versions[version]


def _bytes_of(version: LabelSet) -> int:
    evaluation = b"" if version.evaluation is None else msgspec.json.encode(version.evaluation)
    return len(msgspec.json.encode(version.content)) + len(evaluation)


@dataclass
class FakeFiles:
    memory: Memory

    async def add(
        self, file: File, chunks: AsyncIterator[bytes], bounds: UploadBounds, expiry: Expiry = never
    ) -> File:
        self.memory.check()
        self.memory.check_tenant(file.tenant_id)
        for known, _ in list(self.memory.files.values()):
            expired = known.tenant_id == file.tenant_id and known.has_expired(file.created_at)
            if expired and not self.memory.needs(known.id):
                del self.memory.files[known.id]
        uploads = self.memory.uploads
        for given_up in [upload_id for upload_id, (_, end) in uploads.items() if end < file.created_at]:
            del uploads[given_up]
        of_tenant = [known for known, _ in uploads.values() if known.tenant_id == file.tenant_id]
        complete = [known for known, _ in self.memory.files.values() if known.tenant_id == file.tenant_id]
        if len(of_tenant) + len(complete) >= bounds.max_files:
            raise Conflict(f"the tenant has {bounds.max_files} files; delete one first")
        if len(of_tenant) >= bounds.max_uploads:
            raise Conflict(f"{bounds.max_uploads} uploads of the tenant are under way; wait for one")
        self._check_room(file.tenant_id, file.bytes, bounds)
        uploads[file.id] = (file, bounds.ends_at)
        kept, size = [], 0
        try:
            async for chunk in rechunk(chunks):
                kept.append(chunk)
                size += len(chunk)
                if file.id not in uploads:
                    raise Conflict("the upload took too long, or its tenant was deleted")
                reserved, _ = uploads[file.id]
                if size > reserved.bytes:
                    self._check_room(file.tenant_id, size - reserved.bytes, bounds)
                    uploads[file.id] = (replace(file, bytes=size), bounds.ends_at)
        finally:
            uploads.pop(file.id, None)
        stored = replace(file, bytes=size, expires_at=expiry())
        self.memory.files[file.id] = (stored, kept)
        return stored

    def _check_room(self, tenant_id: str, more: int, bounds: UploadBounds) -> None:
        if self.memory.stored_bytes(tenant_id) + more > bounds.max_bytes:
            raise Conflict(
                f"the tenant's files would have more than {bounds.max_bytes} bytes in all; delete one first"
            )

    async def get(self, tenant_id: str, file_id: str) -> File | None:
        self.memory.check()
        file, _ = self.memory.files.get(file_id, (None, ()))
        return file if file is not None and file.tenant_id == tenant_id else None

    async def page(
        self, tenant_id: str, request: PageRequest, now: datetime | None = None, listing: FileListing = ALL_FILES
    ) -> Page[File]:
        self.memory.check()
        files = [file for file, _ in self.memory.files.values() if file.tenant_id == tenant_id]
        shown = [file for file in files if now is None or not file.has_expired(now)]
        shown = [file for file in shown if listing.purpose in (None, file.purpose)]
        deleted = [gone for gone in self.memory.deleted if isinstance(gone, File)]
        hidden = [file for file in [*files, *deleted] if file.tenant_id == tenant_id and file not in shown]
        descending = not listing.oldest_first
        return _page_behind(shown, hidden, request, lambda file: (file.created_at, file.id), descending=descending)

    async def chunk(self, file_id: str, index: int) -> bytes | None:
        self.memory.check()
        _, chunks = self.memory.files.get(file_id, (None, ()))
        return chunks[index] if index < len(chunks) else None

    async def remove(self, tenant_id: str, file_id: str) -> None:
        if await self.get(tenant_id, file_id) is None:
            raise NotFound("no such file")
        if self.memory.needs(file_id):
            raise Conflict("an unfinished batch needs the file; cancel the batch first")
        self.memory.deleted.append(self.memory.files.pop(file_id)[0])


@dataclass
class FakeBatches:
    """A `BatchStore` and a `BatchQueue`."""

    memory: Memory

    async def add(self, batch: Batch, idempotency_key: str | None, digest: str, bounds: BatchBounds) -> Batch:
        self.memory.check()
        self.memory.check_tenant(batch.tenant_id)
        request = (batch.tenant_id, idempotency_key or "")
        if idempotency_key is not None and request in self.memory.idempotency_keys:
            earlier_id, earlier_digest = self.memory.idempotency_keys[request]
            if earlier_digest != digest:
                raise InvalidRequest("the key was used with another request before", field="Idempotency-Key")
            return self.memory.batches[earlier_id]
        of_tenant = [known for known in self.memory.batches.values() if known.tenant_id == batch.tenant_id]
        if sum(known.status in UNFINISHED for known in of_tenant) >= bounds.max_unfinished:
            raise Conflict(
                f"{bounds.max_unfinished} batches of the tenant are unfinished; wait for one, or cancel it"
            )
        if len(of_tenant) >= bounds.max_batches:
            raise Conflict(f"the tenant has {bounds.max_batches} batches; the oldest are deleted in some days")
        if idempotency_key is not None:
            self.memory.idempotency_keys[request] = (batch.id, digest)
        self.memory.batches[batch.id] = batch
        return batch

    async def get(self, tenant_id: str, batch_id: str) -> Batch | None:
        self.memory.check()
        batch = self.memory.batches.get(batch_id)
        return batch if batch is not None and batch.tenant_id == tenant_id else None

    async def page(self, tenant_id: str, request: PageRequest) -> Page[Batch]:
        self.memory.check()
        batches = [batch for batch in self.memory.batches.values() if batch.tenant_id == tenant_id]
        batches.sort(key=lambda batch: (batch.created_at, batch.id), reverse=True)
        return page_of(batches, request, lambda batch: batch.id)

    async def cancel(self, tenant_id: str, batch_id: str, now: datetime) -> None:
        batch = self.memory.batches[batch_id]
        if batch.status == CANCELLING:
            return
        if batch.status not in UNFINISHED or batch.status == FINALIZING:
            raise Conflict("the batch is finished, or its files are being written")
        self.memory.batches[batch_id] = batch.reach(CANCELLING, now)

    async def backlog(self) -> Backlog:
        self.memory.check()
        left = [
            batch
            for batch in self.memory.batches.values()
            if batch.status in UNFINISHED and self.memory.tenants[batch.tenant_id].status == ACTIVE
        ]
        lines = sum(batch.total - batch.completed - batch.failed for batch in left)
        return Backlog(len(left), lines, min((batch.created_at for batch in left), default=None))

    def _waiting(self, now: datetime, excluded: Excluded) -> list[Batch]:
        return [
            batch
            for batch in self.memory.batches.values()
            if batch.status in UNFINISHED
            and batch.id not in excluded.batch_ids
            and batch.tenant_id not in excluded.tenant_ids
            and self.memory.tenants[batch.tenant_id].status == ACTIVE
            and (batch.id not in self.memory.owners or self.memory.owners[batch.id][1] < now)
        ]

    async def claim(
        self, owner: str, now: datetime, until: datetime, excluded: Excluded = NOTHING_EXCLUDED
    ) -> Batch | None:
        self.memory.check()
        served_at = self.memory.served_at
        waiting = self._waiting(now, excluded)
        if not waiting:
            return None
        first = min(
            waiting,
            key=lambda b: (served_at.get(b.tenant_id, NEVER), served_at.get(b.id, NEVER), b.created_at, b.id),
        )
        self.memory.owners[first.id] = (owner, until)
        served_at[first.id] = served_at[first.tenant_id] = now
        return first

    async def finished_lines(self, batch_id: str) -> set[int]:
        return set(self.memory.results.get(batch_id, {}))

    async def record(
        self, batch: Batch, owner: str, results: Sequence[LineResult], until: datetime, max_tenant_bytes: int
    ) -> str:
        self._check_owner(batch.id, owner)
        more = sum(result.bytes for result in results)
        if results and self.memory.stored_bytes(batch.tenant_id) + more > max_tenant_bytes:
            raise StorageFull(batch.id)
        if any(result.line in self.memory.unstorable for result in results):
            raise InvalidRequest("a text or a number that the database cannot keep")
        kept = self.memory.results.setdefault(batch.id, {})
        assert not {result.line for result in results} & set(kept), "a line has one result"
        kept |= {result.line: result for result in results}
        self.memory.owners[batch.id] = (owner, until)
        stored = self.memory.batches[batch.id]
        if stored.status == CANCELLING:
            batch = replace(batch, status=CANCELLING, reached_at=stored.reached_at)
        self.memory.batches[batch.id] = batch
        return batch.status

    async def renew(
        self, batch_id: str, owner: str, now: datetime, until: datetime, excluded: Excluded = NOTHING_EXCLUDED
    ) -> BatchState:
        self._check_owner(batch_id, owner)
        self.memory.owners[batch_id] = (owner, until)
        batch = self.memory.batches[batch_id]
        active = self.memory.tenants[batch.tenant_id].status == ACTIVE
        return BatchState(batch.status, active, bool(self._waiting(now, excluded)))

    async def write_output(self, batch: Batch, owner: str, file: File, *, failed: bool) -> None:
        self._check_owner(batch.id, owner)
        results = sorted(self.memory.results.get(batch.id, {}).items())
        lines = [result.content.encode() + b"\n" for _, result in results if result.failed == failed]
        content = b"".join(lines)
        chunks = [content[start : start + CHUNK_BYTES] for start in range(0, len(content), CHUNK_BYTES)]
        self.memory.outputs[file.id] = (replace(file, bytes=len(content)), chunks)

    async def release(self, batch: Batch, owner: str) -> None:
        self._check_owner(batch.id, owner)
        del self.memory.owners[batch.id]
        if batch.status not in UNFINISHED:
            self.memory.batches[batch.id] = batch
            self.memory.results.pop(batch.id, None)
            for file_id in (batch.output_file_id, batch.error_file_id):
                if file_id is not None:
                    self.memory.files[file_id] = self.memory.outputs.pop(file_id)

    def _check_owner(self, batch_id: str, owner: str) -> None:
        self.memory.check()
        if self.memory.owners.get(batch_id, ("",))[0] != owner:
            raise LeaseLost(batch_id)


@dataclass
class FakeUsage:
    memory: Memory

    async def add(self, usage: Sequence[DailyUsage], of_keys: Sequence[KeyUsage] = ()) -> None:
        self.memory.check()
        for of_key in of_keys:
            if of_key.key_id in self.memory.keys:
                known = self.memory.key_usage.get((of_key.key_id, of_key.month), Used())
                self.memory.key_usage[of_key.key_id, of_key.month] = Used(
                    known.pairs + of_key.used.pairs, known.tokens + of_key.used.tokens
                )
        for new in usage:
            if new.tenant_id not in self.memory.tenants:
                continue
            day, of_set = (new.tenant_id, new.day), (new.tenant_id, new.day, new.label_set)
            self.memory.usage[day] = _sum(self.memory.usage.get(day), replace(new, label_set=""))
            if new.label_set:
                self.memory.label_set_usage[of_set] = _sum(self.memory.label_set_usage.get(of_set), new)

    async def used(self, tenant_id: str, key_id: str, month: date) -> Used:
        self.memory.usage_reads += 1
        self.memory.check()
        if key_id:
            return self.memory.key_usage.get((key_id, month), Used())
        daily = [use for use in self.memory.usage.values() if use.tenant_id == tenant_id]
        days = [use for use in daily if use.day.replace(day=1) == month]
        return Used(sum(use.pairs_computed for use in days), sum(use.tokens for use in days))

    async def of(self, tenant_id: str, first: date, last: date, label_set: str = "") -> Sequence[DailyUsage]:
        self.memory.check()
        kept = [*self.memory.label_set_usage.values()] if label_set else [*self.memory.usage.values()]
        daily = [usage for usage in kept if (usage.tenant_id, usage.label_set) == (tenant_id, label_set)]
        return sorted((usage for usage in daily if first <= usage.day <= last), key=lambda usage: usage.day)

    async def by_label_set(
        self, tenant_id: str, first: date, last: date, limit: int, label_set: str = ""
    ) -> Sequence[LabelSetUsage]:
        names = {
            name
            for owner, _, name in self.memory.label_set_usage
            if owner == tenant_id and label_set in ("", name)
        }
        sums = []
        for name in sorted(names):
            days = await self.of(tenant_id, first, last, name)
            if days:
                totals = [(day.requests, day.pairs_computed, day.pairs_cached, day.tokens) for day in days]
                sums.append(LabelSetUsage(name, *map(sum, zip(*totals, strict=True))))
        return sorted(sums, key=lambda usage: -usage.pairs_computed)[:limit]


def _sum(old: DailyUsage | None, new: DailyUsage) -> DailyUsage:
    if old is None:
        return new
    return replace(
        new,
        requests=old.requests + new.requests,
        pairs_computed=old.pairs_computed + new.pairs_computed,
        pairs_cached=old.pairs_cached + new.pairs_cached,
        tokens=old.tokens + new.tokens,
    )


@dataclass
class FakeAuditLog:
    """An `AuditLog` without records: the other fakes write none."""

    memory: Memory

    async def page(self, records: AuditFilter, request: PageRequest) -> Page[AuditRecord]:
        self.memory.check()
        return Page([], has_more=False)

    async def read(self, records: AuditFilter, limit: int) -> Sequence[AuditRecord]:
        self.memory.check()
        return []

    async def prune(self, before: datetime) -> int:
        self.memory.check()
        return 0


@dataclass
class FakeAlerts:
    """An `AlertStore` of refusals."""

    memory: Memory

    async def notice(self, now: datetime) -> None:
        self.memory.check()

    async def refused(self, limit: Limit, month: date, used: int, now: datetime) -> None:
        self.memory.check()
        self.memory.refused.append((limit, month, used))

    async def claim(self, now: datetime, until: datetime, most: int) -> Sequence[BudgetAlert]:
        self.memory.check()
        return []

    async def delivered(self, alert: BudgetAlert) -> None:
        self.memory.check()

    async def failed(self, alert: BudgetAlert, due_at: datetime | None) -> None:
        self.memory.check()


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
        FakeAuditLog(memory),
        FakeAlerts(memory),
        close,
        close,
    )
