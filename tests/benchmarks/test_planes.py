"""Measuring classifications under disturbance, against transports that fail on purpose."""

from __future__ import annotations

import asyncio
import json
from itertools import count

import httpx
import pytest

from benchmarks.planes import LABELS, Measurement, classify_until, p99_s, render
from loadtest.budget import Sample

ANSWER = {"labels": list(LABELS), "scores": [0.5, 0.3, 0.2]}


def measurement(*seconds: float, failed: int = 0) -> Measurement:
    samples = [Sample("inline", "benchmark", value, None) for value in seconds]
    samples += [Sample("inline", "benchmark", 0.001, "status 503")] * failed
    return Measurement("disturbed", samples, undisturbed_p99_s=0.1)


@pytest.mark.parametrize(
    ("measured", "broken"),
    [
        (measurement(*[0.1] * 100), []),
        (measurement(*[0.1] * 99, 9.0, *[0.1] * 50), []),
        (measurement(*[0.1] * 98, 0.2, 0.2), ["disturbed: p99 over undisturbed"]),
        (measurement(*[0.1] * 100, failed=1), ["disturbed: failed"]),
        (measurement(failed=3), ["disturbed: failed", "disturbed: p99 over undisturbed"]),
    ],
)
def test_a_failed_request_and_a_p99_of_twice_the_undisturbed_one_break_a_promise(
    measured: Measurement, broken: list[str]
) -> None:
    assert [promise.what for promise in measured.promises() if not promise.kept] == broken
    assert measured.kept is (broken == [])
    assert ("BROKEN" in render([measured])) is (broken != [])


def test_quick_refusals_do_not_lower_the_p99() -> None:
    assert p99_s(measurement(0.3, failed=99).samples) == 0.3


def test_the_table_says_what_failed() -> None:
    assert "disturbed: 2 × status 503" in render([measurement(0.1, failed=2)])


async def faults_of(handler: httpx.MockTransport) -> set[str | None]:
    async with httpx.AsyncClient(transport=handler, base_url="http://gateway") as http:
        return {sample.fault for sample in await classify_until(http, count(), 0.3)}


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

    texts = count()
    async with httpx.AsyncClient(transport=httpx.MockTransport(answer), base_url="http://gateway") as http:
        windows = [await classify_until(http, texts, 0.5) for _ in range(2)]
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

    async with httpx.AsyncClient(transport=httpx.MockTransport(wait), base_url="http://gateway") as http:
        async with asyncio.timeout(30):
            samples = await classify_until(http, count(), 0.0, asyncio.create_task(disturb()))
    assert len(samples) == arrived >= 5
