"""The contract of files and batches: the same for dictionaries, SQLite and PostgreSQL."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from stores.batches import (
    CANCELLING,
    COMPLETED,
    IN_PROGRESS,
    VALIDATING,
    Batch,
    BatchQueue,
    LeaseLost,
    LineError,
    LineResult,
)
from stores.errors import BodyTooLarge, Conflict, InvalidRequest, NotFound
from stores.factory import Stores
from stores.files import BATCH_PURPOSE, CHUNK_BYTES, File
from stores.tenants import SUSPENDED, Tenant
from tests.fakes.chunks import chunks_of

pytestmark = pytest.mark.usefixtures("tenants")
NOW = datetime(2030, 1, 1, tzinfo=UTC)
SOON, LATER = NOW + timedelta(seconds=15), NOW + timedelta(seconds=16)
FILE = File("file-1", "t_1", "一.jsonl", BATCH_PURPOSE, 0, NOW)
FIRST = Batch("batch_1", "t_1", "file-1", VALIDATING, NOW, NOW + timedelta(days=1), {"who": "我"})


@pytest.fixture
def queue(stores: Stores) -> BatchQueue:
    assert isinstance(stores.batches, BatchQueue)
    return stores.batches


async def test_a_file_comes_back_in_chunks_and_to_its_tenant_alone(stores: Stores) -> None:
    content = bytes(range(256)) * 10_000
    kept = await stores.files.add(FILE, chunks_of(content, 70_000))
    assert kept == replace(FILE, bytes=len(content))
    assert await stores.files.get("t_1", "file-1") == kept
    read = [await stores.files.chunk("file-1", index) for index in range(4)]
    assert b"".join(chunk for chunk in read if chunk) == content
    assert [len(chunk or b"") for chunk in read] == [CHUNK_BYTES, CHUNK_BYTES, len(content) - 2 * CHUNK_BYTES, 0]
    assert await stores.files.get("t_2", "file-1") is None
    assert await stores.files.all("t_2") == []
    with pytest.raises(NotFound):
        await stores.files.remove("t_2", "file-1")
    with pytest.raises(NotFound):
        await stores.files.add(replace(FILE, id="file-2", tenant_id="t_9"), chunks_of(b"", 1))


async def test_a_file_that_breaks_off_is_not_there(stores: Stores) -> None:
    async def broken() -> AsyncIterator[bytes]:
        yield b"x" * 2 * CHUNK_BYTES
        raise BodyTooLarge("too much")

    with pytest.raises(BodyTooLarge):
        await stores.files.add(FILE, broken())
    assert await stores.files.get("t_1", "file-1") is None
    assert await stores.files.chunk("file-1", 0) is None


async def test_a_file_stays_while_a_batch_needs_it(stores: Stores, queue: BatchQueue) -> None:
    await stores.files.add(FILE, chunks_of(b"x", 1))
    await stores.batches.add(FIRST, None, "d")
    with pytest.raises(Conflict):
        await stores.files.remove("t_1", "file-1")
    assert await queue.claim("w", NOW, SOON) == FIRST
    await queue.release(FIRST.reach(COMPLETED, NOW), "w")
    await stores.files.remove("t_1", "file-1")
    assert await stores.files.chunk("file-1", 0) is None


async def test_a_batch_comes_back_as_it_was_kept(stores: Stores) -> None:
    await stores.batches.add(FIRST, None, "d")
    newer = replace(FIRST, id="batch_2", created_at=LATER, errors=(LineError("not_json", "bad", 3),))
    await stores.batches.add(newer, None, "d")
    assert await stores.batches.all("t_1") == [newer, FIRST]
    assert await stores.batches.get("t_2", "batch_1") is None
    with pytest.raises(NotFound):
        await stores.batches.add(replace(FIRST, id="batch_3", tenant_id="t_9"), None, "d")


async def test_an_idempotency_key_gives_one_batch_however_often_it_comes(stores: Stores) -> None:
    ids = [f"batch_{number}" for number in range(5)]
    made = await asyncio.gather(*(stores.batches.add(replace(FIRST, id=batch_id), "key", "d") for batch_id in ids))
    assert len({batch.id for batch in made}) == 1
    assert len(await stores.batches.all("t_1")) == 1
    with pytest.raises(InvalidRequest, match="Idempotency-Key"):
        await stores.batches.add(replace(FIRST, id="batch_9"), "key", "another")
    await stores.batches.add(replace(FIRST, id="batch_7", tenant_id="t_2"), "key", "another")


async def test_one_worker_has_a_batch_until_its_lease_ends(stores: Stores, queue: BatchQueue) -> None:
    await stores.batches.add(FIRST, None, "d")
    claims = await asyncio.gather(*(queue.claim(f"w{number}", NOW, SOON) for number in range(4)))
    assert [claim is not None for claim in claims].count(True) == 1
    first = f"w{[claim is not None for claim in claims].index(True)}"
    assert await queue.claim("late", LATER, LATER + timedelta(seconds=15)) == FIRST
    for attempt in (
        queue.record(FIRST, first, [LineResult(0, failed=False, content="x")], LATER),
        queue.renew("batch_1", first, LATER),
        queue.release(FIRST, first),
    ):
        with pytest.raises(LeaseLost):
            await attempt
    assert await queue.finished_lines("batch_1") == set()
    await queue.renew("batch_1", "late", LATER)
    await queue.release(FIRST, "late")
    assert await queue.claim("next", LATER, LATER) == FIRST


async def test_results_are_kept_with_their_counts_and_dropped_at_the_end(
    stores: Stores, queue: BatchQueue
) -> None:
    await stores.batches.add(FIRST, None, "d")
    await queue.claim("w", NOW, SOON)
    running = replace(FIRST, total=3, completed=2, failed=1).reach(IN_PROGRESS, NOW)
    results = [LineResult(number, failed=number == 1, content=f"{number}") for number in (2, 1, 0)]
    assert await queue.record(running, "w", results, SOON) == IN_PROGRESS
    assert await stores.batches.get("t_1", "batch_1") == running
    assert await queue.finished_lines("batch_1") == {0, 1, 2}
    assert [result.line async for result in queue.results("batch_1", failed=False)] == [0, 2]
    assert [result.content async for result in queue.results("batch_1", failed=True)] == ["1"]
    done = replace(running, output_file_id="file-o").reach(COMPLETED, LATER)
    await queue.release(done, "w")
    assert await stores.batches.get("t_1", "batch_1") == done
    assert await queue.finished_lines("batch_1") == set()
    assert await queue.claim("w", LATER, LATER) is None


async def test_a_cancellation_stands_against_what_a_worker_thinks(stores: Stores, queue: BatchQueue) -> None:
    await stores.batches.add(FIRST, None, "d")
    await queue.claim("w", NOW, SOON)
    await stores.batches.cancel("t_1", "batch_1", NOW)
    assert await queue.record(FIRST.reach(IN_PROGRESS, NOW), "w", [], SOON) == CANCELLING
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
    await stores.batches.add(FIRST, None, "d")
    await stores.batches.add(replace(FIRST, id="batch_2", tenant_id="t_2"), None, "d")
    turns = []
    for second in range(4):
        now = NOW + timedelta(seconds=second)
        batch = await queue.claim("w", now, now + timedelta(seconds=15))
        assert batch is not None
        await queue.release(batch, "w")
        turns.append(batch.id)
    assert turns == ["batch_1", "batch_2", "batch_1", "batch_2"]
    await stores.tenants.change(replace(acme, status=SUSPENDED))
    later = NOW + timedelta(seconds=9)
    assert [(await queue.claim(f"w{n}", later, later + timedelta(1))) is not None for n in range(2)] == [
        True,
        False,
    ]


async def test_an_excluded_batch_lets_the_next_one_go_first(stores: Stores, queue: BatchQueue) -> None:
    await stores.batches.add(FIRST, None, "d")
    assert await queue.claim("w", NOW, SOON, excluding={"batch_1"}) is None
    await stores.batches.add(replace(FIRST, id="batch_2", created_at=LATER), None, "d")
    batch = await queue.claim("w", NOW, SOON, excluding={"batch_1"})
    assert batch is not None
    assert batch.id == "batch_2"
