"""Measuring classifications under disturbance, against transports that fail on purpose."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx
import pytest

from benchmarks.neighbour import LABELS, Neighbour

ANSWER = {"labels": list(LABELS), "scores": [0.5, 0.3, 0.2]}


@asynccontextmanager
async def neighbour(transport: httpx.MockTransport) -> AsyncIterator[Neighbour]:
    async with httpx.AsyncClient(transport=transport, base_url="http://gateway") as http:
        yield Neighbour(http)


async def faults_of(handler: httpx.MockTransport) -> set[str | None]:
    async with neighbour(handler) as beside:
        return {sample.fault for sample in await beside.classify_until(0.3)}


@pytest.mark.parametrize(
    ("response", "fault"),
    [
        (httpx.Response(200, json=ANSWER), None),
        (httpx.Response(503), "status 503"),
        (httpx.Response(200, json=ANSWER | {"scores": [0.2, 0.3, 0.5]}), "scores are not sorted"),
        (httpx.Response(200, text="<html>"), "not JSON"),
    ],
)
async def test_every_response_is_checked(response: httpx.Response, fault: str | None) -> None:
    content, status = response.content, response.status_code
    assert await faults_of(httpx.MockTransport(lambda _: httpx.Response(status, content=content))) == {fault}


async def test_a_lost_connection_is_a_failed_request() -> None:
    def lose(request: httpx.Request) -> httpx.Response:
        raise httpx.RemoteProtocolError("server disconnected")

    (fault,) = await faults_of(httpx.MockTransport(lose))
    assert fault is not None
    assert "server disconnected" in fault


async def test_no_text_is_sent_twice_and_every_window_has_the_same_schedule() -> None:
    sent: list[str] = []

    def answer(request: httpx.Request) -> httpx.Response:
        sent.append(json.loads(request.content)["text"])
        return httpx.Response(200, json=ANSWER)

    async with neighbour(httpx.MockTransport(answer)) as beside:
        windows = [await beside.classify_until(0.5) for _ in range(2)]
    assert len(windows[0]) == len(windows[1]) > 3
    assert len(set(sent)) == len(sent) == len(windows[0]) + len(windows[1])


async def test_a_window_lasts_until_the_disturbance_is_over_and_requests_arrive_while_others_wait() -> None:
    released = asyncio.Event()
    arrived = 0

    async def wait(request: httpx.Request) -> httpx.Response:
        nonlocal arrived
        arrived += 1
        await released.wait()
        return httpx.Response(200, json=ANSWER)

    async def disturb() -> None:
        while arrived < 5:
            await asyncio.sleep(0.01)
        released.set()

    async with neighbour(httpx.MockTransport(wait)) as beside, asyncio.timeout(30):
        samples = await beside.classify_until(0.0, asyncio.create_task(disturb()))
    assert len(samples) == arrived >= 5
