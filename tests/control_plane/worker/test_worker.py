"""The worker against dictionaries: every line once, whatever ends a turn."""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

import pytest

from control_plane.batches import ENDPOINT, WINDOW, Batches
from control_plane.files import Files
from control_plane.worker.gateway_client import GatewayAnswer, GatewayFailed, NoAnswer, NotServed, TryLater
from control_plane.worker.turn import ATTEMPTS, JITTER, MAX_WAIT_S, MIN_WAIT_S, NOT_SERVED_WAIT_S, Sleep
from control_plane.worker.worker import GROUP_LINES, LEASE_S, Worker
from stores.batches import CANCELLED, COMPLETED, EXPIRED, FAILED, IN_PROGRESS, Batch
from stores.errors import InvalidRequest, StoreUnavailable
from stores.tenants import ACTIVE, Tenant
from tests.fakes.chunks import chunks_of
from tests.fakes.clock import FakeClock
from tests.fakes.gateway_client import FakeGateway, problem
from tests.fakes.stores import FakeBatches, Memory, fake_stores

LABELS = ["投诉", "咨询"]
LINES_AT_ONCE = 4


@dataclass
class Shop:
    """Tenants, their files, and workers that share the stores. Sleeping moves the clock, if `time_passes`."""

    gateway: FakeGateway = field(default_factory=FakeGateway)
    memory: Memory = field(default_factory=Memory)
    clock: FakeClock = field(default_factory=FakeClock)
    naps_s: list[float] = field(default_factory=list)
    time_passes: bool = False

    def __post_init__(self) -> None:
        self.stores = fake_stores(self.memory)
        self.add_tenant("t_1")

    def add_tenant(self, tenant_id: str) -> None:
        self.memory.tenants[tenant_id] = Tenant(tenant_id, tenant_id, ACTIVE, self.clock.now())

    async def sleep(self, seconds: float) -> None:
        if seconds == LEASE_S / 3:
            await asyncio.Event().wait()
        self.naps_s.append(seconds)
        if self.time_passes:
            self.clock.advance(seconds)
        await asyncio.sleep(0)

    def worker(self, name: str = "w", sleep: Sleep | None = None) -> Worker:
        return Worker(
            name,
            FakeBatches(self.memory),
            self.stores.files,
            self.gateway,
            self.clock,
            max_batch_lines=50_000,
            lines_at_once=LINES_AT_ONCE,
            sleep=sleep or self.sleep,
        )

    @property
    def batches(self) -> Batches:
        return Batches(self.stores.batches, self.stores.files, self.clock)

    async def add_batch(self, lines: list[Any], tenant_id: str = "t_1") -> Batch:
        content = b"\n".join(line if isinstance(line, bytes) else json.dumps(line).encode() for line in lines)
        files = Files(self.stores.files, self.clock, max_file_bytes=10_000_000, max_tenant_file_bytes=10_000_000)
        file = await files.add(tenant_id, "in.jsonl", "batch", chunks_of(content, 1_000))
        return await self.batches.create(tenant_id, file.id, ENDPOINT, WINDOW, {}, "")

    async def now(self, batch: Batch) -> Batch:
        return await self.batches.get(batch.tenant_id, batch.id)

    def lines_of(self, file_id: str | None) -> list[dict[str, Any]]:
        assert file_id is not None
        file, chunks = self.memory.files[file_id]
        content = b"".join(chunks)
        assert file.bytes == len(content)
        return [json.loads(line) for line in content.splitlines()]


def line(number: int, **body: Any) -> dict[str, Any]:
    return {
        "custom_id": f"c{number}",
        "url": ENDPOINT,
        "body": {"text": f"{number}", "labels": LABELS} | body,
    }


async def test_every_line_is_answered_in_its_order_and_errors_have_a_file_of_their_own() -> None:
    shop = Shop()
    batch = await shop.add_batch([line(0), line(1, text=None), line(2, texts=["x", "y"], text=None), line(3)])
    assert await shop.worker().serve_one()
    done = await shop.now(batch)
    assert (done.status, done.total, done.completed, done.failed) == (COMPLETED, 4, 2, 2)
    results = shop.lines_of(done.output_file_id)
    assert [result["custom_id"] for result in results] == ["c0", "c3"]
    response = results[0]["response"]
    assert (response["status_code"], response["body"]["labels"], results[0]["error"]) == (200, LABELS, None)
    errors = shop.lines_of(done.error_file_id)
    assert [(e["custom_id"], e["response"]["status_code"]) for e in errors] == [("c1", 422), ("c2", 422)]
    assert errors[0]["response"]["body"]["code"] == "invalid_request"
    assert set(done.reached_at) == {"in_progress", "finalizing", "completed"}
    assert not await shop.worker().serve_one()


async def test_each_line_is_asked_for_its_tenant_with_a_request_id_of_its_own() -> None:
    shop = Shop()
    batch = await shop.add_batch([line(0), b"", line(2)])
    await shop.worker().serve_one()
    assert shop.gateway.calls == [
        ("t_1", f"{batch.id}_0", line(0)["body"]),
        ("t_1", f"{batch.id}_2", line(2)["body"]),
    ]
    (first, _) = shop.lines_of((await shop.now(batch)).output_file_id)
    assert first["id"] == first["response"]["request_id"] == first["response"]["body"]["request_id"]


async def test_lines_are_asked_a_few_at_once() -> None:
    shop = Shop(FakeGateway(delay_s=0.0005))
    await shop.add_batch([line(number) for number in range(20)])
    await shop.worker().serve_one()
    assert shop.gateway.most_under_way == LINES_AT_ONCE


async def test_a_file_that_is_no_batch_fails_with_its_lines_named() -> None:
    shop = Shop()
    batch = await shop.add_batch([line(0), b"{"])
    await shop.worker().serve_one()
    done = await shop.now(batch)
    assert (done.status, [error.line for error in done.errors]) == (FAILED, [2])
    assert shop.gateway.calls == []


@pytest.mark.parametrize("killed_after", [1, GROUP_LINES + 1, 2 * GROUP_LINES])
async def test_another_worker_goes_on_where_a_killed_one_was(killed_after: int) -> None:
    shop = Shop(FakeGateway(delay_s=0.0005))
    batch = await shop.add_batch([line(number) for number in range(3 * GROUP_LINES)])
    first = asyncio.create_task(shop.worker("first").serve_one())
    while len(shop.gateway.calls) < killed_after:
        await asyncio.sleep(0)
    first.cancel()
    await asyncio.gather(first, return_exceptions=True)
    kept = len(shop.memory.results.get(batch.id, {}))
    assert not await shop.worker("too early").serve_one()
    shop.clock.advance(LEASE_S + 1)
    calls = len(shop.gateway.calls)
    assert await shop.worker("second").serve_one()
    done = await shop.now(batch)
    results = shop.lines_of(done.output_file_id)
    assert [result["custom_id"] for result in results] == [f"c{number}" for number in range(3 * GROUP_LINES)]
    assert (done.status, done.completed) == (COMPLETED, 3 * GROUP_LINES)
    assert len(shop.gateway.calls) - calls == 3 * GROUP_LINES - kept


async def test_an_output_file_is_no_input() -> None:
    shop = Shop()
    batch = await shop.add_batch([line(0)])
    await shop.worker().serve_one()
    output = (await shop.now(batch)).output_file_id
    assert output is not None
    with pytest.raises(InvalidRequest, match="input_file_id"):
        await shop.batches.create("t_1", output, ENDPOINT, WINDOW, {}, "")


@pytest.mark.parametrize(
    ("retry_after_s", "at_least_s"), [(None, MIN_WAIT_S), (0, MIN_WAIT_S), (2, 2), (7.5, 7.5)]
)
async def test_a_line_waits_as_the_gateway_says_and_is_asked_again(
    retry_after_s: float | None, at_least_s: float
) -> None:
    shop = Shop(FakeGateway(failure=TryLater("overloaded", retry_after_s)))
    batch = await shop.add_batch([line(0)])
    serving = asyncio.create_task(shop.worker().serve_one())
    while len(shop.naps_s) < 5:
        await asyncio.sleep(0)
    shop.gateway.failure = None
    await asyncio.wait_for(serving, 5)
    assert (await shop.now(batch)).status == COMPLETED
    assert all(at_least_s <= nap <= at_least_s * (1 + JITTER) for nap in shop.naps_s)
    assert len(set(shop.naps_s)) > 1, "waits are lengthened at random"


async def test_no_wait_is_longer_than_the_bound() -> None:
    shop = Shop(FakeGateway(failure=TryLater("quota", 3_600)))
    batch = await shop.add_batch([line(0)])
    worker = shop.worker()
    assert await worker.serve_one()
    shop.gateway.failure = None
    shop.clock.advance(MAX_WAIT_S - 1)
    assert not await worker.serve_one()
    shop.clock.advance(1)
    assert await worker.serve_one()
    assert (await shop.now(batch)).status == COMPLETED


async def test_lines_that_wait_beyond_the_turn_are_left_for_a_later_one_and_keep_what_was_answered() -> None:
    """The gateway answers three lines of t_1, whose quota is then used up for 20 s; t_2's batch goes first."""
    quota_back_at = FakeClock().now() + timedelta(seconds=20)

    def fails(tenant_id: str, number: int) -> TryLater | None:
        used_up = tenant_id == "t_1" and number > 3 and shop.clock.now() < quota_back_at
        return TryLater("quota", (quota_back_at - shop.clock.now()).total_seconds()) if used_up else None

    shop = Shop(FakeGateway(fails=fails))
    shop.add_tenant("t_2")
    first = await shop.add_batch([line(number) for number in range(2 * GROUP_LINES)])
    shop.clock.advance(1)
    second = await shop.add_batch([line(0)], "t_2")
    worker = shop.worker()
    assert await worker.serve_one()
    assert ((await shop.now(first)).status, (await shop.now(first)).completed) == (IN_PROGRESS, 3)
    assert len(shop.gateway.calls) <= 3 + LINES_AT_ONCE, "what would be refused, too, is not asked for"
    assert await worker.serve_one()
    assert (await shop.now(second)).status == COMPLETED
    calls = len(shop.gateway.calls)
    assert not await worker.serve_one(), "the batch waits"
    assert len(shop.gateway.calls) == calls
    shop.clock.advance(20 * (1 + JITTER))
    assert await worker.serve_one()
    assert (await shop.now(first)).status == COMPLETED
    results = shop.lines_of((await shop.now(first)).output_file_id)
    assert [result["custom_id"] for result in results] == [f"c{number}" for number in range(2 * GROUP_LINES)]


async def test_a_line_that_the_gateway_fails_to_answer_is_an_error_after_some_attempts() -> None:
    answer = GatewayAnswer(502, problem(502, "triton_failed"))
    shop = Shop(FakeGateway(failure=GatewayFailed(answer)))
    batch = await shop.add_batch([line(0)])
    await shop.worker().serve_one()
    done = await shop.now(batch)
    assert (done.status, done.failed, len(shop.gateway.calls)) == (COMPLETED, 1, ATTEMPTS)
    (error,) = shop.lines_of(done.error_file_id)
    assert (error["response"]["status_code"], error["response"]["body"]["code"]) == (502, "triton_failed")


async def test_a_failure_that_passes_costs_nothing() -> None:
    failure = GatewayFailed(GatewayAnswer(502, problem(502, "triton_failed")))
    shop = Shop(FakeGateway(fails=lambda tenant_id, number: failure if number < ATTEMPTS else None))
    batch = await shop.add_batch([line(0)])
    await shop.worker().serve_one()
    assert ((await shop.now(batch)).status, (await shop.now(batch)).failed) == (COMPLETED, 0)


async def test_a_worker_that_is_not_let_in_loses_nothing_and_logs_it_once_a_minute(
    caplog: pytest.LogCaptureFixture,
) -> None:
    shop = Shop(FakeGateway(failure=NotServed("the gateway answers 401")), time_passes=True)
    batch = await shop.add_batch([line(number) for number in range(GROUP_LINES)])
    keeping = asyncio.create_task(shop.worker().keep_serving())
    began = shop.clock.now()
    while (shop.clock.now() - began).total_seconds() < 150:
        await asyncio.sleep(0)
    turns = 150 / NOT_SERVED_WAIT_S
    assert len(shop.gateway.calls) <= LINES_AT_ONCE * (turns + 1)
    assert sum("the gateway answers 401" in record.getMessage() for record in caplog.records) == 3
    assert ((await shop.now(batch)).status, (await shop.now(batch)).failed) == (IN_PROGRESS, 0)
    shop.gateway.failure = None
    async with asyncio.timeout(5):
        while (await shop.now(batch)).status != COMPLETED:
            await asyncio.sleep(0)
    keeping.cancel()
    assert (await shop.now(batch)).completed == GROUP_LINES


async def test_a_batch_whose_tenant_is_not_served_lets_others_go_on() -> None:
    """As where the gateway has heard of a suspension and this process has not."""

    def fails(tenant_id: str, number: int) -> NotServed | None:
        return NotServed("401") if tenant_id == "t_1" else None

    shop = Shop(FakeGateway(fails=fails))
    shop.add_tenant("t_2")
    first = await shop.add_batch([line(0)])
    shop.clock.advance(1)
    second = await shop.add_batch([line(0)], "t_2")
    worker = shop.worker()
    await worker.serve_one()
    assert (await shop.now(first)).status == IN_PROGRESS
    assert shop.memory.owners == {}, "the lease is given up"
    await worker.serve_one()
    assert (await shop.now(second)).status == COMPLETED
    assert not await worker.serve_one()


async def test_a_gateway_that_does_not_answer_is_logged_once_a_minute(caplog: pytest.LogCaptureFixture) -> None:
    shop = Shop(FakeGateway(failure=NoAnswer("http://g does not answer")), time_passes=True)
    await shop.add_batch([line(0)])
    keeping = asyncio.create_task(shop.worker().keep_serving())
    began = shop.clock.now()
    while (shop.clock.now() - began).total_seconds() < 150:
        await asyncio.sleep(0)
    keeping.cancel()
    messages = [record.getMessage() for record in caplog.records]
    assert messages.count("batches wait: http://g does not answer") == 3
    assert len(shop.gateway.calls) > 50


async def test_a_cancelled_batch_ends_with_what_was_answered() -> None:
    shop = Shop(FakeGateway(delay_s=0.0005))
    batch = await shop.add_batch([line(number) for number in range(4 * GROUP_LINES)])
    serving = asyncio.create_task(shop.worker().serve_one())
    while len(shop.gateway.calls) < GROUP_LINES + 1:
        await asyncio.sleep(0)
    await shop.batches.cancel("t_1", batch.id)
    await serving
    done = await shop.now(batch)
    assert (done.status, done.completed) == (CANCELLED, 2 * GROUP_LINES)
    assert set(done.reached_at) == {"in_progress", "cancelling", "cancelled"}
    assert len(shop.lines_of(done.output_file_id)) == 2 * GROUP_LINES


async def test_a_batch_that_expires_ends_with_what_was_answered() -> None:
    """Its time is over while its first group is being answered."""
    shop = Shop()
    batch = await shop.add_batch([line(number) for number in range(2 * GROUP_LINES)])
    shop.gateway.on_call = lambda: shop.clock.advance(86_400)
    await shop.worker().serve_one()
    done = await shop.now(batch)
    assert (done.status, done.completed) == (EXPIRED, GROUP_LINES)
    assert len(shop.lines_of(done.output_file_id)) == GROUP_LINES


async def test_a_batch_that_has_expired_is_asked_for_nothing_more() -> None:
    shop = Shop()
    batch = await shop.add_batch([line(0)])
    shop.memory.batches[batch.id] = replace(batch, expires_at=shop.clock.now())
    await shop.worker().serve_one()
    done = await shop.now(batch)
    assert (done.status, done.completed, done.output_file_id) == (EXPIRED, 0, None)
    assert shop.gateway.calls == []


async def test_lines_that_wait_until_their_batch_expires_have_no_result() -> None:
    shop = Shop(FakeGateway(failure=TryLater("overloaded", 1)), time_passes=True)
    batch = await shop.add_batch([line(number) for number in range(3)])
    worker = shop.worker()
    shop.memory.batches[batch.id] = replace(batch, expires_at=shop.clock.now() + timedelta(seconds=45))
    keeping = asyncio.create_task(worker.keep_serving())
    async with asyncio.timeout(5):
        while (await shop.now(batch)).status != EXPIRED:
            await asyncio.sleep(0)
    keeping.cancel()
    done = await shop.now(batch)
    assert (done.completed, done.failed, done.output_file_id, done.error_file_id) == (0, 0, None, None)
    assert (done.reached_at[EXPIRED] - done.expires_at).total_seconds() <= MAX_WAIT_S


async def test_a_long_batch_lets_another_have_its_turn() -> None:
    class Ticking(FakeClock):
        def now(self) -> datetime:
            self.advance(4)
            return super().now()

    shop = Shop(clock=Ticking())
    first = await shop.add_batch([line(number) for number in range(4 * GROUP_LINES)])
    second = await shop.add_batch([line(0)])
    worker = shop.worker()
    await worker.serve_one()
    assert (await shop.now(first)).status == IN_PROGRESS
    while (await shop.now(second)).status != COMPLETED:
        await worker.serve_one()
    assert (await shop.now(first)).status == IN_PROGRESS
    while await worker.serve_one():
        pass
    assert ((await shop.now(first)).status, (await shop.now(first)).completed) == (COMPLETED, 4 * GROUP_LINES)


async def test_a_lease_is_renewed_while_a_group_takes_longer_than_it() -> None:
    """Five times as long, and nobody else gets the batch."""
    shop = Shop(FakeGateway(gate=asyncio.Event()))
    batch = await shop.add_batch([line(0)])

    async def sleep(seconds: float) -> None:
        await asyncio.sleep(0)
        shop.clock.advance(seconds)

    serving = asyncio.create_task(shop.worker("slow", sleep).serve_one())
    began = shop.clock.now()
    while (shop.clock.now() - began).total_seconds() < 5 * LEASE_S:
        await asyncio.sleep(0)
        assert not await shop.worker("other").serve_one()
    assert shop.gateway.gate is not None
    shop.gateway.gate.set()
    await serving
    assert (await shop.now(batch)).completed == 1


async def test_a_database_that_is_gone_ends_the_turn_and_not_the_worker() -> None:
    shop = Shop(FakeGateway(delay_s=0.0005))
    batch = await shop.add_batch([line(number) for number in range(2 * GROUP_LINES)])
    keeping = asyncio.create_task(shop.worker().keep_serving())
    try:
        while len(shop.gateway.calls) < 2:
            await asyncio.sleep(0)
        shop.memory.down = True
        while 1.0 not in shop.naps_s:
            await asyncio.sleep(0)
        shop.memory.down = False
        shop.clock.advance(LEASE_S + 1)
        async with asyncio.timeout(5):
            while (await shop.now(batch)).status != COMPLETED:
                await asyncio.sleep(0)
    finally:
        keeping.cancel()
    assert len(shop.lines_of((await shop.now(batch)).output_file_id)) == 2 * GROUP_LINES
    with pytest.raises(StoreUnavailable):
        shop.memory.down = True
        await shop.now(batch)
