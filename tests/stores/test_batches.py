"""The contract of files and batches: the same for dictionaries, SQLite and PostgreSQL."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial

import pytest

from stores.batches import (
    CANCELLING,
    COMPLETED,
    IN_PROGRESS,
    VALIDATING,
    Backlog,
    Batch,
    BatchBounds,
    BatchQueue,
    BatchState,
    Excluded,
    LeaseLost,
    LineError,
    LineResult,
    StorageFull,
)
from stores.errors import BodyTooLarge, Conflict, InvalidRequest, NotFound
from stores.factory import Stores
from stores.files import ALL_FILES, BATCH_PURPOSE, CHUNK_BYTES, OUTPUT_PURPOSE, File, FileListing, UploadBounds
from stores.paging import Page, PageRequest
from stores.tenants import SUSPENDED, Tenant
from tests.fakes.chunks import chunks_of
from tests.fakes.stores import FakeBatches

pytestmark = pytest.mark.usefixtures("tenants")
NOW = datetime(2030, 1, 1, tzinfo=UTC)
SOON, LATER = NOW + timedelta(seconds=15), NOW + timedelta(seconds=16)
ALL, ROOM = PageRequest(100), 1_000_000_000
MANY = BatchBounds(max_unfinished=100, max_batches=100)
BOUNDS = UploadBounds(ROOM, max_files=100, max_uploads=100, ends_at=NOW + timedelta(seconds=60))
FILE = File("file-1", "t_1", "一.jsonl", BATCH_PURPOSE, 0, NOW)
OUTPUT = File("file-output-1", "t_1", "out.jsonl", OUTPUT_PURPOSE, 0, NOW)
FIRST = Batch("batch_1", "t_1", "file-1", VALIDATING, NOW, NOW + timedelta(days=1), {"who": "我"}, key_id="abc")


@pytest.fixture
def queue(stores: Stores) -> BatchQueue:
    assert isinstance(stores.batches, BatchQueue)
    return stores.batches


async def test_a_file_comes_back_in_chunks_and_to_its_tenant_alone(stores: Stores) -> None:
    content = bytes(range(256)) * 10_000
    kept = await stores.files.add(FILE, chunks_of(content, 70_000), BOUNDS)
    assert kept == replace(FILE, bytes=len(content))
    assert await stores.files.get("t_1", "file-1") == kept
    read = [await stores.files.chunk("file-1", index) for index in range(4)]
    assert b"".join(chunk for chunk in read if chunk) == content
    assert [len(chunk or b"") for chunk in read] == [CHUNK_BYTES, CHUNK_BYTES, len(content) - 2 * CHUNK_BYTES, 0]
    assert await stores.files.get("t_2", "file-1") is None
    assert (await stores.files.page("t_2", ALL)).items == []
    with pytest.raises(NotFound):
        await stores.files.remove("t_2", "file-1")
    with pytest.raises(NotFound):
        await stores.files.add(replace(FILE, id="file-2", tenant_id="t_9"), chunks_of(b"", 1), BOUNDS)


async def test_a_file_that_breaks_off_is_not_there(stores: Stores) -> None:
    async def broken() -> AsyncIterator[bytes]:
        yield b"x" * 2 * CHUNK_BYTES
        raise BodyTooLarge("too much")

    with pytest.raises(BodyTooLarge):
        await stores.files.add(FILE, broken(), BOUNDS)
    assert await stores.files.get("t_1", "file-1") is None
    assert await stores.files.chunk("file-1", 0) is None


async def test_a_file_stays_while_a_batch_needs_it(stores: Stores, queue: BatchQueue) -> None:
    await stores.files.add(FILE, chunks_of(b"x", 1), BOUNDS)
    await stores.batches.add(FIRST, None, "d", MANY)
    with pytest.raises(Conflict):
        await stores.files.remove("t_1", "file-1")
    assert await queue.claim("w", NOW, SOON) == FIRST
    await queue.release(FIRST.reach(COMPLETED, NOW), "w")
    await stores.files.remove("t_1", "file-1")
    assert await stores.files.chunk("file-1", 0) is None


async def test_a_batch_comes_back_as_it_was_kept(stores: Stores) -> None:
    await stores.batches.add(FIRST, None, "d", MANY)
    newer = replace(FIRST, id="batch_2", created_at=LATER, errors=(LineError("not_json", "bad", 3),))
    await stores.batches.add(newer, None, "d", MANY)
    assert await stores.batches.page("t_1", ALL) == Page([newer, FIRST], has_more=False)
    assert await stores.batches.get("t_2", "batch_1") is None
    with pytest.raises(NotFound):
        await stores.batches.add(replace(FIRST, id="batch_3", tenant_id="t_9"), None, "d", MANY)


async def test_the_backlog_has_the_unfinished_batches_of_active_tenants(stores: Stores, queue: BatchQueue) -> None:
    assert await stores.batches.backlog() == Backlog(0, 0, None)
    await stores.batches.add(replace(FIRST, created_at=LATER), None, "d", MANY)
    counted = replace(FIRST, id="batch_2", status=IN_PROGRESS, total=10, completed=3, failed=1)
    await stores.batches.add(counted, None, "d", MANY)
    await stores.batches.add(replace(FIRST, id="batch_3", status=COMPLETED, total=5), None, "d", MANY)
    assert await stores.batches.backlog() == Backlog(2, 6, NOW)
    await stores.tenants.change("t_1", status=SUSPENDED)
    assert await stores.batches.backlog() == Backlog(0, 0, None)


async def test_an_idempotency_key_gives_one_batch_however_often_it_comes(stores: Stores) -> None:
    ids = [f"batch_{number}" for number in range(5)]
    made = await asyncio.gather(
        *(stores.batches.add(replace(FIRST, id=batch_id), "key", "d", MANY) for batch_id in ids)
    )
    assert len({batch.id for batch in made}) == 1
    assert len((await stores.batches.page("t_1", ALL)).items) == 1
    with pytest.raises(InvalidRequest, match="Idempotency-Key"):
        await stores.batches.add(replace(FIRST, id="batch_9"), "key", "another", MANY)
    await stores.batches.add(replace(FIRST, id="batch_7", tenant_id="t_2"), "key", "another", MANY)


async def test_one_worker_has_a_batch_until_its_lease_ends(stores: Stores, queue: BatchQueue) -> None:
    await stores.batches.add(FIRST, None, "d", MANY)
    claims = await asyncio.gather(*(queue.claim(f"w{number}", NOW, SOON) for number in range(4)))
    assert [claim is not None for claim in claims].count(True) == 1
    first = f"w{[claim is not None for claim in claims].index(True)}"
    assert await queue.claim("late", LATER, LATER + timedelta(seconds=15)) == FIRST
    for attempt in (
        queue.record(FIRST, first, [LineResult(0, failed=False, content="x")], LATER, ROOM),
        queue.renew("batch_1", first, LATER, LATER),
        queue.release(FIRST, first),
    ):
        with pytest.raises(LeaseLost):
            await attempt
    assert await queue.finished_lines("batch_1") == set()
    await queue.renew("batch_1", "late", LATER, LATER)
    await queue.release(FIRST, "late")
    assert await queue.claim("next", LATER, LATER) == FIRST


async def test_results_are_kept_with_their_counts_and_dropped_at_the_end(
    stores: Stores, queue: BatchQueue
) -> None:
    await stores.batches.add(FIRST, None, "d", MANY)
    await queue.claim("w", NOW, SOON)
    running = replace(FIRST, total=3, completed=2, failed=1).reach(IN_PROGRESS, NOW)
    results = [LineResult(number, failed=number == 1, content=f"{number}") for number in (2, 1, 0)]
    assert await queue.record(running, "w", results, SOON, ROOM) == IN_PROGRESS
    assert await stores.batches.get("t_1", "batch_1") == running
    assert await queue.finished_lines("batch_1") == {0, 1, 2}
    output, errors = replace(OUTPUT, id="file-o"), replace(OUTPUT, id="file-e")
    await queue.write_output(running, "w", output, failed=False)
    await queue.write_output(running, "w", errors, failed=True)
    assert await stores.files.get("t_1", "file-o") is None, "it is no file before the batch is released"
    done = replace(running, output_file_id="file-o", error_file_id="file-e").reach(COMPLETED, LATER)
    await queue.release(done, "w")
    assert await stores.batches.get("t_1", "batch_1") == done
    assert await queue.finished_lines("batch_1") == set()
    assert await queue.claim("w", LATER, LATER) is None
    assert await stores.files.get("t_1", "file-o") == replace(output, bytes=4)
    assert await stores.files.chunk("file-o", 0) == b"0\n2\n"
    assert await stores.files.chunk("file-e", 0) == b"1\n"


async def test_a_large_output_comes_in_the_order_of_lines_and_whole(stores: Stores, queue: BatchQueue) -> None:
    await stores.batches.add(FIRST, None, "d", MANY)
    await queue.claim("w", NOW, SOON)
    contents = ["a" * (7 if number % 3 else 900_000) for number in range(10)] + ["b"] * 600
    running = replace(FIRST, total=610, completed=610, output_bytes=1)
    results = [LineResult(n, failed=False, content=content) for n, content in enumerate(contents)]
    await queue.record(running.reach(IN_PROGRESS, NOW), "w", results, SOON, ROOM)
    # What was left of an attempt before is replaced.
    for _ in range(2):
        await queue.write_output(running, "w", OUTPUT, failed=False)
    await queue.release(replace(running, output_file_id=OUTPUT.id).reach(COMPLETED, NOW), "w")
    file = await stores.files.get("t_1", OUTPUT.id)
    read = [await stores.files.chunk(OUTPUT.id, index) for index in range(6)]
    content = b"".join(chunk for chunk in read if chunk)
    assert content == "".join(f"{line}\n" for line in contents).encode()
    assert file == replace(OUTPUT, bytes=len(content))


async def test_who_has_lost_the_lease_writes_no_output(stores: Stores, queue: BatchQueue) -> None:
    await stores.batches.add(FIRST, None, "d", MANY)
    await queue.claim("w", NOW, SOON)
    await queue.claim("next", LATER, LATER)
    with pytest.raises(LeaseLost):
        await queue.write_output(FIRST, "w", OUTPUT, failed=False)


async def test_a_cancellation_stands_against_what_a_worker_thinks(stores: Stores, queue: BatchQueue) -> None:
    await stores.batches.add(FIRST, None, "d", MANY)
    await queue.claim("w", NOW, SOON)
    await stores.batches.cancel("t_1", "batch_1", NOW)
    assert await queue.record(FIRST.reach(IN_PROGRESS, NOW), "w", [], SOON, ROOM) == CANCELLING
    batch = await stores.batches.get("t_1", "batch_1")
    assert batch is not None
    assert (batch.status, batch.reached_at[CANCELLING]) == (CANCELLING, NOW)
    await stores.batches.cancel("t_1", "batch_1", NOW)
    await queue.release(batch.reach(COMPLETED, NOW), "w")
    with pytest.raises(Conflict):
        await stores.batches.cancel("t_1", "batch_1", NOW)


async def test_the_batch_that_waited_longest_has_its_turn_and_a_suspended_tenants_waits(
    stores: Stores, queue: BatchQueue, acme: Tenant
) -> None:
    await stores.batches.add(FIRST, None, "d", MANY)
    await stores.batches.add(replace(FIRST, id="batch_2", tenant_id="t_2"), None, "d", MANY)
    turns = []
    for second in range(4):
        now = NOW + timedelta(seconds=second)
        batch = await queue.claim("w", now, now + timedelta(seconds=15))
        assert batch is not None
        await queue.release(batch, "w")
        turns.append(batch.id)
    assert turns == ["batch_1", "batch_2", "batch_1", "batch_2"]
    await stores.tenants.change("t_1", status=SUSPENDED)
    later = NOW + timedelta(seconds=9)
    assert [(await queue.claim(f"w{n}", later, later + timedelta(1))) is not None for n in range(2)] == [
        True,
        False,
    ]


async def test_an_excluded_batch_lets_the_next_one_go_first(stores: Stores, queue: BatchQueue) -> None:
    await stores.batches.add(FIRST, None, "d", MANY)
    assert await queue.claim("w", NOW, SOON, Excluded(batch_ids={"batch_1"})) is None
    await stores.batches.add(replace(FIRST, id="batch_2", created_at=LATER), None, "d", MANY)
    batch = await queue.claim("w", NOW, SOON, Excluded(batch_ids={"batch_1"}))
    assert batch is not None
    assert batch.id == "batch_2"


async def test_turns_go_round_by_tenant(stores: Stores, queue: BatchQueue) -> None:
    for number in range(6):
        await stores.batches.add(replace(FIRST, id=f"batch_{number}"), None, "d", MANY)
    await stores.batches.add(replace(FIRST, id="batch_other", tenant_id="t_2", created_at=LATER), None, "d", MANY)
    turns = []
    for second in range(5):
        now = NOW + timedelta(seconds=second)
        batch = await queue.claim("w", now, now + timedelta(seconds=15))
        assert batch is not None
        await queue.release(batch, "w")
        turns.append(batch.id)
    assert turns == ["batch_0", "batch_other", "batch_1", "batch_other", "batch_2"]


async def test_an_excluded_tenant_lets_the_next_one_go_first(stores: Stores, queue: BatchQueue) -> None:
    await stores.batches.add(FIRST, None, "d", MANY)
    await stores.batches.add(replace(FIRST, id="batch_2"), None, "d", MANY)
    assert await queue.claim("w", NOW, SOON, Excluded(tenant_ids=["t_1"])) is None
    await stores.batches.add(replace(FIRST, id="batch_3", tenant_id="t_2"), None, "d", MANY)
    batch = await queue.claim("w", NOW, SOON, Excluded(tenant_ids=["t_1"]))
    assert batch is not None
    assert batch.id == "batch_3"


async def test_a_worker_hears_of_its_batch_and_of_who_waits_as_it_renews_its_lease(
    stores: Stores, queue: BatchQueue, acme: Tenant
) -> None:
    await stores.batches.add(FIRST, None, "d", MANY)
    await queue.claim("w", NOW, SOON)
    own = Excluded(tenant_ids=["t_1"])
    assert await queue.renew("batch_1", "w", NOW, SOON, own) == BatchState(VALIDATING, True, False)
    await stores.batches.add(replace(FIRST, id="batch_2"), None, "d", MANY)
    assert await queue.renew("batch_1", "w", NOW, SOON, own) == BatchState(VALIDATING, True, False)
    await stores.batches.add(replace(FIRST, id="batch_3", tenant_id="t_2"), None, "d", MANY)
    assert await queue.renew("batch_1", "w", NOW, SOON, own) == BatchState(VALIDATING, True, True)
    await stores.tenants.change("t_1", status=SUSPENDED)
    await stores.batches.cancel("t_1", "batch_1", NOW)
    assert await queue.renew("batch_1", "w", NOW, SOON, own) == BatchState(CANCELLING, False, True)
    await stores.tenants.remove("t_1")
    with pytest.raises(LeaseLost):
        await queue.renew("batch_1", "w", NOW, SOON, own)


async def test_files_are_paged_by_purpose_in_either_order(stores: Stores) -> None:
    """Files of one moment are ordered by their ids."""
    for number, purpose in enumerate(
        (BATCH_PURPOSE, OUTPUT_PURPOSE, BATCH_PURPOSE, OUTPUT_PURPOSE, BATCH_PURPOSE)
    ):
        file = replace(FILE, id=f"file-{number}", purpose=purpose, created_at=NOW + timedelta(seconds=number // 2))
        await stores.files.add(file, chunks_of(b"x", 1), BOUNDS)

    async def listed(listing: FileListing) -> list[str]:
        ids, after = list[str](), None
        while True:
            page = await stores.files.page("t_1", PageRequest(2, after), NOW, listing)
            ids += [file.id for file in page.items]
            if not page.has_more:
                return ids
            after = ids[-1]

    assert await listed(FileListing(OUTPUT_PURPOSE)) == ["file-3", "file-1"]
    assert await listed(FileListing(BATCH_PURPOSE, oldest_first=True)) == ["file-0", "file-2", "file-4"]
    assert await listed(FileListing(oldest_first=True)) == [f"file-{number}" for number in range(5)]
    assert await listed(ALL_FILES) == [f"file-{number}" for number in reversed(range(5))]
    assert await listed(FileListing("fine-tune")) == []
    page = await stores.files.page("t_1", PageRequest(2, "file-2"), NOW, FileListing(OUTPUT_PURPOSE))
    assert [file.id for file in page.items] == ["file-1"]


async def test_a_page_of_files_begins_behind_one_that_was_deleted_or_has_expired(stores: Stores) -> None:
    files = [replace(FILE, id=f"file-{n}", created_at=NOW + timedelta(seconds=n // 2)) for n in range(6)]
    ends = {"file-3": NOW + timedelta(hours=1)}
    for file in files:
        await stores.files.add(file, chunks_of(b"x", 1), BOUNDS, partial(ends.get, file.id))
    for deleted in ("file-4", "file-2"):
        await stores.files.remove("t_1", deleted)
    later = NOW + timedelta(hours=2)

    async def listed(after: str, listing: FileListing = ALL_FILES) -> list[str]:
        page = await stores.files.page("t_1", PageRequest(9, after), later, listing)
        return [file.id for file in page.items]

    assert await listed("file-4") == await listed("file-3") == await listed("file-2") == ["file-1", "file-0"]
    assert await listed("file-2", FileListing(oldest_first=True)) == ["file-5"]
    with pytest.raises(InvalidRequest, match="after"):
        await stores.files.page("t_2", PageRequest(9, "file-4"), later)


async def test_uploads_at_once_never_have_more_bytes_than_allowed(stores: Stores) -> None:
    """Whether they say how many they have or not."""
    for declared in (300_000, 0):
        bounds = replace(BOUNDS, max_bytes=1_000_000)
        files = [replace(FILE, id=f"file-{declared}-{number}", bytes=declared) for number in range(16)]
        content = b"x" * 300_000
        made = await asyncio.gather(
            *(stores.files.add(file, chunks_of(content, 50_000), bounds) for file in files), return_exceptions=True
        )
        kept = [file for file in made if isinstance(file, File)]
        assert sum(isinstance(error, Conflict) for error in made) == 16 - len(kept)
        assert len(kept) == 3
        assert [file.bytes for file in kept] == [300_000] * 3
        assert len((await stores.files.page("t_1", ALL)).items) == 3
        await stores.files.add(replace(FILE, tenant_id="t_2", id=f"other-{declared}"), chunks_of(b"x", 1), bounds)
        for file in kept:
            await stores.files.remove("t_1", file.id)


async def test_bytes_are_reserved_before_they_are_read(stores: Stores) -> None:
    read = []

    async def chunks() -> AsyncIterator[bytes]:
        read.append(1)
        yield b"x"

    with pytest.raises(Conflict, match="more than 100 bytes"):
        await stores.files.add(replace(FILE, bytes=101), chunks(), replace(BOUNDS, max_bytes=100))
    assert read == []


async def test_what_an_upload_reserved_and_did_not_need_is_free_again(stores: Stores) -> None:
    bounds = replace(BOUNDS, max_bytes=100)
    for number in range(10):
        kept = await stores.files.add(replace(FILE, id=f"file-{number}", bytes=91), chunks_of(b"x", 1), bounds)
        assert kept.bytes == 1


async def test_uploads_under_way_are_bounded_and_one_that_was_given_up_is_not_counted(stores: Stores) -> None:
    bounds, gate, begun = replace(BOUNDS, max_uploads=2), asyncio.Event(), asyncio.Semaphore(0)

    async def slow() -> AsyncIterator[bytes]:
        begun.release()
        await gate.wait()
        yield b"x"

    uploads = [
        asyncio.create_task(stores.files.add(replace(FILE, id=f"file-{number}"), slow(), bounds))
        for number in range(2)
    ]
    for _ in uploads:
        await begun.acquire()
    with pytest.raises(Conflict, match="2 uploads"):
        await stores.files.add(replace(FILE, id="file-3"), chunks_of(b"x", 1), bounds)
    assert (await stores.files.page("t_1", ALL)).items == []
    assert await stores.files.get("t_1", "file-0") is None
    later = replace(FILE, id="file-4", created_at=bounds.ends_at + timedelta(seconds=1))
    await stores.files.add(later, chunks_of(b"x", 1), replace(bounds, ends_at=LATER + timedelta(days=1)))
    gate.set()
    assert [type(error) for error in await asyncio.gather(*uploads, return_exceptions=True)] == [Conflict] * 2
    assert [file.id for file in (await stores.files.page("t_1", ALL)).items] == ["file-4"]


async def test_files_are_bounded_by_number(stores: Stores) -> None:
    bounds = replace(BOUNDS, max_files=3)
    files = [replace(FILE, id=f"file-{number}") for number in range(8)]
    made = await asyncio.gather(
        *(stores.files.add(file, chunks_of(b"x", 1), bounds) for file in files), return_exceptions=True
    )
    assert sum(isinstance(file, File) for file in made) == 3
    assert sum(isinstance(error, Conflict) for error in made) == 5


async def test_batches_at_once_are_bounded_by_those_that_are_unfinished_and_by_all(
    stores: Stores, queue: BatchQueue
) -> None:
    bounds = BatchBounds(max_unfinished=3, max_batches=4)
    batches = [replace(FIRST, id=f"batch_{number}") for number in range(8)]
    made = await asyncio.gather(
        *(stores.batches.add(batch, batch.id, "d", bounds) for batch in batches), return_exceptions=True
    )
    kept = [batch for batch in made if isinstance(batch, Batch)]
    assert len(kept) == 3
    assert sum("3 batches of the tenant are unfinished" in str(error) for error in made) == 5
    assert await stores.batches.add(kept[0], kept[0].id, "d", bounds) == kept[0], "sent again, it is no new one"
    for batch_id in ("batch_8", "batch_9"):
        claimed = await queue.claim("w", LATER, LATER)
        assert claimed is not None
        await queue.release(claimed.reach(COMPLETED, LATER), "w")
        attempt = stores.batches.add(replace(FIRST, id=batch_id), None, "d", bounds)
        if batch_id == "batch_8":
            await attempt
        else:
            with pytest.raises(Conflict, match="has 4 batches"):
                await attempt


async def test_results_count_with_the_files_and_so_do_the_output_files_that_they_become(
    stores: Stores, queue: BatchQueue
) -> None:
    """10 bytes of a file, 6 of results: 84 are left of 100, before and after."""
    bounds = replace(BOUNDS, max_bytes=100)
    await stores.files.add(FILE, chunks_of(b"x" * 10, 10), bounds)
    await stores.batches.add(FIRST, None, "d", MANY)
    await queue.claim("w", NOW, SOON)
    running = replace(FIRST, total=2, completed=2, output_bytes=6).reach(IN_PROGRESS, NOW)
    results = [LineResult(number, failed=False, content="ab") for number in range(2)]
    with pytest.raises(StorageFull):
        await queue.record(running, "w", results, SOON, 15)
    assert await queue.finished_lines("batch_1") == set()
    await queue.record(running, "w", results, SOON, 16)

    async def assert_84_are_left() -> None:
        for size in (85, 84):
            attempt = stores.files.add(replace(FILE, id="attempt"), chunks_of(b"x" * size, size), bounds)
            if size == 85:
                with pytest.raises(Conflict):
                    await attempt
            else:
                await attempt
        await stores.files.remove("t_1", "attempt")

    await assert_84_are_left()
    await queue.write_output(running, "w", OUTPUT, failed=False)
    await assert_84_are_left()
    await queue.release(replace(running, output_file_id=OUTPUT.id).reach(COMPLETED, NOW), "w")
    await assert_84_are_left()


async def test_files_and_batches_come_in_pages_newest_first(stores: Stores) -> None:
    times = [NOW + timedelta(seconds=number // 2) for number in range(5)]
    files = [replace(FILE, id=f"file-{n}", created_at=at, bytes=1) for n, at in enumerate(times)]
    batches = [replace(FIRST, id=f"batch_{n}", created_at=at) for n, at in enumerate(times)]
    for file, batch in zip(files, batches, strict=True):
        await stores.files.add(file, chunks_of(b"x", 1), replace(BOUNDS, ends_at=NOW + timedelta(days=1)))
        await stores.batches.add(batch, None, "d", MANY)
    for store, items in ((stores.files, files[::-1]), (stores.batches, batches[::-1])):
        assert await store.page("t_1", PageRequest(2)) == Page(items[:2], has_more=True)
        assert await store.page("t_1", PageRequest(2, items[1].id)) == Page(items[2:4], has_more=True)
        assert await store.page("t_1", PageRequest(2, items[3].id)) == Page(items[4:], has_more=False)
        assert await store.page("t_1", PageRequest(2, items[4].id)) == Page([], has_more=False)
        for tenant, after in (("t_1", "unknown"), ("t_2", items[0].id)):
            with pytest.raises(InvalidRequest, match="after"):
                await store.page(tenant, PageRequest(2, after))


async def test_a_result_that_the_database_cannot_keep_is_bad_data_and_no_outage(
    stores: Stores, queue: BatchQueue
) -> None:
    await stores.batches.add(FIRST, None, "d", MANY)
    await queue.claim("w", NOW, SOON)
    if isinstance(queue, FakeBatches):
        queue.memory.unstorable = {1}
    results = [LineResult(0, failed=False, content="a"), LineResult(1, failed=False, content="\0")]
    with suppress(InvalidRequest):
        await queue.record(FIRST, "w", results, SOON, ROOM)
        # SQLite keeps it.
        assert await queue.finished_lines("batch_1") == {0, 1}


async def test_a_removed_tenant_takes_its_files_and_batches_along(stores: Stores, queue: BatchQueue) -> None:
    """More of each than are deleted at a time."""
    for number in range(25):
        await stores.files.add(replace(FILE, id=f"file-{number}"), chunks_of(b"x", 1), BOUNDS)
        await stores.batches.add(replace(FIRST, id=f"batch_{number}"), None, "d", MANY)
    await stores.files.add(replace(FILE, id="other", tenant_id="t_2"), chunks_of(b"x", 1), BOUNDS)
    await queue.claim("w", NOW, SOON)
    await stores.tenants.remove("t_1")
    assert await stores.tenants.get("t_1") is None
    assert (await stores.files.page("t_1", ALL)).items == []
    assert (await stores.batches.page("t_1", ALL)).items == []
    assert await stores.files.chunk("file-0", 0) is None
    assert await queue.claim("w", LATER, LATER) is None
    assert await stores.files.get("t_2", "other") is not None
    with pytest.raises(NotFound):
        await stores.files.add(replace(FILE, id="late"), chunks_of(b"x", 1), BOUNDS)
