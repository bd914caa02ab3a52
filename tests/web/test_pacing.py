"""Whoever costs this process more than its share waits for its answers, and nobody else does."""

from __future__ import annotations

import asyncio

import pytest
from starlette.requests import Request

from web.pacing import BURST_S, MAX_CALLERS, MAX_DELAY_S, MAX_WAITING, MAX_WAITING_OF_CALLER, SHARE, Pacing
from web.request_context import RequestContext


def request(tenant_id: str | None, address: str = "127.0.0.2") -> Request:
    context = RequestContext("id", tenant_id=tenant_id)
    return Request({"type": "http", "context": context, "client": (address, 1)})


@pytest.mark.parametrize("connections", [1, 4, 16])
@pytest.mark.parametrize("cost_s", [0.0002, 0.004, 0.04])
def test_requests_without_pause_get_their_share_of_the_time(connections: int, cost_s: float) -> None:
    pacing, seconds = Pacing(), 100.0
    at = dict.fromkeys(range(connections), 1000.0)
    served = 0
    while (now := min(at.values())) < 1_000.0 + seconds:
        connection = min(at, key=lambda one: at[one])
        at[connection] = now + max(cost_s, pacing.delay_s("t", cost_s, now))
        served += 1
    assert served * cost_s == pytest.approx(SHARE * (seconds + BURST_S), rel=0.15, abs=connections * cost_s)


def test_at_an_ordinary_rate_nobody_waits() -> None:
    pacing = Pacing()
    assert not any(pacing.delay_s("t", 0.001, 1_000 + number * 0.01) for number in range(1_000))


def test_what_one_costs_delays_no_other() -> None:
    pacing = Pacing()
    for _ in range(100):
        pacing.delay_s("attacker", 0.1, 1_000.0)
    assert pacing.delay_s("attacker", 0.1, 1_000.0) == MAX_DELAY_S
    assert pacing.delay_s("neighbour", 0.1, 1_000.0) == 0


def test_what_is_remembered_has_a_bound() -> None:
    pacing = Pacing()
    for number in range(MAX_CALLERS + 10):
        pacing.delay_s(str(number), 1.0, 1_000.0)
    assert len(pacing._free_at) == MAX_CALLERS


async def test_a_caller_is_a_tenant_or_where_none_is_known_an_address() -> None:
    pacing = Pacing()
    for _ in range(3):
        await pacing.pay(request("t"), SHARE * BURST_S / 2)
    waiting = [
        asyncio.ensure_future(pacing.pay(request(*caller), SHARE * MAX_DELAY_S))
        for caller in [("t", "127.0.0.3"), (None, "127.0.0.4"), (None, "127.0.0.4")]
    ]
    await asyncio.wait_for(pacing.pay(request("u", "127.0.0.4"), SHARE * BURST_S), timeout=1)
    assert not any(task.done() for task in waiting)
    for task in waiting:
        task.cancel()


@pytest.mark.parametrize(
    ("callers", "each"),
    [(1, MAX_WAITING_OF_CALLER), (MAX_WAITING // MAX_WAITING_OF_CALLER, MAX_WAITING_OF_CALLER)],
)
async def test_so_many_wait_and_whoever_comes_beyond_that_is_not_served(callers: int, each: int) -> None:
    pacing = Pacing()
    cost_s = SHARE * MAX_DELAY_S
    waiting = [
        asyncio.ensure_future(pacing.pay(request(f"t{number % callers}"), cost_s))
        for number in range(callers * each)
    ]
    await asyncio.sleep(0)
    beyond = "t0" if callers == 1 else "another"
    assert not await pacing.pay(request(beyond), cost_s)
    assert await pacing.pay(request("whoever costs little"), 0.0), "it does not have to wait"
    for task in waiting:
        task.cancel()
    await asyncio.gather(*waiting, return_exceptions=True)
    again = asyncio.ensure_future(pacing.pay(request(beyond), cost_s))
    await asyncio.sleep(0)
    assert not again.done(), "those that gave up leave room"
    again.cancel()
