"""Loops of requests, what they measure, and budgets."""

from __future__ import annotations

import asyncio
from collections import Counter
from itertools import count

import pytest

from wanneng.errors import ConnectionRefused, GatewayRefused
from wanneng.load import MAX_IN_FLIGHT, NOT_SENT, TOO_LATE, Budget, Measured, Plan, closed_loop, open_loop, run


class Deployment:
    """Answers when it is told to; every third request is refused if `refusing`."""

    def __init__(self, *, refusing: bool = False, answering: bool = True) -> None:
        self.refusing = refusing
        self.answering = answering
        self.in_flight: Counter[int] = Counter()
        self.most_in_flight = 0
        self.numbers: list[int] = []

    async def send(self, connection: int, number: int) -> None:
        self.numbers.append(number)
        self.in_flight[connection] += 1
        assert self.in_flight[connection] == 1, "a connection has one request at a time"
        self.most_in_flight = max(self.most_in_flight, self.in_flight.total())
        try:
            await asyncio.sleep(0.001 if self.answering else 0.3)
        finally:
            self.in_flight[connection] -= 1
        if self.refusing and number % 3 == 0:
            raise GatewayRefused(503, {"code": "overloaded"}, 1.0) if number % 2 else ConnectionRefused("closed")


async def test_each_client_of_a_closed_loop_has_one_request_in_flight() -> None:
    deployment = Deployment()
    measured = await closed_loop(deployment.send, 4, 0.1, count())
    assert deployment.most_in_flight == 4
    assert deployment.numbers == list(range(len(deployment.numbers)))
    assert len(measured.seconds) == len(deployment.numbers)
    assert measured.error_share == 0
    assert measured.load == "4 clients"


async def test_failures_are_counted_by_code() -> None:
    measured = await closed_loop(Deployment(refusing=True).send, 8, 0.4, count())
    assert set(measured.errors) == {"overloaded", "ConnectionRefused"}
    assert measured.seconds
    assert 0 < measured.error_share < 1


async def test_requests_of_an_open_loop_do_not_wait_for_earlier_ones() -> None:
    deployment = Deployment(answering=False)
    measured = await open_loop(deployment.send, 100.0, 0.2, count())
    assert deployment.most_in_flight == len(deployment.numbers) == len(measured.seconds)


async def test_an_open_loop_is_bounded() -> None:
    deployment = Deployment(answering=False)
    measured = await open_loop(deployment.send, 10.0 * MAX_IN_FLIGHT, 0.2, count())
    assert deployment.most_in_flight == MAX_IN_FLIGHT
    assert measured.errors[NOT_SENT] > 0


async def test_an_open_loop_ends_even_if_its_rate_cannot_be_sent() -> None:
    rate = 1e9
    result = await open_loop(Deployment().send, rate, 0.1, count())
    assert result.errors[TOO_LATE] > rate * 0.1 / 2
    assert result.errors.total() + len(result.seconds) == pytest.approx(rate * 0.1, rel=0.01)


async def test_a_request_is_timed_from_when_it_was_due() -> None:
    """The deployment holds the loop, so that later requests are sent late."""
    held = False

    async def hold(_connection: int, _number: int) -> None:
        nonlocal held
        if not held:
            held = True
            deadline = asyncio.get_running_loop().time() + 0.3
            while asyncio.get_running_loop().time() < deadline:
                pass

    measured = await open_loop(hold, 200.0, 0.3, count())
    assert sum(seconds > 0.1 for seconds in measured.seconds) > 5


async def test_open_loops_follow_the_best_closed_one() -> None:
    plan = Plan(clients=(1, 4), rates=(7.0,), shares=(0.5,), duration_s=0.1)
    results = await run(Deployment().send, plan)
    assert [measured.load for measured in results[:3]] == ["1 client", "4 clients", "7 requests/s"]
    best = max(measured.requests_per_s for measured in results[:2])
    assert results[3].load == f"{best / 2:.4g} requests/s"


def measured(milliseconds: int, *, is_open: bool, failed: int = 0) -> Measured:
    """A hundred requests in 10 s."""
    answered = 100 - failed
    errors = Counter({"overloaded": failed} if failed else {})
    return Measured("it", is_open, [milliseconds / 1e3] * answered, 10.0, errors)


@pytest.mark.parametrize(
    ("budget", "broken"),
    [
        (Budget(), 0),
        (Budget(p99_ms=50, min_requests_per_s=10, max_error_share=0.02), 0),
        (Budget(p99_ms=39), 1),
        (Budget(min_requests_per_s=10.5), 1),
        (Budget(max_error_share=0.01), 1),
        (Budget(39, 10.5, 0.01), 3),
    ],
)
def test_a_budget_names_what_exceeds_it(budget: Budget, broken: int) -> None:
    """The p99 of a closed loop does not count beside an open one."""
    results = [measured(400, is_open=False), measured(40, is_open=True, failed=2)]
    assert len(budget.broken(results)) == broken


@pytest.mark.parametrize(
    "count, share, nearest", [(1, 0.99, 1), (2, 0.5, 1), (3, 0.5, 2), (100, 0.99, 99), (101, 0.99, 100)]
)
def test_a_percentile_is_the_nearest_rank(count: int, share: float, nearest: int) -> None:
    assert Measured("it", True, [float(n) for n in range(count, 0, -1)]).percentile_s(share) == nearest


def test_without_an_open_loop_the_closed_ones_have_the_p99() -> None:
    assert Budget(p99_ms=50).broken([measured(400, is_open=False)])


def test_nothing_answered_is_over_every_budget() -> None:
    nothing = Measured("it", True, elapsed_s=10.0)
    assert len(Budget(1_000, 0.1, 0.5).broken([nothing])) == 3
    assert nothing.summary()["p99_ms"] is None
