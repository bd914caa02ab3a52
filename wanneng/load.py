"""Sends requests in closed and open loops, and measures how they are answered."""

from __future__ import annotations

import asyncio
import itertools
import math
import random
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from wanneng.errors import GatewayRefused, RequestError

Send = Callable[[int, int], Awaitable[object]]
"""Sends a request over a connection, both given by number; raises `RequestError` if it fails."""
MAX_IN_FLIGHT = 256
"""Requests of an open loop that wait for their answers; one more is counted as failed, and no queue hides here."""
NOT_SENT = f"{MAX_IN_FLIGHT}_in_flight"
GRACE_S = 1.0
"""How long after its end an open loop still sends what was due before."""
TOO_LATE = "too_late_to_send"
PAUSE_S = 0.1
"""After a failure, a client of a closed loop waits so long: refusals take no time."""
PERCENTILES = (0.5, 0.95, 0.99)


@dataclass(slots=True)
class Measured:
    """What one loop has measured."""

    load: str
    """Such as `8 clients` or `40 requests/s`."""
    is_open: bool
    """Whether requests came at their times, whatever became of earlier ones."""
    seconds: list[float] = field(default_factory=list)
    """Latencies of the answered requests; of an open loop since they were due."""
    elapsed_s: float = 0.0
    """Until the last answer."""
    errors: Counter[str] = field(default_factory=Counter)
    """Failed requests by code."""

    @property
    def requests_per_s(self) -> float:
        return len(self.seconds) / self.elapsed_s if self.elapsed_s else 0.0

    @property
    def error_share(self) -> float:
        sent = len(self.seconds) + self.errors.total()
        return self.errors.total() / sent if sent else 1.0

    def percentile_s(self, share: float) -> float:
        """The nearest rank; infinite if nothing was answered."""
        ordered = sorted(self.seconds)
        return ordered[max(0, math.ceil(share * len(ordered)) - 1)] if ordered else float("inf")

    def summary(self) -> dict[str, Any]:
        """As JSON has it; a percentile without an answer is None."""
        percentiles = {
            f"p{share * 100:.0f}_ms": round(1e3 * self.percentile_s(share), 1) if self.seconds else None
            for share in PERCENTILES
        }
        return {
            "load": self.load,
            "requests_per_s": round(self.requests_per_s, 2),
            **percentiles,
            "error_share": round(self.error_share, 4),
            "errors": dict(self.errors),
        }


async def closed_loop(send: Send, clients: int, duration_s: float, numbers: Iterator[int]) -> Measured:
    """So many clients, each of which sends its next request when the last one is answered."""
    measured = Measured(f"{clients} {'client' if clients == 1 else 'clients'}", is_open=False)
    started_at = time.monotonic()
    ends_at = started_at + duration_s

    async def ask_in_turn(client: int) -> None:
        while (now := time.monotonic()) < ends_at:
            if not await _timed(send, client, next(numbers), now, measured):
                await asyncio.sleep(PAUSE_S)

    async with asyncio.TaskGroup() as group:
        for client in range(clients):
            group.create_task(ask_in_turn(client))
    measured.elapsed_s = time.monotonic() - started_at
    return measured


async def open_loop(
    send: Send, rate: float, duration_s: float, numbers: Iterator[int], *, seed: int = 1
) -> Measured:
    """Requests at random times (Poisson), `rate` a second, each timed from when it was due.

    A rate beyond what this process can send ends in time too: what is still due then, at that rate, has failed.
    """
    measured = Measured(f"{rate:.4g} requests/s", is_open=True)
    chance = random.Random(seed)  # noqa: S311 - the same times in each run
    due_at = started_at = time.monotonic()
    ends_at = due_at + duration_s
    free = list(range(MAX_IN_FLIGHT))

    async def ask(connection: int, was_due_at: float) -> None:
        await _timed(send, connection, next(numbers), was_due_at, measured)
        free.append(connection)

    async with asyncio.TaskGroup() as group:
        while (due_at := due_at + chance.expovariate(rate)) < ends_at:
            await asyncio.sleep(due_at - time.monotonic())
            if time.monotonic() > ends_at + GRACE_S:
                measured.errors[TOO_LATE] += math.ceil(rate * (ends_at - due_at))
                break
            if free:
                group.create_task(ask(free.pop(), due_at))
            else:
                measured.errors[NOT_SENT] += 1
    measured.elapsed_s = max(duration_s, time.monotonic() - started_at)
    return measured


async def _timed(send: Send, connection: int, number: int, since: float, measured: Measured) -> bool:
    """Whether the request was answered."""
    try:
        await send(connection, number)
    except RequestError as error:
        code = error.code if isinstance(error, GatewayRefused) else type(error).__name__
        measured.errors[code] += 1
        return False
    measured.seconds.append(time.monotonic() - since)
    return True


Told = Callable[[Measured], object]


@dataclass(frozen=True, slots=True)
class Plan:
    """Which loops run, one after another."""

    clients: Sequence[int] = (1, 8, 32)
    rates: Sequence[float] = ()
    """Of open loops, in requests a second."""
    shares: Sequence[float] = (0.5, 0.8)
    """Of open loops, of what the best closed loop has answered."""
    duration_s: float = 10.0
    """Of each loop."""


async def run(send: Send, plan: Plan, told: Told = lambda _loop: None) -> list[Measured]:
    """Run the loops; `told` hears of each as it ends."""
    numbers = itertools.count()
    results: list[Measured] = []
    for clients in plan.clients:
        results.append(await closed_loop(send, clients, plan.duration_s, numbers))
        told(results[-1])
    capacity = max((measured.requests_per_s for measured in results), default=0.0)
    for rate in (*plan.rates, *(share * capacity for share in plan.shares)):
        if rate:
            results.append(await open_loop(send, rate, plan.duration_s, numbers))
            told(results[-1])
    return results


@dataclass(frozen=True, slots=True)
class Budget:
    """Limits on what was measured; None: no limit."""

    p99_ms: float | None = None
    """Of every open loop; of the closed ones where there is no open one."""
    min_requests_per_s: float | None = None
    """Of the best loop."""
    max_error_share: float | None = None
    """Of every loop."""

    def broken(self, results: Sequence[Measured]) -> list[str]:
        """A sentence for each limit that was exceeded."""
        sentences = []
        for measured in [m for m in results if m.is_open] or results:
            p99_ms = 1e3 * measured.percentile_s(0.99)
            if self.p99_ms is not None and p99_ms > self.p99_ms:
                sentences.append(f"p99 of {measured.load} is {p99_ms:.0f} ms, over --p99-ms {self.p99_ms:g}")
        best = max((m.requests_per_s for m in results), default=0.0)
        if self.min_requests_per_s is not None and best < self.min_requests_per_s:
            sentences.append(
                f"{best:.1f} requests/s are answered, under --min-requests-per-s {self.min_requests_per_s:g}"
            )
        limit = self.max_error_share
        return sentences + [
            f"{m.error_share:.2%} of {m.load} fail ({_listed(m.errors)}), over --max-error-share {limit:g}"
            for m in results
            if limit is not None and m.error_share > limit
        ]


def _listed(errors: Mapping[str, int]) -> str:
    return ", ".join(f"{count} {code}" for code, count in errors.items()) or "nothing was answered"
