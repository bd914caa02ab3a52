"""Clients that send one request after another while something happens, and what each of them got."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import httpx
from httpx_aiohttp import AiohttpTransport

CLIENTS = 16
FRESH = {"Cache-Control": "no-cache"}
TEXTS = [f"第{i}个手机质量太差，要求退款" for i in range(40)]
LABELS = ("投诉", "咨询", "建议", "表扬")
BODIES = [{"text": text, "labels": list(LABELS)} for text in TEXTS]

Say = Callable[[str, str], None]
"""What was promised, and what was measured."""


class Answer(NamedTuple):
    """What was asked, what came, and after how long."""

    body: dict[str, Any]
    response: httpx.Response
    seconds: float

    @property
    def good(self) -> bool:
        return self.response.status_code == httpx.codes.OK


@dataclass
class Load:
    """What came of the requests so far."""

    answers: list[Answer] = field(default_factory=list)
    asked_at: dict[int, float] = field(default_factory=dict)
    """By client, when it asked what it waits for."""

    @property
    def longest_wait_s(self) -> float:
        """Of those who wait now."""
        return time.monotonic() - min(self.asked_at.values(), default=time.monotonic())

    @property
    def failed(self) -> list[str]:
        return [answer.response.text for answer in self.answers if not answer.good]

    @property
    def slowest_s(self) -> float:
        return max(answer.seconds for answer in self.answers)


@asynccontextmanager
async def load(
    url: str,
    bodies: Sequence[dict[str, Any]] = BODIES,
    headers: dict[str, str] = FRESH,
    clients: int = CLIENTS,
) -> AsyncIterator[Load]:
    """Clients on kept connections, each sending one request after another while the block runs; no retries."""
    seen = Load()
    stopping = asyncio.Event()

    async def client(seed: int) -> None:
        rng = random.Random(seed)
        while not stopping.is_set():
            body, began = rng.choice(bodies), time.monotonic()
            seen.asked_at[seed] = began
            response = await http.post("/v1/classify", json=body, headers=headers)
            del seen.asked_at[seed]
            seen.answers.append(Answer(body, response, time.monotonic() - began))
            if not seen.answers[-1].good:
                await asyncio.sleep(0.05)

    async with httpx.AsyncClient(base_url=url, timeout=30, trust_env=False) as http:
        running = [asyncio.create_task(client(seed)) for seed in range(clients)]
        try:
            yield seen
        finally:
            stopping.set()
            await asyncio.gather(*running)


async def until(condition: Callable[[], object], what: str, timeout_s: float = 60.0) -> None:
    """Wait for what `condition` sees; fails by `what` when it never comes."""
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, what
        await asyncio.sleep(0.05)


def judge(what: str, seen: Load, verdict: Say, slowest_s: float) -> None:
    """No request failed and none took `slowest_s`; says so in figures."""
    count = len(seen.answers)
    verdict(what, f"{len(seen.failed)} of {count} requests failed, the slowest took {seen.slowest_s:.1f} s")
    assert not seen.failed, seen.failed[:3]
    assert seen.slowest_s < slowest_s


class Arrival(NamedTuple):
    """A request that came when it was due, whatever had become of those before it."""

    tenant: str
    due_s: float
    """From the beginning."""
    seconds: float
    """From when it was due."""
    status: int
    code: str
    retry_after: str | None


@dataclass(frozen=True, slots=True)
class Stream:
    """Requests of one tenant: `rate` a second, a Poisson process, each with pairs that were never asked before."""

    tenant: str
    rate: float
    key: str = ""
    labels: Sequence[str] = LABELS


async def arrive(url: str, streams: Sequence[Stream], duration_s: float, seed: int = 1) -> list[Arrival]:
    """All that arrived in `duration_s`, once each of them has been answered."""
    limits = httpx.Limits(max_connections=1_000, max_keepalive_connections=1_000)
    arrivals: list[Arrival] = []
    async with httpx.AsyncClient(
        transport=AiohttpTransport(limits=limits), base_url=url, timeout=30, trust_env=False
    ) as http:

        async def ask(stream: Stream, due: float, number: int) -> None:
            headers = FRESH | ({"Authorization": f"Bearer {stream.key}"} if stream.key else {})
            body = {"text": f"{number}{TEXTS[number % len(TEXTS)]}", "labels": list(stream.labels)}
            response = await http.post("/v1/classify", json=body, headers=headers)
            seconds = time.monotonic() - due
            code = "" if response.is_success else response.json()["code"]
            retry_after = response.headers.get("retry-after")
            arrivals.append(Arrival(stream.tenant, due - began, seconds, response.status_code, code, retry_after))

        async def come(stream: Stream) -> None:
            rng, due, number = random.Random(f"{seed}{stream.tenant}"), began, 0
            while (due := due + rng.expovariate(stream.rate)) < began + duration_s:
                await asyncio.sleep(max(0.0, due - time.monotonic()))
                number += 1
                asking.create_task(ask(stream, due, number))

        began = time.monotonic()
        async with asyncio.TaskGroup() as asking:
            for stream in streams:
                asking.create_task(come(stream))
    return arrivals
