"""What counts as a broken promise under attack, and how the event loop's metric is read."""

from __future__ import annotations

import asyncio
from collections import Counter
from contextlib import suppress

import httpx
import pytest

from benchmarks.attack import max_blocked_s, read_blocked, share_promise
from benchmarks.attack_connections import MEMORY
from benchmarks.attack_job import Job
from benchmarks.attack_report import Attacked, render
from benchmarks.attacks import ATTACKS, TENANTS
from loadtest.budget import Sample


def attacked(*, blocked_s: float = 0.05, restarted: tuple[str, ...] = (), failed: int = 0) -> Attacked:
    samples = [Sample("inline", "benchmark", 0.1, None)] * 20
    samples += [Sample("inline", "benchmark", 0.001, "status 503")] * failed
    return Attacked(
        "deep JSON", samples, 0.1, responses=Counter({"422": 7}), blocked_s=blocked_s, restarted=restarted
    )


@pytest.mark.parametrize(
    ("measured", "broken"),
    [
        (attacked(), []),
        (attacked(blocked_s=0.1), ["deep JSON: event loop held"]),
        (attacked(restarted=("-m gateway",)), ["deep JSON: restarted"]),
        (attacked(failed=2), ["deep JSON: failed"]),
    ],
)
def test_a_held_event_loop_a_restart_and_a_failed_request_break_a_promise(
    measured: Attacked, broken: list[str]
) -> None:
    assert [promise.what for promise in measured.promises() if not promise.kept] == broken
    assert measured.kept is (broken == [])
    assert ("BROKEN" in render([measured])) is (broken != [])
    assert "7 × 422" in render([measured])


@pytest.mark.parametrize(("share", "kept"), [(0.449, False), (0.45, True), (0.55, True), (0.56, False)])
def test_a_tenant_gets_half_of_the_tokens(share: float, kept: bool) -> None:
    assert share_promise(share).kept is kept


async def test_the_largest_bucket_that_was_hit_in_between_counts() -> None:
    scraped = [
        {"0.01": 5, "0.05": 5, "0.1": 6, "+Inf": 6},
        {"0.01": 9, "0.05": 10, "0.1": 11, "+Inf": 11},
        {"0.01": 9, "0.05": 10, "0.1": 11, "+Inf": 12},
    ]
    name = "wanneng_event_loop_blocked_seconds_bucket"

    async def read(buckets: dict[str, int]) -> dict[float, float]:
        text = "".join(f'{name}{{le="{bound}"}} {value}.0\n' for bound, value in buckets.items())
        transport = httpx.MockTransport(lambda _: httpx.Response(200, text=text))
        async with httpx.AsyncClient(transport=transport, base_url="http://gateway") as http:
            return await read_blocked(http)

    first, second, third = [await read(buckets) for buckets in scraped]
    assert max_blocked_s(first, first) == 0
    assert max_blocked_s(first, second) == 0.05
    assert max_blocked_s(second, third) == float("inf")


EVERY_ATTACK = ATTACKS | MEMORY | TENANTS


@pytest.mark.parametrize("name", EVERY_ATTACK)
async def test_every_attack_sends_something_and_ends_in_time(name: str) -> None:
    """Against a server that refuses everything and closes."""
    received = ended = 0

    async def refuse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal received, ended
        received += 1
        with suppress(ConnectionError):
            await reader.read(65_536)
            writer.write(b"HTTP/1.1 429 Too Many Requests\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
            writer.close()
            await writer.wait_closed()
        ended += 1

    server = await asyncio.start_server(refuse, "127.0.0.1", 0)
    async with server:
        host, port = server.sockets[0].getsockname()[:2]
        async with asyncio.timeout(30):
            outcomes = await EVERY_ATTACK[name](Job(name, host, port, "wn_key", 0.2))
            while ended < received:
                await asyncio.sleep(0.01)
    assert received > 0
    assert outcomes.total() > 0
