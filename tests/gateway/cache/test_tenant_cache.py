"""The cache in this process: what it forgets, and whose."""

from __future__ import annotations

import asyncio
import sys

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from gateway.cache.pair_cache import pack, pair_keys
from gateway.cache.tenant_cache import PAIR_BYTES, SWEEP, TenantCache


class World:
    """A cache for `entries` of 60 s, and its clock."""

    def __init__(self, entries: int) -> None:
        self.at = 1_000.0
        self.cache: TenantCache[bytes] = TenantCache(entries * PAIR_BYTES, 60, lambda: self.at)

    async def put(self, tenant_id: str, *keys: str) -> None:
        await self.cache.put(tenant_id, {key.encode(): key.encode() for key in keys})

    async def known(self, tenant_id: str, *keys: str) -> list[str]:
        values = await self.cache.get(tenant_id, [key.encode() for key in keys])
        return [value.decode() for value in values if value is not None]


def numbers(start: int, end: int) -> list[str]:
    return [str(number) for number in range(start, end)]


async def test_what_was_longest_unused_is_forgotten() -> None:
    world = World(3)
    await world.put("t", "a", "b", "c")
    await world.known("t", "a")
    await world.put("t", "d")
    assert await world.known("t", "a", "b", "c", "d") == ["a", "c", "d"]
    assert world.cache.entries == 3


async def test_what_is_put_again_is_used() -> None:
    world = World(3)
    await world.put("t", "a", "b", "c")
    await world.put("t", "a")
    await world.put("t", "d")
    assert await world.known("t", "a", "b", "c", "d") == ["a", "c", "d"]


async def test_no_tenant_evicts_the_pairs_of_another_that_has_fewer() -> None:
    world = World(100)
    await world.put("small", *numbers(0, 30))
    for start in range(0, 10_000, 50):
        await world.put("large", *numbers(start, start + 50))
    assert await world.known("small", *numbers(0, 30)) == numbers(0, 30)
    assert len(await world.known("large", *numbers(9_900, 10_000))) == 70


async def test_who_has_all_gives_up_what_others_need_until_all_have_the_same() -> None:
    world = World(90)
    await world.put("first", *numbers(0, 90))
    for tenant in ("second", "third"):
        for key in numbers(0, 200):
            await world.put(tenant, key)
    held = [len(await world.known(tenant, *numbers(0, 200))) for tenant in ("first", "second", "third")]
    assert max(held) - min(held) <= 1


async def test_a_tenant_knows_only_its_own_pairs() -> None:
    world = World(10)
    await world.put("t", "a")
    assert await world.known("u", "a") == []


async def test_more_than_fits_is_not_kept() -> None:
    world = World(10)
    await world.put("t", *numbers(0, 25))
    assert await world.known("t", *numbers(0, 25)) == numbers(15, 25)


async def test_no_room_means_no_cache() -> None:
    world = World(0)
    await world.put("t", "a")
    assert await world.known("t", "a") == []


async def test_an_entry_is_forgotten_after_its_time_however_often_it_is_used() -> None:
    world = World(10)
    await world.put("t", "a")
    world.at += 59
    assert await world.known("t", "a") == ["a"]
    world.at += 1
    assert await world.known("t", "a") == []


async def test_expired_entries_of_tenants_that_ask_no_more_make_room() -> None:
    """A thousand tenants that asked once must not hold the cache against one that asks now."""
    world = World(1_000)
    for tenant in range(1_000):
        await world.put(f"t{tenant}", "a")
    world.at += 61
    for start in range(0, 1_000, 50):
        await world.put("now", *numbers(start, start + 50))
    assert len(await world.known("now", *numbers(0, 1_000))) == 1_000


async def test_a_put_removes_a_bounded_number_of_expired_entries() -> None:
    world = World(10_000)
    await world.put("t", *numbers(0, 10_000))
    world.at += 61
    await world.put("u", "a")
    assert world.cache.entries == 10_001 - SWEEP - 1


@given(
    st.integers(1, 12),
    st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 20), st.booleans(), st.floats(0, 50))),
)
def test_the_cache_is_as_a_slow_one_would_be(size: int, steps: list[tuple[str, int, bool, float]]) -> None:
    """Whoever has most loses what it has not used for longest; of two who have as much, either."""

    async def scenario() -> None:
        world = World(size)
        slow: dict[str, dict[str, float]] = {}
        for tenant, number, puts, passes in steps:
            key, own = str(number), slow.setdefault(tenant, {})
            if puts:
                own.pop(key, None)
                own[key] = world.at + 60
                await world.put(tenant, key)
                kept = {name: await world.known(name, *list(entries)) for name, entries in slow.items()}
                lost = [(name, key) for name, entries in slow.items() for key in entries if key not in kept[name]]
                for name, key in lost:
                    oldest = next(iter(slow[name]))
                    assert slow[name][key] <= world.at or (
                        key == oldest and len(slow[name]) == max(map(len, slow.values()))
                    )
                    del slow[name][key]
            else:
                assert (await world.known(tenant, key) == [key]) == (own.get(key, 0) > world.at)
                if key in own:
                    own[key] = own.pop(key)
            assert world.cache.entries <= size
            world.at += passes

    asyncio.run(scenario())


async def test_an_entry_is_not_larger_than_it_is_counted() -> None:
    """Sizes of the objects of one entry; the interpreter's bookkeeping comes on top, so a third is left for it."""
    (key,) = pair_keys("t", "e", "{}", None, "text", ["a"])
    (value,) = pack(np.zeros((1, 3), np.float32), np.zeros((1, 3), np.int32), np.zeros((1, 2), np.float32))
    assert sum(map(sys.getsizeof, (key, value, (value, 1.0)))) < PAIR_BYTES * 2 / 3


async def test_hits_misses_and_evictions_are_counted() -> None:
    """What expires is not evicted: a larger cache would not have kept it."""
    world = World(3)
    await world.known("t", "a")
    await world.put("t", "a", "b", "c", "d")
    await world.known("t", "a", "b", "c", "d")
    assert (world.cache.hits, world.cache.misses, world.cache.evicted) == (3, 2, 1)
    assert world.cache.size_bytes == 3 * PAIR_BYTES
    world.at += 61
    await world.put("t", "e")
    assert (world.cache.evicted, world.cache.size_bytes) == (1, PAIR_BYTES)
