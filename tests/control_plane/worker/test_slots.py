"""Lines are shared between turns: each has one of its own at once, and no more than its part of the others."""

from __future__ import annotations

import asyncio
from contextlib import ExitStack

import pytest

from control_plane.worker.slots import LineShare, LineSlots


async def fill(share: LineShare, lines: int, gate: asyncio.Event) -> list[asyncio.Task[None]]:
    """Ask for as many lines, each under way until the gate opens."""

    async def line() -> None:
        async with share.line():
            await gate.wait()

    tasks = [asyncio.create_task(line()) for _ in range(lines)]
    for _ in range(lines + 5):
        await asyncio.sleep(0)
    return tasks


@pytest.mark.parametrize(("lines_at_once", "turns"), [(1, 1), (3, 1), (4, 1), (8, 2), (16, 4), (100, 4)])
def test_there_are_as_many_turns_as_there_are_lines_for(lines_at_once: int, turns: int) -> None:
    assert LineSlots(lines_at_once).turns == turns


@pytest.mark.parametrize(("lines_at_once", "alone"), [(1, 1), (4, 4), (8, 7), (16, 13)])
async def test_a_turn_alone_leaves_a_line_for_each_of_the_others(lines_at_once: int, alone: int) -> None:
    slots, gate = LineSlots(lines_at_once), asyncio.Event()
    with ExitStack() as turns:
        first = turns.enter_context(slots.share())
        lines = await fill(first, 100, gate)
        assert first.taken == alone
        for _ in range(slots.turns - 1):
            other = turns.enter_context(slots.share())
            lines += await fill(other, 100, gate)
            assert other.taken == 1
        gate.set()
        await asyncio.gather(*lines)


async def test_turns_that_begin_together_have_equal_parts_and_never_more_than_there_are() -> None:
    slots, gate = LineSlots(16), asyncio.Event()
    with ExitStack() as turns:
        shares = [turns.enter_context(slots.share()) for _ in range(4)]
        lines = [line for share in shares for line in await fill(share, 20, gate)]
        assert [share.taken for share in shares] == [4, 4, 4, 4]
        gate.set()
        await asyncio.gather(*lines)
        assert [share.taken for share in shares] == [0, 0, 0, 0]


async def test_what_a_cancelled_line_had_is_free_again() -> None:
    slots, gate = LineSlots(4), asyncio.Event()
    with slots.share() as share:
        lines = await fill(share, 10, gate)
        for line in lines:
            line.cancel()
        await asyncio.gather(*lines, return_exceptions=True)
        assert share.taken == 0
        lines = await fill(share, 4, gate)
        assert share.taken == 4
        gate.set()
        await asyncio.gather(*lines)
