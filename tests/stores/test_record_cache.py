"""How long a record is trusted, who waits for the store, and what holds while the store is away."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

import pytest

from stores.errors import NotFound, StoreUnavailable
from stores.record_cache import OUTAGE_S, RecordCache
from tests.fakes.clock import FakeClock

TTL_S = 10.0
"""Read again in the background from 5 s on."""


@dataclass
class FakeStore:
    """Answers with `records`; `reads` are the keys it was asked for.

    `down`: it fails; `hangs` holds reads that begin while it is there.
    """

    records: dict[str, str] = field(default_factory=lambda: {"a": "first"})
    reads: list[str] = field(default_factory=list)
    down: bool = False
    hangs: asyncio.Event | None = None

    async def load(self, key: str) -> str:
        self.reads.append(key)
        # What a database returns is what it had when it was asked.
        record, hangs = self.records.get(key), self.hangs
        await asyncio.sleep(0)
        if hangs is not None:
            await hangs.wait()
        if self.down:
            raise StoreUnavailable("the database does not answer")
        if record is None:
            raise NotFound("no such record")
        return record


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def store() -> FakeStore:
    return FakeStore()


@pytest.fixture
def cache(store: FakeStore, clock: FakeClock) -> RecordCache[str, str]:
    return RecordCache(store.load, clock, TTL_S, max_records=2, max_wait_s=0.05)


async def settle() -> None:
    """Let what runs in the background finish."""
    for _ in range(10):
        await asyncio.sleep(0)


async def without_waiting(cache: RecordCache[str, str], key: str) -> str:
    """Fails the test when the store is waited for."""
    getting = asyncio.create_task(cache.get(key))
    await settle()
    assert getting.done(), "it waits for the store"
    return getting.result()


async def test_a_fresh_record_is_read_once(
    store: FakeStore, clock: FakeClock, cache: RecordCache[str, str]
) -> None:
    for _ in range(5):
        assert await cache.get("a") == "first"
        clock.advance(0.9)
    await settle()
    assert store.reads == ["a"]


async def test_a_record_in_use_is_read_again_in_the_background(
    store: FakeStore, clock: FakeClock, cache: RecordCache[str, str]
) -> None:
    await cache.get("a")
    store.records["a"] = "second"
    clock.advance(TTL_S / 2)
    store.hangs = asyncio.Event()
    for _ in range(2):
        assert await without_waiting(cache, "a") == "first"
    store.hangs.set()
    await settle()
    assert await cache.get("a") == "second"
    assert store.reads == ["a", "a"], "one read for all who ask"


async def test_an_idle_record_is_read_before_it_is_served(
    store: FakeStore, clock: FakeClock, cache: RecordCache[str, str]
) -> None:
    await cache.get("a")
    store.records["a"] = "second"
    clock.advance(TTL_S)
    assert await cache.get("a") == "second"


@pytest.mark.parametrize("step_s", [0.5, 2.6, 4.9, 5.1, 9.9, 10.0, 25.0])
async def test_a_change_acts_within_the_time_that_a_record_is_trusted(
    step_s: float, store: FakeStore, clock: FakeClock, cache: RecordCache[str, str]
) -> None:
    """However often the record is used."""
    for _ in range(5):
        assert await cache.get("a") == "first"
        await settle()
        clock.advance(step_s)
    del store.records["a"]
    changed_s = 0.0
    while (changed_s := changed_s + step_s) < TTL_S:
        clock.advance(step_s)
        try:
            await cache.get("a")
        except NotFound:
            return
        await settle()
    clock.advance(step_s)
    with pytest.raises(NotFound):
        await cache.get("a")


async def test_a_hanging_store_delays_nobody_whose_record_was_in_use(
    store: FakeStore, clock: FakeClock, cache: RecordCache[str, str]
) -> None:
    await cache.get("a")
    clock.advance(TTL_S / 2)
    store.hangs = asyncio.Event()
    for _ in range(5):
        assert await without_waiting(cache, "a") == "first"
        clock.advance(TTL_S)
    store.records["a"] = "second"
    store.hangs.set()
    store.hangs = None
    await settle()
    assert await cache.get("a") == "second"
    assert len(store.reads) == 3, "one read hung, and the one after it answered"


async def test_a_hanging_store_delays_a_record_that_was_idle_once_and_not_for_long(
    store: FakeStore, clock: FakeClock, cache: RecordCache[str, str]
) -> None:
    await cache.get("a")
    clock.advance(TTL_S)
    store.hangs = asyncio.Event()
    async with asyncio.timeout(5):
        assert await asyncio.gather(*(cache.get("a") for _ in range(3))) == ["first"] * 3
    assert await without_waiting(cache, "a") == "first", "the store is known to hang"
    assert store.reads == ["a", "a"]


async def test_a_hanging_store_holds_those_who_are_unknown(store: FakeStore, cache: RecordCache[str, str]) -> None:
    store.hangs = asyncio.Event()
    waiting = asyncio.create_task(cache.get("a"))
    await asyncio.sleep(0.1)
    assert not waiting.done()
    store.hangs.set()
    assert await waiting == "first"


async def test_known_records_stay_in_force_while_the_store_is_away(
    store: FakeStore, clock: FakeClock, cache: RecordCache[str, str]
) -> None:
    await cache.get("a")
    store.down = True
    clock.advance(TTL_S)
    assert await cache.get("a") == "first"
    with pytest.raises(StoreUnavailable):
        await cache.get("b")
    clock.advance(OUTAGE_S - TTL_S)
    assert await cache.get("a") == "first"
    await settle()
    clock.advance(1)
    with pytest.raises(StoreUnavailable):
        await cache.get("a")


async def test_a_store_that_is_away_is_asked_every_half_of_the_time_and_not_at_each_request(
    store: FakeStore, clock: FakeClock, cache: RecordCache[str, str]
) -> None:
    await cache.get("a")
    store.down = True
    clock.advance(TTL_S)
    for _ in range(100):
        await cache.get("a")
        await settle()
        clock.advance(0.1)
    assert len(store.reads) in (3, 4)
    store.down, store.records["a"] = False, "second"
    clock.advance(TTL_S / 2)
    assert await cache.get("a") == "first", "asked in the background"
    await settle()
    assert await cache.get("a") == "second"


async def test_a_record_that_is_gone_is_forgotten(
    store: FakeStore, clock: FakeClock, cache: RecordCache[str, str]
) -> None:
    await cache.get("a")
    del store.records["a"]
    clock.advance(TTL_S / 2)
    assert await cache.get("a") == "first"
    await settle()
    with pytest.raises(NotFound):
        await cache.get("a")


async def test_after_a_clear_everything_is_read_again(store: FakeStore, cache: RecordCache[str, str]) -> None:
    await cache.get("a")
    store.records["a"] = "second"
    cache.clear()
    assert await cache.get("a") == "second"


async def test_what_is_forgotten_by_its_record_is_read_again_and_nothing_else(
    store: FakeStore, cache: RecordCache[str, str]
) -> None:
    store.records["b"] = "other"
    await cache.get("a")
    await cache.get("b")
    cache.forget_where(lambda _, record: record == "first")
    assert (cache.known("a"), cache.known("b")) == (None, "other")
    store.hangs = asyncio.Event()
    early = asyncio.create_task(cache.get("a"))
    await settle()
    slow, store.hangs = store.hangs, None
    cache.forget_where(lambda _, record: record is None)
    slow.set()
    assert await early == "first"
    assert (cache.known("a"), cache.known("b")) == (None, "other")


async def test_who_looks_at_a_record_does_not_use_it(store: FakeStore, cache: RecordCache[str, str]) -> None:
    store.records |= {"b": "second", "c": "third"}
    await cache.get("a")
    await cache.get("b")
    assert cache.known("a") == "first"
    await cache.get("c")
    assert (cache.known("a"), cache.known("b")) == (None, "second"), "the one longest unused was evicted"


async def test_a_read_that_began_before_a_clear_is_not_remembered(
    store: FakeStore, cache: RecordCache[str, str]
) -> None:
    store.hangs = asyncio.Event()
    early = asyncio.create_task(cache.get("a"))
    await settle()
    slow, store.hangs = store.hangs, None
    store.records["a"] = "second"
    cache.clear()
    assert await without_waiting(cache, "a") == "second"
    slow.set()
    assert await early == "first", "what the store said when it was asked"
    assert await cache.get("a") == "second"


async def test_a_failure_of_a_read_that_began_before_a_clear_does_no_harm(
    store: FakeStore, cache: RecordCache[str, str]
) -> None:
    store.hangs = asyncio.Event()
    early = asyncio.create_task(cache.get("a"))
    await settle()
    slow, store.hangs = store.hangs, None
    cache.clear()
    await cache.get("a")
    store.down = True
    slow.set()
    with pytest.raises(StoreUnavailable):
        await early
    assert await cache.get("a") == "first"
    assert store.reads == ["a", "a"]


async def test_the_record_longest_unused_is_evicted(store: FakeStore, cache: RecordCache[str, str]) -> None:
    store.records = {"a": "1", "b": "2", "c": "3"}
    for key in "abac":
        await cache.get(key)
    assert store.reads == ["a", "b", "c"]
    await cache.get("a")
    assert store.reads == ["a", "b", "c"]
    await cache.get("b")
    assert store.reads == ["a", "b", "c", "b"]


async def test_many_who_ask_for_the_same_unknown_record_read_it_once(
    store: FakeStore, cache: RecordCache[str, str]
) -> None:
    assert await asyncio.gather(*(cache.get("a") for _ in range(8))) == ["first"] * 8
    assert store.reads == ["a"]


async def test_who_is_cancelled_cancels_the_read_of_nobody_else(
    store: FakeStore, cache: RecordCache[str, str]
) -> None:
    store.hangs = asyncio.Event()
    impatient, patient = (asyncio.create_task(cache.get("a")) for _ in range(2))
    await settle()
    impatient.cancel()
    await asyncio.gather(impatient, return_exceptions=True)
    store.hangs.set()
    assert await patient == "first"
