"""The audit log in SQLite and PostgreSQL: what is recorded of an act, and the chain of its records."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from msgspec import structs
from sqlalchemy import create_engine, select, update

from stores.audit import PRUNED, Act, AuditFilter, AuditRecord, Origin, acting, canonical
from stores.batches import VALIDATING, Batch, BatchBounds
from stores.database import Database, migrate
from stores.errors import Conflict, NotFound, StoreUnavailable
from stores.factory import Stores, sql_stores
from stores.files import BATCH_PURPOSE, File, UploadBounds
from stores.label_sets import LabelSet, LabelSetBounds, LabelSetContent, SetLabel
from stores.paging import PageRequest
from stores.revisions import upgrade
from stores.sql.acts import append, record
from stores.sql.tables import audit_log
from stores.tenants import SUSPENDED, ApiKey, Quota, Replaced, Tenant
from wanneng import AuditLogAltered, verify_chain

THEN = datetime(2030, 1, 1, 12, 30, 0, 123456, tzinfo=UTC)
KEY = ApiKey("abc", "t_1", "d" * 64, ("classify",), THEN, None)
BOUNDS = LabelSetBounds(10, 10, 1, 100_000)
ALL = AuditFilter()
ACTS = 10_000


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    await migrate(database_url)
    database = Database(database_url)
    yield database
    await database.close()


@pytest.fixture
def kept(database: Database) -> Stores:
    return sql_stores(database)


async def exported(stores: Stores, records: AuditFilter = ALL, limit: int = 20_000) -> list[str]:
    return [canonical(structs.asdict(record)) for record in await stores.audit.read(records, limit)]


async def acts(stores: Stores, records: AuditFilter = ALL) -> list[AuditRecord]:
    return [record for record in await stores.audit.read(records, 1_000) if record.verb != "database.migrate"]


async def one_chunk() -> AsyncIterator[bytes]:
    yield b"{}"


async def test_every_act_is_recorded_with_what_it_changed(kept: Stores, acme: Tenant) -> None:
    await kept.tenants.add(acme)
    await kept.tenants.change("t_1", status=SUSPENDED, quota=Quota(pairs_per_minute=7))
    await kept.api_keys.add(KEY, 10)
    await kept.api_keys.add(replace(KEY, id="abd"), 10, Replaced("abc", THEN))
    await kept.api_keys.mark_used("abc", THEN)
    await kept.api_keys.remove("t_1", "abd")
    for version in (1, 2):
        content = LabelSetContent((SetLabel("机密标签"),))
        await kept.label_sets.add(LabelSet("t_1", "tickets", version, content, THEN), version - 1, BOUNDS)
    await kept.label_sets.remove("t_1", "tickets")
    file = File("file-1", "t_1", "name", BATCH_PURPOSE, 0, THEN)
    await kept.files.add(file, one_chunk(), UploadBounds(100, 10, 10, THEN))
    batch = Batch("batch_1", "t_1", "file-1", VALIDATING, THEN, THEN + timedelta(days=1), {})
    await kept.batches.add(batch, None, "d", BatchBounds(10, 10))
    await kept.batches.cancel("t_1", "batch_1", THEN)
    await kept.tenants.remove("t_1")
    recorded = await acts(kept)
    assert [(act.verb, act.object) for act in recorded] == [
        ("tenant.create", "tenant/t_1"),
        ("tenant.update", "tenant/t_1"),
        ("key.create", "key/abc"),
        ("key.rotate", "key/abc"),
        ("key.revoke", "key/abd"),
        ("label_set.put", "label_set/tickets"),
        ("label_set.put", "label_set/tickets"),
        ("label_set.delete", "label_set/tickets"),
        ("batch.cancel", "batch/batch_1"),
        ("tenant.delete", "tenant/t_1"),
    ]
    assert {act.tenant_id for act in recorded} == {"t_1"}
    changes = {act.verb: (act.before, act.after) for act in recorded}
    assert changes["tenant.update"] == (
        {"status": "active", "pairs_per_minute": None},
        {"status": "suspended", "pairs_per_minute": 7},
    )
    assert changes["key.rotate"] == (
        {"expires_at": None},
        {"expires_at": "2030-01-01T12:30:00.123456Z", "new_key": "abd", "new_key_expires_at": None},
    )
    assert changes["key.revoke"] == ({"created_at": "2030-01-01T12:30:00.123456Z"}, None)
    before, after = changes["label_set.put"]
    assert before == {"version": 1}
    assert (after["version"], after["labels"], after["removed_versions"]) == (2, 1, [1])
    assert changes["batch.cancel"] == ({"status": "validating"}, {"status": "cancelling"})
    assert changes["tenant.delete"][0]["status"] == "suspended"
    assert verify_chain(await exported(kept)).last == recorded[-1].sequence


async def test_a_deleted_file_is_recorded_without_its_name(kept: Stores, acme: Tenant) -> None:
    await kept.tenants.add(acme)
    file = File("file-1", "t_1", "secret name", BATCH_PURPOSE, 0, THEN)
    await kept.files.add(file, one_chunk(), UploadBounds(100, 10, 10, THEN))
    await kept.files.remove("t_1", "file-1")
    act = (await acts(kept))[-1]
    assert (act.object, act.before) == ("file/file-1", {"created_at": "2030-01-01T12:30:00.123456Z"})
    assert "secret" not in "".join(await exported(kept))


async def test_neither_digests_nor_labels_are_recorded(kept: Stores, acme: Tenant) -> None:
    await kept.tenants.add(acme)
    await kept.api_keys.add(KEY, 10)
    await kept.label_sets.add(LabelSet("t_1", "a", 1, LabelSetContent((SetLabel("机密"),)), THEN), 0, BOUNDS)
    lines = "".join(await exported(kept))
    assert KEY.digest not in lines
    assert "机密" not in lines


async def test_what_is_refused_is_not_recorded(kept: Stores, acme: Tenant, other: Tenant) -> None:
    await kept.tenants.add(acme)
    refusals: list[tuple[type[Exception], Awaitable[object]]] = [
        (Conflict, kept.tenants.add(replace(other, name="Acme"))),
        (NotFound, kept.tenants.change("t_2")),
        (NotFound, kept.tenants.remove("t_2")),
        (NotFound, kept.api_keys.remove("t_1", "abc")),
        (NotFound, kept.api_keys.add(KEY, 10, Replaced("none", THEN))),
        (Conflict, kept.api_keys.add(KEY, 0)),
        (NotFound, kept.label_sets.remove("t_1", "none")),
        (NotFound, kept.files.remove("t_1", "none")),
    ]
    for kind, refusal in refusals:
        with pytest.raises(kind):
            await refusal
    assert [act.verb for act in await acts(kept)] == ["tenant.create"]


async def test_an_act_that_cannot_be_recorded_is_not_done(kept: Stores, database: Database, acme: Tenant) -> None:
    """They are in one transaction."""
    async with database.transaction() as connection:
        await connection.run_sync(audit_log.drop)
    with pytest.raises(StoreUnavailable, match="tables of this release"):
        await kept.tenants.add(acme)
    assert await kept.tenants.get("t_1") is None


async def test_who_acts_is_recorded(kept: Stores, acme: Tenant, other: Tenant) -> None:
    with acting(Origin("admin:0123456789ab", "r-1")):
        await kept.tenants.add(acme)
    await kept.tenants.add(other)
    first, second = await acts(kept)
    assert (first.actor, first.request_id) == ("admin:0123456789ab", "r-1")
    assert second.actor.startswith("command:")
    assert second.request_id is None


async def test_a_migration_is_recorded(kept: Stores) -> None:
    (migration,) = await kept.audit.read(ALL, 10)
    assert (migration.sequence, migration.verb, migration.object) == (1, "database.migrate", "database")
    assert migration.before == {"revision": None}
    assert migration.after["revision"] >= "0013"


async def test_records_are_filtered_and_come_in_pages(kept: Stores, database: Database) -> None:
    with acting(Origin("key:abc")):
        async with database.transaction() as connection:
            for number in range(7):
                await record(connection, Act("x.y", f"tenant/t_{number % 2}", f"t_{number % 2}"))
    chosen = AuditFilter(tenant_id="t_0")
    page = await kept.audit.page(chosen, PageRequest(3))
    assert [act.sequence for act in page.items] == [8, 6, 4]
    assert page.has_more
    page = await kept.audit.page(chosen, PageRequest(3, "4"))
    assert [act.sequence for act in page.items] == [2]
    assert not page.has_more
    now, day = datetime.now(UTC), timedelta(days=1)
    for records, count in (
        (AuditFilter(actor="key:abc"), 7),
        (AuditFilter(actor="key:ab"), 0),
        (AuditFilter(object="tenant/t_1"), 3),
        (AuditFilter(since=now - day, until=now + day), 8),
        (AuditFilter(since=now + day), 0),
        (AuditFilter(until=now - day), 0),
        (AuditFilter(after=6), 2),
    ):
        assert len(await kept.audit.read(records, 100)) == count


async def test_control_planes_write_one_chain(database_url: str) -> None:
    await migrate(database_url)
    planes = [sql_stores(Database(database_url)) for _ in range(3)]
    try:
        await asyncio.gather(
            *(
                planes[number % 3].tenants.add(Tenant(f"t_{number}", f"name {number}", "active", THEN))
                for number in range(45)
            )
        )
        assert verify_chain(await exported(planes[0])).records == 46
    finally:
        await asyncio.gather(*(plane.close() for plane in planes))


async def test_the_chain_can_be_verified_after_pruning(kept: Stores, database: Database, acme: Tenant) -> None:
    await kept.tenants.add(acme)
    tomorrow = datetime.now(UTC) + timedelta(days=1)
    assert await kept.audit.prune(datetime.now(UTC) - timedelta(days=1)) == 0
    assert await kept.audit.prune(tomorrow) == 2
    assert [act.verb for act in await kept.audit.read(ALL, 10)] == [PRUNED]
    await kept.tenants.change("t_1", name="b")
    chain = verify_chain(await exported(kept))
    assert (chain.records, chain.first, chain.last) == (2, 3, 4)
    assert await kept.audit.prune(tomorrow) == 2
    assert verify_chain(await exported(kept)).first == 5
    # Somebody who removes more than that is found.
    await kept.tenants.change("t_1", name="c")
    with pytest.raises(AuditLogAltered) as told:
        verify_chain((await exported(kept))[1:])
    assert told.value.sequence == 5


async def test_a_changed_byte_among_ten_thousand_acts_is_found(tmp_path: Path) -> None:
    """In whatever column: the verification names the record."""
    engine = create_engine(f"sqlite:///{tmp_path}/wanneng.db")
    with engine.begin() as connection, acting(Origin("admin:0123456789ab", "r-1")):
        upgrade(connection)
        for number in range(1, ACTS):
            after = {"name": f"名称 {number}", "control": "\x1f"}
            append(connection, Act("tenant.update", f"tenant/t_{number}", f"t_{number}", {"name": None}, after))
    engine.dispose()
    database = Database(f"sqlite:///{tmp_path}/wanneng.db")
    kept = sql_stores(database)
    intact = await exported(kept)
    chain = verify_chain(intact)
    assert (chain.records, chain.last) == (ACTS, ACTS)
    columns = ("at", "actor", "verb", "object", "tenant_id", "request_id", "before", "after", "previous", "hash")
    for number, name in enumerate(columns):
        sequence, column = 100 + 1_087 * number, audit_log.c[name]
        this_one = audit_log.c.sequence == sequence
        async with database.transaction() as connection:
            value: str = (await connection.execute(select(column).where(this_one))).scalar_one()
            place = value.index("f") if "\\u001f" in value else len(value) // 2
            byte = "F" if value[place] == "f" else "7" if value[place] != "7" else "8"
            changed = value[:place] + byte + value[place + 1 :]
            await connection.execute(update(audit_log).where(this_one).values({name: changed}))
        (line,) = await exported(kept, AuditFilter(after=sequence - 1), 1)
        with pytest.raises(AuditLogAltered) as told:
            verify_chain([*intact[: sequence - 1], line, *intact[sequence:]])
        assert told.value.sequence == sequence, name
        async with database.transaction() as connection:
            await connection.execute(update(audit_log).where(this_one).values({name: value}))
    assert verify_chain(await exported(kept)).hash == chain.hash
    await database.close()
