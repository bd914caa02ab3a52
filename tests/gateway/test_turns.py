"""Bounds and fairness of what goes to Triton."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.errors import Overloaded, QuotaExceeded
from gateway.turns import KNOWN_TENANTS, Turns

CALLS = st.lists(st.integers(1, 64), min_size=1, max_size=30)


class Bench:
    """Calls that end when they are told to, one after another, in the order of their turns."""

    def __init__(self, window: int) -> None:
        self.turns = Turns(1_000_000, lambda: window)
        self.order: list[tuple[str, int]] = []
        self.most = 0
        self._tasks: list[asyncio.Task[None]] = []

    def call(self, tenant: str, pairs: int) -> asyncio.Task[None]:
        async def run() -> None:
            async with self.turns.turn(tenant, pairs):
                self.order.append((tenant, pairs))
                self.most = max(self.most, self.turns.pairs_at_triton)
                await asyncio.sleep(0)

        self._tasks.append(asyncio.create_task(run()))
        return self._tasks[-1]

    async def end(self) -> None:
        await asyncio.gather(*self._tasks, return_exceptions=True)


@given(CALLS, CALLS, st.integers(1, 200))
def test_two_tenants_are_served_alike_however_many_calls_each_has(
    noisy: list[int], quiet: list[int], window: int
) -> None:
    """While both wait, what they were served differs by no more than a call of each (Goyal et al., theorem 1)."""

    async def scenario() -> None:
        bench = Bench(window)
        for pairs in noisy * 10:
            bench.call("noisy", pairs)
        for pairs in quiet:
            bench.call("quiet", pairs)
        await bench.end()
        served = {"noisy": 0, "quiet": 0}
        most = {"noisy": max(noisy), "quiet": max(quiet)}
        waiting = {"noisy": len(noisy) * 10, "quiet": len(quiet)}
        for tenant, pairs in bench.order:
            served[tenant] += pairs
            waiting[tenant] -= 1
            if min(waiting.values()) > 0:
                assert abs(served["noisy"] - served["quiet"]) <= sum(most.values()) + window
        assert bench.most <= max(window, *noisy, *quiet)
        assert len(bench.order) == len(noisy) * 10 + len(quiet)

    asyncio.run(scenario())


async def test_a_newcomer_goes_before_the_backlog_of_another() -> None:
    bench = Bench(window=10)
    for _ in range(50):
        bench.call("noisy", 10)
    await asyncio.sleep(0)
    bench.call("quiet", 10)
    await bench.end()
    assert bench.order.index(("quiet", 10)) <= 2


async def test_a_call_larger_than_the_window_goes_alone() -> None:
    bench = Bench(window=10)
    bench.call("t", 64)
    bench.call("t", 5)
    await bench.end()
    assert (len(bench.order), bench.most) == (2, 64)


async def test_a_caller_that_leaves_the_queue_leaves_no_gap() -> None:
    turns = Turns(100, lambda: 10)
    async with turns.turn("a", 10):
        left = asyncio.create_task(_have_turn(turns, "a"))
        stays = asyncio.create_task(_have_turn(turns, "b"))
        await asyncio.sleep(0)
        left.cancel()
        await asyncio.sleep(0)
    await asyncio.wait_for(stays, 1)
    assert turns.pairs_at_triton == 0


async def test_a_caller_that_leaves_as_its_turn_comes_gives_it_back() -> None:
    turns = Turns(100, lambda: 10)
    async with turns.turn("a", 10):
        left = asyncio.create_task(_have_turn(turns, "b"))
        await asyncio.sleep(0)
    left.cancel()
    await asyncio.gather(left, return_exceptions=True)
    assert turns.pairs_at_triton == 0
    await asyncio.wait_for(_have_turn(turns, "c"), 1)


async def _have_turn(turns: Turns, tenant: str, pairs: int = 10) -> None:
    async with turns.turn(tenant, pairs):
        pass


def test_a_tenant_alone_gets_half_and_leaves_room_for_another() -> None:
    turns = Turns(100, lambda: 100)
    for _ in range(5):
        turns.take("noisy", 10)
    with pytest.raises(Overloaded):
        turns.take("noisy", 10)
    turns.take("quiet", 10)
    turns.take("quiet", 10)


def test_one_request_may_be_larger_than_a_share_when_there_is_room() -> None:
    turns = Turns(100, lambda: 100)
    turns.take("t", 90)
    with pytest.raises(Overloaded):
        turns.take("t", 1)


def test_a_tenants_own_bound_is_its_quota() -> None:
    turns = Turns(100, lambda: 100)
    turns.take("t", 4, most=5)
    with pytest.raises(QuotaExceeded) as soon:
        turns.take("t", 2, most=5)
    with pytest.raises(QuotaExceeded) as never:
        turns.take("t", 6, most=5)
    assert (soon.value.retry_after_s, never.value.retry_after_s) == (1, None)
    turns.give_back("t", 4)
    turns.take("t", 5, most=5)


@given(st.lists(st.tuples(st.sampled_from("abcd"), st.integers(1, 60)), max_size=60))
def test_never_more_than_the_bound_and_a_newcomer_finds_room(wanted: list[tuple[str, int]]) -> None:
    turns = Turns(100, lambda: 100)
    held: list[tuple[str, int]] = []
    for tenant, pairs in wanted:
        try:
            turns.take(tenant, pairs)
            held.append((tenant, pairs))
        except Overloaded:
            if held:
                turns.give_back(*held.pop(0))
        assert turns.pairs_in_flight == sum(pairs for _, pairs in held) <= 100
    for tenant, pairs in held:
        turns.give_back(tenant, pairs)
    assert turns.pairs_in_flight == 0
    turns.take("e", 100)


async def test_a_tenant_that_was_away_has_no_credit_for_that_time() -> None:
    bench = Bench(window=10)
    for _ in range(60):
        bench.call("first", 10)
    while len(bench.order) < 30:
        await asyncio.sleep(0)
    for _ in range(30):
        bench.call("second", 10)
    before = len(bench.order)
    await bench.end()
    next_twenty = [tenant for tenant, _ in bench.order[before : before + 20]]
    assert 9 <= next_twenty.count("second") <= 11


async def test_what_is_known_of_tenants_has_a_bound_though_it_is_never_quiet() -> None:
    turns = Turns(1_000_000, lambda: 10)
    async with turns.turn("busy", 1):
        for number in range(3 * KNOWN_TENANTS):
            await _have_turn(turns, f"t{number}", pairs=1)
        assert len(turns._done) <= KNOWN_TENANTS


class Slow:
    """Turns before a Triton that does `per_s` pairs a second, and has done so for a while."""

    def __init__(self, per_s: float, most_wait_s: float = 1.0, window: int = 10) -> None:
        self.at, self.per_s = 100.0, per_s
        self.turns = Turns(100_000, lambda: window, most_wait_s, lambda: self.at)

    async def warm(self) -> Slow:
        for _ in range(20):
            async with self.turns.turn("t", 10):
                self.at += 10 / self.per_s
        return self

    def fill(self, tenant: str, pairs: int = 5) -> tuple[int, Overloaded]:
        """What a tenant may have in flight, and how the next was refused."""
        taken = 0
        while True:
            try:
                self.turns.take(tenant, pairs)
            except Overloaded as refusal:
                return taken, refusal
            taken += pairs


async def test_nobody_may_wait_longer_than_the_bound() -> None:
    slow = await Slow(per_s=200, most_wait_s=0.5).warm()
    taken, refusal = slow.fill("noisy")
    assert 100 <= taken <= 105
    assert (refusal.retry_after_s, "about 200 are done in a second" in str(refusal)) == (1, True)


async def test_a_slow_triton_still_gets_what_it_needs_to_have_no_gap() -> None:
    slow = await Slow(per_s=2, window=10).warm()
    taken, refusal = slow.fill("noisy")
    assert 20 <= taken <= 25
    assert refusal.retry_after_s is not None
    assert refusal.retry_after_s >= 9


async def test_beside_a_backlog_a_newcomer_is_let_in_however_slow_triton_is() -> None:
    slow = await Slow(per_s=2, window=10).warm()
    slow.fill("noisy")
    slow.turns.take("quiet", 5)


async def test_before_a_pace_is_known_the_bound_of_pairs_alone_holds() -> None:
    slow = Slow(per_s=1)
    taken, _ = slow.fill("noisy", 100)
    assert taken == 50_000


async def test_a_full_queue_of_one_tenant_keeps_no_other_out() -> None:
    """Each is refused for its own backlog: of the others only as much is ahead as it asks for itself."""
    slow = await Slow(per_s=200, most_wait_s=0.5).warm()
    noisy, _ = slow.fill("noisy")
    quiet, _ = slow.fill("quiet")
    assert noisy >= 100
    assert 45 <= quiet <= 55


async def test_a_question_larger_than_the_bound_is_taken_when_little_is_ahead_of_it() -> None:
    slow = await Slow(per_s=100).warm()
    slow.turns.take("t", 2_000)
    slow.turns.take("u", 50)
    with pytest.raises(Overloaded):
        slow.turns.take("t", 1)


async def test_a_triton_that_does_nothing_any_more_is_no_division_by_zero() -> None:
    slow = Slow(per_s=1)
    async with slow.turns.turn("t", 1):
        slow.at += 1
        slow.turns.take("t", 50)
        with pytest.raises(Overloaded) as refused:
            slow.turns.take("t", 1)
    assert refused.value.retry_after_s == 30
