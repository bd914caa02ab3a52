from __future__ import annotations

import asyncio

import pytest

from gateway.cache.single_flight import SingleFlight
from gateway.errors import TritonFailed


class Computation:
    """Ends when told; remembers how it ended."""

    def __init__(self) -> None:
        self.go = asyncio.Event()
        self.failure: Exception | None = None
        self.cancelled = False

    async def run(self) -> str:
        try:
            await self.go.wait()
        except asyncio.CancelledError:
            self.cancelled = True
            raise
        if self.failure is not None:
            raise self.failure
        return "result"


async def test_a_second_waiter_gets_the_first_ones_result() -> None:
    flights: SingleFlight[str] = SingleFlight()
    computation, ended = Computation(), []
    flight = flights.start([b"a", b"b"], computation.run(), lambda: ended.append(1))
    found = flights.find(b"b")
    assert found == (flight, 1)
    waiting = [asyncio.create_task(flight.result()) for _ in range(3)]
    await asyncio.sleep(0)
    computation.go.set()
    assert await asyncio.gather(*waiting) == ["result"] * 3
    assert ended == [1]
    assert flights.find(b"a") is flights.find(b"b") is None


async def test_who_leaves_takes_nothing_from_the_others() -> None:
    flights: SingleFlight[str] = SingleFlight()
    computation = Computation()
    flight = flights.start([b"a"], computation.run(), lambda: None)
    leader, follower = (asyncio.create_task(flight.result()) for _ in range(2))
    await asyncio.sleep(0)
    leader.cancel()
    await asyncio.gather(leader, return_exceptions=True)
    computation.go.set()
    assert await follower == "result"


async def test_what_nobody_waits_for_ends() -> None:
    flights: SingleFlight[str] = SingleFlight()
    computation, ended = Computation(), []
    flight = flights.start([b"a"], computation.run(), lambda: ended.append(1))
    waiting = [asyncio.create_task(flight.result()) for _ in range(2)]
    await asyncio.sleep(0)
    for one in waiting:
        one.cancel()
    await asyncio.gather(*waiting, return_exceptions=True)
    await asyncio.sleep(0)
    assert computation.cancelled
    assert ended == [1]
    assert flights.find(b"a") is None


async def test_a_failure_reaches_everyone_and_ends_the_flight() -> None:
    flights: SingleFlight[str] = SingleFlight()
    computation = Computation()
    computation.failure = TritonFailed("broken")
    flight = flights.start([b"a"], computation.run(), lambda: None)
    waiting = [asyncio.create_task(flight.result()) for _ in range(2)]
    await asyncio.sleep(0)
    computation.go.set()
    for one in waiting:
        with pytest.raises(TritonFailed):
            await one
    assert flights.find(b"a") is None


async def test_a_flight_without_keys_is_found_by_nobody() -> None:
    flights: SingleFlight[str] = SingleFlight()
    computation = Computation()
    computation.go.set()
    assert await flights.start([], computation.run(), lambda: None).result() == "result"
