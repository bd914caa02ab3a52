"""Label sets as the gateway reads them: remembered for seconds, and through an outage of the database."""

from __future__ import annotations

import asyncio

import pytest

from gateway.tenancy.label_sets import label_set_cache
from stores.errors import NotFound, StoreUnavailable
from stores.record_cache import OUTAGE_S
from tests.fakes.clock import FakeClock
from tests.fakes.gateway import add_label_set
from tests.fakes.stores import FakeLabelSets, Memory

TTL_S = 5.0


class World:
    def __init__(self) -> None:
        self.memory, self.clock = Memory(), FakeClock()
        self.label_sets = label_set_cache(FakeLabelSets(self.memory), self.clock, TTL_S)

    def add(self, *labels: str) -> None:
        add_label_set(self.memory, labels, tenant_id="acme")

    async def version(self, reference: str = "tickets", tenant_id: str = "acme") -> int:
        return (await self.label_sets.get((tenant_id, reference))).version


async def test_a_name_is_the_newest_version_and_a_number_that_one() -> None:
    world = World()
    world.add("a")
    world.add("b")
    assert (await world.version("tickets"), await world.version("tickets@1")) == (2, 1)


@pytest.mark.parametrize(
    ("tenant_id", "reference"),
    [("acme", "letters"), ("acme", "tickets@2"), ("acme", "Tickets!"), ("acme", ""), ("other", "tickets")],
)
async def test_what_the_tenant_does_not_have_is_not_found(tenant_id: str, reference: str) -> None:
    world = World()
    world.add("a")
    with pytest.raises(NotFound):
        await world.version(reference, tenant_id)


async def test_a_version_is_remembered_for_its_time_and_no_longer() -> None:
    world = World()
    world.add("a")
    assert await world.version() == 1
    world.add("b")
    world.clock.advance(TTL_S / 2 - 0.1)
    assert await world.version() == 1
    world.clock.advance(TTL_S / 2 + 0.1)
    assert await world.version() == 2


async def test_a_version_in_use_is_read_again_before_its_time_is_over_and_nobody_waits() -> None:
    world = World()
    world.add("a")
    assert await world.version() == 1
    world.add("b")
    world.clock.advance(TTL_S - 0.1)
    assert await world.version() == 1, "what is known, while it is read again"
    async with asyncio.timeout(5):
        while await world.version() != 2:
            await asyncio.sleep(0)


async def test_a_change_that_was_forwarded_acts_at_once() -> None:
    world = World()
    world.add("a")
    assert await world.version() == 1
    world.add("b")
    world.label_sets.clear()
    assert await world.version() == 2


async def test_a_known_set_outlasts_an_outage_of_the_database() -> None:
    world = World()
    world.add("a")
    assert await world.version() == 1
    world.memory.down = True
    world.clock.advance(OUTAGE_S)
    assert await world.version() == 1
    with pytest.raises(StoreUnavailable):
        await world.version("letters")


async def test_that_a_set_does_not_exist_is_not_remembered() -> None:
    world = World()
    with pytest.raises(NotFound):
        await world.version()
    world.add("a")
    assert await world.version() == 1


async def test_a_set_that_was_deleted_is_not_found_and_comes_back_with_its_next_version() -> None:
    world = World()
    world.add("a")
    await world.version()
    await FakeLabelSets(world.memory).remove("acme", "tickets")
    world.clock.advance(TTL_S)
    with pytest.raises(NotFound):
        await world.version()
    world.add("b")
    assert await world.version() == 2
