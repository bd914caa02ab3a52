"""The worker against dictionaries: every line once, whatever ends a run."""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any

import pytest

from gateway.assembly import assemble
from gateway.batches import CANCELLED, COMPLETED, ENDPOINT, EXPIRED, FAILED, IN_PROGRESS, WINDOW, Batch, Batches
from gateway.errors import InvalidRequest, StoreUnavailable, TritonFailed, TritonUnavailable
from gateway.files import Files
from gateway.settings import Settings
from gateway.tenants import ACTIVE, Tenant
from gateway.worker.work import ATTEMPTS, GROUP_LINES, LEASE_S, Worker
from tests.fakes.classifier import FakeClassifier
from tests.fakes.clock import FakeClock
from tests.fakes.stores import FakeBatches, Memory, fake_stores
from tests.gateway.worker.test_lines import GOOD, pieces

LABELS = ["投诉", "咨询"]


@dataclass
class Shop:
    """A tenant, its file, and workers that share its stores."""

    classifier: FakeClassifier = field(default_factory=FakeClassifier)
    memory: Memory = field(default_factory=Memory)
    clock: FakeClock = field(default_factory=FakeClock)
    naps: list[float] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.limits = Settings(bulk_lines_at_once=4, cache_bytes=0)
        self.stores = fake_stores(self.memory)
        self.work = FakeBatches(self.memory)
        self.memory.tenants["t_1"] = Tenant("t_1", "Acme", ACTIVE, self.clock.now())

    def worker(self, name: str = "w") -> Worker:
        async def sleep(seconds: float) -> None:
            if seconds == LEASE_S / 3:
                await asyncio.Event().wait()
            self.naps.append(seconds)
            await asyncio.sleep(0)

        parts = assemble(self.limits, self.stores, self.clock, self.classifier)
        return Worker(name, self.work, self.stores.files, parts.answering, self.clock, self.limits, sleep)

    async def batch(self, lines: list[Any]) -> Batch:
        content = b"\n".join(line if isinstance(line, bytes) else json.dumps(line).encode() for line in lines)
        files = Files(self.stores.files, self.clock, self.limits)
        file = await files.add("t_1", "in.jsonl", "batch", pieces(content, 1_000))
        batches = Batches(self.stores.batches, self.stores.files, self.clock)
        return await batches.create("t_1", file.id, ENDPOINT, WINDOW, {}, "")

    async def now(self, batch: Batch) -> Batch:
        found = await self.stores.batches.get("t_1", batch.id)
        assert found is not None
        return found

    async def lines_of(self, file_id: str | None) -> list[dict[str, Any]]:
        assert file_id is not None
        file, kept = self.memory.files[file_id]
        content = b"".join(kept)
        assert file.bytes == len(content)
        return [json.loads(line) for line in content.splitlines()]


def line(number: int, **body: Any) -> dict[str, Any]:
    return GOOD | {"custom_id": f"c{number}", "body": {"text": f"{number}", "labels": LABELS} | body}


async def test_every_line_is_answered_in_its_order_and_refusals_have_a_file_of_their_own() -> None:
    shop = Shop()
    asked = await shop.batch([line(0), line(1, labels="a,a"), line(2, texts=["x", "y"], text=None), line(3)])
    asked_lines = [line(n) for n in range(4)]
    assert await shop.worker().serve_one()
    done = await shop.now(asked)
    assert (done.status, done.total, done.completed, done.failed) == (COMPLETED, 4, 2, 2)
    answers = await shop.lines_of(done.output_file_id)
    assert [answer["custom_id"] for answer in answers] == [asked_lines[0]["custom_id"], "c3"]
    first = answers[0]["response"]
    assert (first["status_code"], sorted(first["body"]["labels"]), answers[0]["error"]) == (
        200,
        LABELS[::-1],
        None,
    )
    refusals = await shop.lines_of(done.error_file_id)
    assert [(r["custom_id"], r["response"]["status_code"]) for r in refusals] == [("c1", 422), ("c2", 422)]
    assert refusals[0]["response"]["body"]["code"] == "invalid_request"
    assert set(done.times) == {"in_progress", "finalizing", "completed"}
    assert not await shop.worker().serve_one()


async def test_a_file_that_is_no_batch_fails_with_its_lines_named() -> None:
    shop = Shop()
    asked = await shop.batch([line(0), b"{"])
    await shop.worker().serve_one()
    done = await shop.now(asked)
    assert (done.status, [error.line for error in done.errors]) == (FAILED, [2])
    assert shop.classifier.calls == []


@pytest.mark.parametrize("killed_after", [1, GROUP_LINES + 1, 2 * GROUP_LINES])
async def test_another_worker_goes_on_where_a_killed_one_was(killed_after: int) -> None:
    shop = Shop(FakeClassifier(delay_s=0.0005))
    asked = await shop.batch([line(number) for number in range(3 * GROUP_LINES)])
    first = asyncio.create_task(shop.worker("first").serve_one())
    while len(shop.classifier.calls) < killed_after:
        await asyncio.sleep(0)
    first.cancel()
    await asyncio.gather(first, return_exceptions=True)
    kept = len(shop.memory.results.get(asked.id, {}))
    assert not await shop.worker("too early").serve_one()
    shop.clock.advance(LEASE_S + 1)
    calls = len(shop.classifier.calls)
    assert await shop.worker("second").serve_one()
    done = await shop.now(asked)
    answers = await shop.lines_of(done.output_file_id)
    assert [answer["custom_id"] for answer in answers] == [f"c{number}" for number in range(3 * GROUP_LINES)]
    assert (done.status, done.completed) == (COMPLETED, 3 * GROUP_LINES)
    assert len(shop.classifier.calls) - calls == 3 * GROUP_LINES - kept


async def test_an_output_file_is_no_input() -> None:
    shop = Shop()
    asked = await shop.batch([line(0)])
    await shop.worker().serve_one()
    output = (await shop.now(asked)).output_file_id
    assert output is not None
    batches = Batches(shop.stores.batches, shop.stores.files, shop.clock)
    with pytest.raises(InvalidRequest, match="input_file_id"):
        await batches.create("t_1", output, ENDPOINT, WINDOW, {}, "")


async def test_a_line_waits_for_triton_to_come_back() -> None:
    shop = Shop(FakeClassifier(failure=TritonUnavailable("gone")))
    asked = await shop.batch([line(0)])
    serving = asyncio.create_task(shop.worker().serve_one())
    while len(shop.naps) < 5:
        await asyncio.sleep(0)
    shop.classifier.failure = None
    await asyncio.wait_for(serving, 5)
    assert (await shop.now(asked)).status == COMPLETED


async def test_a_line_that_triton_cannot_answer_is_refused_after_some_attempts() -> None:
    shop = Shop(FakeClassifier(failure=TritonFailed("broken")))
    asked = await shop.batch([line(0)])
    await shop.worker().serve_one()
    done = await shop.now(asked)
    assert (done.status, done.failed, len(shop.classifier.calls)) == (COMPLETED, 1, ATTEMPTS)


async def test_a_cancelled_batch_ends_with_what_was_answered() -> None:
    shop = Shop(FakeClassifier(delay_s=0.0005))
    asked = await shop.batch([line(number) for number in range(4 * GROUP_LINES)])
    serving = asyncio.create_task(shop.worker().serve_one())
    while len(shop.classifier.calls) < GROUP_LINES + 1:
        await asyncio.sleep(0)
    await Batches(shop.stores.batches, shop.stores.files, shop.clock).cancel("t_1", asked.id)
    await serving
    done = await shop.now(asked)
    assert (done.status, done.completed) == (CANCELLED, 2 * GROUP_LINES)
    assert set(done.times) == {"in_progress", "cancelling", "cancelled"}
    assert len(await shop.lines_of(done.output_file_id)) == 2 * GROUP_LINES


async def test_a_batch_beyond_its_time_ends_with_what_was_answered() -> None:
    shop = Shop()
    asked = await shop.batch([line(number) for number in range(2 * GROUP_LINES)])
    shop.memory.batches[asked.id] = replace(asked, expires_at=shop.clock.now() - timedelta(seconds=1))
    await shop.worker().serve_one()
    done = await shop.now(asked)
    assert (done.status, done.completed) == (EXPIRED, GROUP_LINES)


async def test_a_long_batch_lets_another_have_its_turn() -> None:
    shop = Shop()

    class Ticking(FakeClock):
        def now(self) -> Any:
            self.advance(4)
            return super().now()

    shop.clock = Ticking()
    first = await shop.batch([line(number) for number in range(4 * GROUP_LINES)])
    second = await shop.batch([line(0)])
    worker = shop.worker()
    await worker.serve_one()
    assert (await shop.now(first)).status == IN_PROGRESS
    while (await shop.now(second)).status != COMPLETED:
        await worker.serve_one()
    assert (await shop.now(first)).status == IN_PROGRESS
    while await worker.serve_one():
        pass
    assert ((await shop.now(first)).status, (await shop.now(first)).completed) == (COMPLETED, 4 * GROUP_LINES)


async def test_a_database_that_is_gone_ends_the_turn_and_not_the_worker() -> None:
    shop = Shop(FakeClassifier(delay_s=0.0005))
    asked = await shop.batch([line(number) for number in range(2 * GROUP_LINES)])
    keeping = asyncio.create_task(shop.worker().keep())
    try:
        while len(shop.classifier.calls) < 2:
            await asyncio.sleep(0)
        shop.memory.down = True
        while 1.0 not in shop.naps:
            await asyncio.sleep(0)
        shop.memory.down = False
        shop.clock.advance(LEASE_S + 1)
        async with asyncio.timeout(5):
            while (await shop.now(asked)).status != COMPLETED:
                await asyncio.sleep(0)
    finally:
        keeping.cancel()
    assert len(await shop.lines_of((await shop.now(asked)).output_file_id)) == 2 * GROUP_LINES
    with pytest.raises(StoreUnavailable):
        shop.memory.down = True
        await shop.now(asked)
