"""The worker against dictionaries: every line once, whatever ends a turn."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from functools import partial
from typing import Any

import pytest

from control_plane.batches import ENDPOINT, WINDOW, Batches
from control_plane.files import Files
from control_plane.worker import turn, worker
from control_plane.worker.gateway_client import (
    AnswerTooLarge,
    ConnectionBroke,
    DeadlineExceeded,
    GatewayAnswer,
    GatewayError,
    GatewayFailed,
    NoAnswer,
    NotServed,
    TryLater,
)
from control_plane.worker.health import WorkerMetrics
from control_plane.worker.turn import (
    ATTEMPTS,
    JITTER,
    MAX_GROUP_BYTES,
    MAX_WAIT_S,
    MIN_WAIT_S,
    NOT_SERVED_WAIT_S,
    UNFINISHED_ATTEMPTS,
    Sleep,
)
from control_plane.worker.worker import GROUP_LINES, HEARTBEAT_S, LEASE_S, UNEXPECTED_WAIT_S, Worker
from stores.batches import CANCELLED, COMPLETED, EXPIRED, FAILED, IN_PROGRESS, VALIDATING, Batch, LineResult
from stores.errors import InvalidRequest, StoreUnavailable
from stores.files import File
from stores.tenants import ACTIVE, SUSPENDED, Tenant
from tests.control_plane.worker.poison import POISON
from tests.fakes.chunks import chunks_of
from tests.fakes.clock import FakeClock
from tests.fakes.gateway_client import FakeGateway, problem
from tests.fakes.stores import FakeBatches, Memory, fake_stores

LABELS = ["投诉", "咨询"]
LINES_AT_ONCE = 4
MAX_NAPS = 1_000


@dataclass
class Shop:
    """Tenants, their files, and workers that share the stores. Sleeping moves the clock, if `time_passes`."""

    gateway: FakeGateway = field(default_factory=FakeGateway)
    memory: Memory = field(default_factory=Memory)
    clock: FakeClock = field(default_factory=FakeClock)
    naps_s: list[float] = field(default_factory=list)
    time_passes: bool = False
    max_batch_lines: int = 50_000
    max_batch_output_bytes: int = 10_000_000
    max_tenant_file_bytes: int = 10_000_000

    def __post_init__(self) -> None:
        self.stores = fake_stores(self.memory)
        self.add_tenant("t_1")

    def add_tenant(self, tenant_id: str) -> None:
        self.memory.tenants[tenant_id] = Tenant(tenant_id, tenant_id, ACTIVE, self.clock.now())

    async def sleep(self, seconds: float) -> None:
        if seconds == HEARTBEAT_S:
            await asyncio.Event().wait()
        self.naps_s.append(seconds)
        assert len(self.naps_s) < MAX_NAPS, "it waits for ever"
        if self.time_passes:
            self.clock.advance(seconds)
        await asyncio.sleep(0)

    def worker(
        self,
        name: str = "w",
        sleep: Sleep | None = None,
        queue: FakeBatches | None = None,
        lines_at_once: int = LINES_AT_ONCE,
    ) -> Worker:
        return Worker(
            name,
            queue or FakeBatches(self.memory),
            self.stores.files,
            self.gateway,
            self.clock,
            max_batch_lines=self.max_batch_lines,
            max_batch_output_bytes=self.max_batch_output_bytes,
            max_tenant_file_bytes=self.max_tenant_file_bytes,
            metrics=WorkerMetrics(),
            lines_at_once=lines_at_once,
            sleep=sleep or self.sleep,
        )

    @property
    def batches(self) -> Batches:
        return Batches(self.stores.batches, self.stores.files, self.clock)

    @property
    def files(self) -> Files:
        return Files(
            self.stores.files,
            self.clock,
            max_file_bytes=100_000_000,
            max_tenant_file_bytes=self.max_tenant_file_bytes,
            upload_timeout_s=300,
        )

    async def add_batch(
        self,
        lines: list[Any],
        tenant_id: str = "t_1",
        output_expires_after_s: int | None = None,
        key_id: str = "",
    ) -> Batch:
        content = b"\n".join(line if isinstance(line, bytes) else json.dumps(line).encode() for line in lines)
        file = await self.files.add(tenant_id, "in.jsonl", chunks_of(content, 100_000))
        return await self.batches.create(
            tenant_id, file.id, ENDPOINT, WINDOW, {}, "", output_expires_after_s, key_id
        )

    def status(self, batch: Batch) -> str:
        return self.memory.batches[batch.id].status

    async def now(self, batch: Batch) -> Batch:
        return await self.batches.get(batch.tenant_id, batch.id)

    def lines_of(self, file_id: str | None) -> list[dict[str, Any]]:
        assert file_id is not None
        file, chunks = self.memory.files[file_id]
        content = b"".join(chunks)
        assert file.bytes == len(content)
        return [json.loads(line) for line in content.splitlines()]


async def until(condition: Callable[[], bool]) -> None:
    """Let everything run until it holds."""
    async with asyncio.timeout(10):
        while not condition():
            await asyncio.sleep(0)


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


class WaitsForOne(FakeGateway):
    """Its gate is closed for the text `0` alone."""

    async def classify(self, tenant_id: str, key_id: str, request_id: str, body: bytes) -> GatewayAnswer:
        if self.gate is not None and json.loads(body)["text"] == "0":
            await self.gate.wait()
        return await FakeGateway().classify(tenant_id, key_id, request_id, body)


async def test_results_are_kept_and_counted_while_another_line_of_their_group_is_under_way(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(turn, "KEEP_S", 0.005)
    shop = Shop(WaitsForOne(gate=asyncio.Event()))
    batch = await shop.add_batch([line(0), line(1), line(2)])
    serving = asyncio.create_task(shop.worker().serve_one())
    await until(lambda: shop.memory.batches[batch.id].completed == 2)
    assert not serving.done()
    assert shop.gateway.gate is not None
    shop.gateway.gate.set()
    await serving
    done = await shop.now(batch)
    assert (done.status, done.completed) == (COMPLETED, 3)
    assert [result["custom_id"] for result in shop.lines_of(done.output_file_id)] == ["c0", "c1", "c2"]


@pytest.mark.parametrize("poison", POISON.values(), ids=POISON)
async def test_a_poison_line_is_one_error_and_everything_else_is_answered(poison: bytes) -> None:
    shop = Shop(max_tenant_file_bytes=100_000_000)
    batch = await shop.add_batch([line(0), poison, line(2)])
    other = await shop.add_batch([line(0)])
    worker = shop.worker()
    while await worker.serve_one():
        pass
    done = await shop.now(batch)
    assert (done.status, done.total, done.completed, done.failed) == (COMPLETED, 3, 2, 1)
    assert [result["custom_id"] for result in shop.lines_of(done.output_file_id)] == ["c0", "c2"]
    (error,) = shop.lines_of(done.error_file_id)
    assert error["id"] == f"{batch.id}_1"
    assert error["error"] is None or (error["error"]["line"], error["response"]) == (2, None)
    assert shop.status(other) == COMPLETED


async def test_nothing_but_poison_is_nothing_but_errors_and_asks_for_nothing() -> None:
    shop = Shop()
    batch = await shop.add_batch([b"{"] * (2 * GROUP_LINES + 1))
    await shop.worker().serve_one()
    done = await shop.now(batch)
    assert (done.status, done.total, done.completed, done.failed) == (COMPLETED, 129, 0, 129)
    assert [error["error"]["line"] for error in shop.lines_of(done.error_file_id)] == list(range(1, 130))
    assert (shop.gateway.calls, done.output_file_id) == ([], None)


async def test_bad_lines_have_one_error_each_however_often_a_worker_is_killed() -> None:
    shop = Shop()
    batch = await shop.add_batch([b"{"] * (2 * GROUP_LINES) + [line(0)])
    claimed = await FakeBatches(shop.memory).claim("killed", shop.clock.now(), shop.clock.now())
    assert claimed == batch
    errors = [LineResult(number, failed=True, content="{}") for number in range(GROUP_LINES)]
    counted = replace(batch, failed=GROUP_LINES, output_bytes=3 * GROUP_LINES)
    await FakeBatches(shop.memory).record(counted, "killed", errors, shop.clock.now(), 1_000_000)
    shop.clock.advance(1)
    await shop.worker().serve_one()
    done = await shop.now(batch)
    assert (done.status, done.total, done.completed, done.failed) == (COMPLETED, 129, 1, 128)


@pytest.mark.parametrize(
    ("lines", "code"), [([], "empty_file"), ([b"", b" "], "empty_file"), ([b"{"] * 101, "too_many_lines")]
)
async def test_a_file_without_lines_or_with_too_many_is_no_batch(lines: list[Any], code: str) -> None:
    shop = Shop(max_batch_lines=100)
    batch = await shop.add_batch(lines)
    await shop.worker().serve_one()
    done = await shop.now(batch)
    assert (done.status, [error.code for error in done.errors], done.failed) == (FAILED, [code], 0)
    assert (done.output_file_id, done.error_file_id, shop.gateway.calls) == (None, None, [])


@pytest.mark.parametrize("killed_after", [1, GROUP_LINES + 1, 2 * GROUP_LINES])
async def test_another_worker_goes_on_where_a_killed_one_was(killed_after: int) -> None:
    shop = Shop(FakeGateway(delay_s=0.0005))
    batch = await shop.add_batch([line(number) for number in range(3 * GROUP_LINES)])
    first = asyncio.create_task(shop.worker("first").serve_one())
    await until(lambda: len(shop.gateway.calls) >= killed_after)
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
    await until(lambda: len(shop.naps_s) >= 5)
    shop.gateway.failure = None
    await asyncio.wait_for(serving, 10)
    assert (await shop.now(batch)).status == COMPLETED
    assert all(at_least_s <= nap <= at_least_s * (1 + JITTER) for nap in shop.naps_s)
    assert len(set(shop.naps_s)) > 1, "waits are lengthened at random"


async def test_lines_are_asked_for_the_key_that_created_the_batch() -> None:
    shop = Shop()
    await shop.add_batch([line(0)], key_id="abc")
    assert await shop.worker().serve_one()
    assert shop.gateway.key_ids == ["abc"]


async def test_no_wait_is_longer_than_the_bound() -> None:
    shop = Shop(FakeGateway(failure=TryLater("quota", 3_600)))
    batch = await shop.add_batch([line(0)])
    worker = shop.worker()
    async with asyncio.timeout(10):
        assert await worker.serve_one()
    shop.gateway.failure = None
    shop.clock.advance(29)
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
    end = shop.clock.now() + timedelta(seconds=150)
    await until(lambda: shop.clock.now() >= end)
    turns = 150 / NOT_SERVED_WAIT_S
    assert len(shop.gateway.calls) <= LINES_AT_ONCE * (turns + 1)
    assert sum("the gateway answers 401" in record.getMessage() for record in caplog.records) == 3
    assert ((await shop.now(batch)).status, (await shop.now(batch)).failed) == (IN_PROGRESS, 0)
    shop.gateway.failure = None
    await until(lambda: shop.status(batch) == COMPLETED)
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
    end = shop.clock.now() + timedelta(seconds=150)
    await until(lambda: shop.clock.now() >= end)
    keeping.cancel()
    messages = [record.getMessage() for record in caplog.records]
    assert messages.count("batches wait: http://g does not answer") == 3
    assert len(shop.gateway.calls) > 50


async def test_a_cancelled_batch_ends_with_what_was_answered() -> None:
    shop = Shop(FakeGateway(delay_s=0.0005))
    batch = await shop.add_batch([line(number) for number in range(4 * GROUP_LINES)])
    serving = asyncio.create_task(shop.worker().serve_one())
    await until(lambda: len(shop.gateway.calls) > GROUP_LINES)
    await shop.batches.cancel("t_1", batch.id)
    await serving
    done = await shop.now(batch)
    assert (done.status, done.completed) == (CANCELLED, 2 * GROUP_LINES)
    assert set(done.reached_at) == {"in_progress", "cancelling", "cancelled"}
    assert len(shop.lines_of(done.output_file_id)) == 2 * GROUP_LINES


async def test_a_batch_that_expires_ends_with_what_was_answered() -> None:
    """Its time is over while its first lines are being answered; nothing is asked for any more."""
    shop = Shop()
    batch = await shop.add_batch([line(number) for number in range(2 * GROUP_LINES)])
    shop.gateway.on_call = lambda: shop.clock.advance(86_400)
    await shop.worker().serve_one()
    done = await shop.now(batch)
    assert (done.status, done.completed) == (EXPIRED, len(shop.gateway.calls))
    assert 1 <= done.completed <= LINES_AT_ONCE
    assert len(shop.lines_of(done.output_file_id)) == done.completed


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
    await until(lambda: shop.status(batch) == EXPIRED)
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
    async with asyncio.timeout(10):
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
    end = shop.clock.now() + timedelta(seconds=5 * LEASE_S)
    async with asyncio.timeout(10):
        while shop.clock.now() < end:
            await asyncio.sleep(0)
            assert not await shop.worker("other").serve_one()
    assert shop.gateway.gate is not None
    shop.gateway.gate.set()
    await serving
    assert (await shop.now(batch)).completed == 1


async def test_a_worker_that_has_lost_its_lease_writes_nothing_and_goes_on(
    caplog: pytest.LogCaptureFixture,
) -> None:
    shop = Shop(FakeGateway(gate=asyncio.Event()))
    batch = await shop.add_batch([line(0)])
    worker = shop.worker("first")
    serving = asyncio.create_task(worker.serve_one())
    await until(lambda: len(shop.gateway.calls) == 1)
    shop.clock.advance(LEASE_S + 1)
    assert await FakeBatches(shop.memory).claim("second", shop.clock.now(), shop.clock.now() + timedelta(1))
    assert shop.gateway.gate is not None
    shop.gateway.gate.set()
    assert await serving
    assert shop.memory.results[batch.id] == {}
    assert shop.memory.owners[batch.id][0] == "second"
    assert f"another worker has taken {batch.id} over" in caplog.text
    other = await shop.add_batch([line(0)])
    assert await worker.serve_one()
    assert shop.status(other) == COMPLETED


async def test_a_batch_whose_file_no_longer_exists_fails_and_says_so() -> None:
    shop = Shop()
    batch = await shop.add_batch([line(0)])
    shop.memory.files.clear()
    assert await shop.worker().serve_one()
    done = await shop.now(batch)
    assert (done.status, [error.code for error in done.errors]) == (FAILED, ["not_found"])


async def test_the_files_of_a_batch_expire_as_it_says() -> None:
    shop = Shop()
    batch = await shop.add_batch([line(0), line(1, text=None)], output_expires_after_s=3_600)
    assert await shop.worker().serve_one()
    done = await shop.now(batch)
    for file_id in (done.output_file_id, done.error_file_id):
        assert file_id is not None
        file = await shop.files.get("t_1", file_id)
        assert file.expires_at == file.created_at + timedelta(seconds=3_600)
    input_file = await shop.files.get("t_1", batch.input_file_id)
    assert input_file.expires_at is None


async def test_a_batch_whose_file_expires_meanwhile_is_answered() -> None:
    shop = Shop()
    batch = await shop.add_batch([line(0)])
    file, chunks = shop.memory.files[batch.input_file_id]
    shop.memory.files[file.id] = (replace(file, expires_at=shop.clock.now()), chunks)
    assert await shop.worker().serve_one()
    assert shop.status(batch) == COMPLETED


async def test_a_batch_whose_files_were_being_written_ends_with_whole_files() -> None:
    """The worker before was killed while it wrote the first."""

    class Killed(FakeBatches):
        async def write_output(self, batch: Batch, owner: str, file: File, *, failed: bool) -> None:
            await super().write_output(batch, owner, file, failed=failed)
            self.memory.outputs[file.id] = (file, [b"half of"])
            await asyncio.Event().wait()

    shop = Shop()
    batch = await shop.add_batch([line(0), line(1, text=None)])
    killed = asyncio.create_task(shop.worker("killed", queue=Killed(shop.memory)).serve_one())
    await until(lambda: bool(shop.memory.outputs))
    killed.cancel()
    await asyncio.gather(killed, return_exceptions=True)
    assert list(shop.memory.files) == [batch.input_file_id], "what is half written is no file"
    shop.clock.advance(LEASE_S + 1)
    assert await shop.worker("next").serve_one()
    done = await shop.now(batch)
    assert done.status == COMPLETED
    assert [result["custom_id"] for result in shop.lines_of(done.output_file_id)] == ["c0"]
    assert [result["custom_id"] for result in shop.lines_of(done.error_file_id)] == ["c1"]


async def test_a_database_that_is_gone_ends_the_turn_and_not_the_worker() -> None:
    shop = Shop(FakeGateway(delay_s=0.0005))
    batch = await shop.add_batch([line(number) for number in range(2 * GROUP_LINES)])
    keeping = asyncio.create_task(shop.worker().keep_serving())
    try:
        await until(lambda: len(shop.gateway.calls) >= 2)
        shop.memory.down = True
        await until(lambda: 1.0 in shop.naps_s)
        shop.memory.down = False
        shop.clock.advance(LEASE_S + 1)
        await until(lambda: shop.status(batch) == COMPLETED)
    finally:
        keeping.cancel()
    assert len(shop.lines_of((await shop.now(batch)).output_file_id)) == 2 * GROUP_LINES
    with pytest.raises(StoreUnavailable):
        shop.memory.down = True
        await shop.now(batch)


class TakingTime(FakeGateway):
    """Each answer takes a step of the event loop, and none of the clock."""

    async def classify(self, tenant_id: str, key_id: str, request_id: str, body: bytes) -> GatewayAnswer:
        await asyncio.sleep(0)
        return await super().classify(tenant_id, key_id, request_id, body)


@pytest.mark.parametrize("lines_at_once", [LINES_AT_ONCE, 16])
async def test_a_tenant_with_50_000_lines_does_not_hold_up_19_with_10(lines_at_once: int) -> None:
    """Counted in lines that are answered before theirs are, with and without it."""
    answered: dict[bool, int] = {}
    for with_big_one in (False, True):
        shop = Shop(TakingTime(), max_tenant_file_bytes=1_000_000_000)
        small = []
        if with_big_one:
            await shop.add_batch([line(number) for number in range(50_000)])
        for number in range(19):
            shop.add_tenant(f"small_{number}")
            shop.clock.advance(0.001)
            small.append(await shop.add_batch([line(n) for n in range(10)], f"small_{number}"))
        # Time passes by the line, so that turns end: 20 ms each.
        shop.gateway.on_call = partial(shop.clock.advance, 0.02)

        async def sleep(seconds: float, shop: Shop = shop) -> None:
            end = shop.clock.now() + timedelta(seconds=seconds)
            while shop.clock.now() < end:
                await asyncio.sleep(0)

        keeping = asyncio.create_task(shop.worker(sleep=sleep, lines_at_once=lines_at_once).keep_serving())
        async with asyncio.timeout(60):
            while any(shop.status(batch) != COMPLETED for batch in small):
                if not with_big_one:
                    shop.clock.advance(0.001)
                await asyncio.sleep(0)
        keeping.cancel()
        await asyncio.gather(keeping, return_exceptions=True)
        answered[with_big_one] = len(shop.gateway.calls)
        assert {shop.memory.batches[batch.id].completed for batch in small} == {10}
    assert answered[False] == 190
    assert answered[True] <= 5 * answered[False]


async def test_turns_go_round_by_tenant_not_by_batch() -> None:
    shop = Shop()
    shop.add_tenant("t_2")
    for _ in range(5):
        await shop.add_batch([line(0)])
        shop.clock.advance(1)
    await shop.add_batch([line(0)], "t_2")
    worker = shop.worker()
    for _ in range(3):
        await worker.serve_one()
        shop.clock.advance(1)
    assert [tenant for tenant, _, _ in shop.gateway.calls] == ["t_1", "t_2", "t_1"]


async def at_once(seconds: float) -> None:
    """A sleep in which heartbeats come as often as they can."""
    await asyncio.sleep(0)


async def test_a_tenant_has_one_turn_at_a_time_and_slow_lines_leave_others_theirs() -> None:
    """Nothing of t_1 is ever answered, in any of its batches."""
    gate = asyncio.Event()

    class Hanging(FakeGateway):
        async def classify(self, tenant_id: str, key_id: str, request_id: str, body: bytes) -> GatewayAnswer:
            if tenant_id == "t_1":
                await gate.wait()
            return await super().classify(tenant_id, key_id, request_id, body)

    shop = Shop(Hanging())
    shop.add_tenant("t_2")
    for _ in range(20):
        await shop.add_batch([line(number) for number in range(GROUP_LINES)])
    worker = shop.worker(sleep=at_once, lines_at_once=16)
    keeping = asyncio.create_task(worker.keep_serving())
    await until(lambda: len(shop.memory.owners) == 1)
    for _ in range(5):
        other = await shop.add_batch([line(number) for number in range(GROUP_LINES)], "t_2")
        await until(lambda batch=other: shop.status(batch) == COMPLETED)  # type: ignore[misc]
    assert len(shop.memory.owners) == 1
    keeping.cancel()
    await asyncio.gather(keeping, return_exceptions=True)


async def test_a_long_group_is_interrupted_when_another_tenant_waits() -> None:
    shop = Shop(FakeGateway(gate=asyncio.Event()))
    first = await shop.add_batch([line(number) for number in range(GROUP_LINES)])
    serving = asyncio.create_task(shop.worker(sleep=at_once).serve_one())
    await until(lambda: shop.gateway.under_way == LINES_AT_ONCE)
    shop.add_tenant("t_2")
    await shop.add_batch([line(0)], "t_2")
    for _ in range(20):
        await asyncio.sleep(0)
    assert shop.gateway.gate is not None
    shop.gateway.gate.set()
    assert await serving
    assert ((await shop.now(first)).status, (await shop.now(first)).completed) == (IN_PROGRESS, LINES_AT_ONCE)


async def test_a_suspended_tenant_is_asked_for_nothing_more_and_goes_on_where_it_was() -> None:
    """Not even what is under way is awaited."""
    shop = Shop(FakeGateway(gate=asyncio.Event()))
    batch = await shop.add_batch([line(number) for number in range(GROUP_LINES)])
    serving = asyncio.create_task(shop.worker(sleep=at_once).serve_one())
    await until(lambda: shop.gateway.under_way == LINES_AT_ONCE)
    active = shop.memory.tenants["t_1"]
    shop.memory.tenants["t_1"] = replace(active, status=SUSPENDED)
    assert await asyncio.wait_for(serving, 10)
    assert (shop.status(batch), shop.gateway.under_way, shop.memory.owners) == (IN_PROGRESS, 0, {})
    assert not await shop.worker().serve_one()
    shop.memory.tenants["t_1"] = active
    assert shop.gateway.gate is not None
    shop.gateway.gate.set()
    assert await shop.worker().serve_one()
    assert ((await shop.now(batch)).status, (await shop.now(batch)).completed) == (COMPLETED, GROUP_LINES)


async def test_a_deleted_tenant_is_asked_for_nothing_more(caplog: pytest.LogCaptureFixture) -> None:
    shop = Shop(FakeGateway(gate=asyncio.Event()))
    batch = await shop.add_batch([line(number) for number in range(GROUP_LINES)])
    worker = shop.worker(sleep=at_once)
    serving = asyncio.create_task(worker.serve_one())
    await until(lambda: shop.gateway.under_way == LINES_AT_ONCE)
    await shop.stores.tenants.remove("t_1")
    assert await asyncio.wait_for(serving, 10)
    assert (shop.gateway.under_way, len(shop.gateway.calls)) == (0, LINES_AT_ONCE)
    assert f"another worker has taken {batch.id} over, or it was deleted" in caplog.text
    assert not await worker.serve_one()


async def test_a_batch_ends_when_its_results_have_more_bytes_than_allowed() -> None:
    shop = Shop(max_batch_output_bytes=100_000)
    batch = await shop.add_batch([line(number, labels=["x" * 1_000]) for number in range(4 * GROUP_LINES)])
    await shop.worker().serve_one()
    done = await shop.now(batch)
    assert (done.status, [error.code for error in done.errors]) == (FAILED, ["output_too_large"])
    results = shop.lines_of(done.output_file_id)
    assert len(results) == done.completed > GROUP_LINES
    file, _ = shop.memory.files[done.output_file_id or ""]
    assert file.bytes == done.output_bytes <= 100_000
    assert set(done.reached_at) == {"in_progress", "finalizing", "failed"}
    assert not await shop.worker().serve_one()


async def test_results_count_against_the_bytes_of_the_tenants_files() -> None:
    shop = Shop(max_tenant_file_bytes=400_000)
    batch = await shop.add_batch([line(number, labels=["x" * 1_000]) for number in range(4 * GROUP_LINES)])
    await shop.worker().serve_one()
    done = await shop.now(batch)
    assert (done.status, [error.code for error in done.errors]) == (FAILED, ["storage_full"])
    assert done.completed == GROUP_LINES
    assert len(shop.lines_of(done.output_file_id)) == GROUP_LINES
    assert shop.memory.stored_bytes("t_1") <= 400_000


async def test_a_result_that_the_database_cannot_keep_is_the_lines_error() -> None:
    class Particular(FakeBatches):
        async def record(
            self, batch: Batch, owner: str, results: Sequence[LineResult], until: datetime, max_tenant_bytes: int
        ) -> str:
            if any('"c1"' in result.content for result in results):
                raise InvalidRequest("a text or a number that the database cannot keep")
            return await super().record(batch, owner, results, until, max_tenant_bytes)

    shop = Shop()
    batch = await shop.add_batch([line(number) for number in range(3)])
    await shop.worker(queue=Particular(shop.memory)).serve_one()
    done = await shop.now(batch)
    assert (done.status, done.completed, done.failed) == (COMPLETED, 2, 1)
    (error,) = shop.lines_of(done.error_file_id)
    assert (error["id"], error["error"]["line"]) == (f"{batch.id}_1", 2)


async def test_an_unexpected_error_of_a_line_is_that_lines() -> None:
    class Broken(FakeGateway):
        async def classify(self, tenant_id: str, key_id: str, request_id: str, body: bytes) -> GatewayAnswer:
            if request_id.endswith("_1"):
                raise RuntimeError("nobody foresaw it")
            return await super().classify(tenant_id, key_id, request_id, body)

    shop = Shop(Broken())
    batch = await shop.add_batch([line(number) for number in range(3)])
    await shop.worker().serve_one()
    done = await shop.now(batch)
    assert (done.status, done.completed, done.failed) == (COMPLETED, 2, 1)
    (error,) = shop.lines_of(done.error_file_id)
    assert (error["error"]["code"], "nobody" in error["error"]["message"]) == ("internal_error", False)


async def test_an_unexpected_error_of_a_batch_lets_it_wait_and_others_go_on() -> None:
    class Broken(FakeBatches):
        async def finished_lines(self, batch_id: str) -> set[int]:
            if batch_id == bad.id:
                raise RuntimeError("nobody foresaw it")
            return await super().finished_lines(batch_id)

    shop = Shop()
    bad = await shop.add_batch([line(0)])
    shop.clock.advance(1)
    good = await shop.add_batch([line(0)])
    worker = shop.worker(queue=Broken(shop.memory))
    assert await worker.serve_one()
    assert await worker.serve_one()
    assert (shop.status(bad), shop.status(good)) == (VALIDATING, COMPLETED)
    assert not await worker.serve_one(), "it waits"
    shop.clock.advance(UNEXPECTED_WAIT_S)
    assert await shop.worker().serve_one()
    assert shop.status(bad) == COMPLETED


ANSWER_504 = GatewayAnswer(504, problem(504, "deadline_exceeded"))


@pytest.mark.parametrize(
    ("failure", "code"),
    [
        (DeadlineExceeded(ANSWER_504, 1), "deadline_exceeded"),
        (ConnectionBroke("http://g does not answer"), "no_answer"),
        (AnswerTooLarge("the answer is too large"), "answer_too_large"),
    ],
)
async def test_a_line_that_the_gateway_never_finishes_is_an_error_in_the_end(
    failure: GatewayError, code: str
) -> None:
    class Stuck(FakeGateway):
        async def classify(self, tenant_id: str, key_id: str, request_id: str, body: bytes) -> GatewayAnswer:
            if request_id.endswith("_1"):
                self.calls.append((tenant_id, request_id, {}))
                raise failure
            return await super().classify(tenant_id, key_id, request_id, body)

    shop = Shop(Stuck(), time_passes=True)
    batch = await shop.add_batch([line(number) for number in range(3 * GROUP_LINES)])
    keeping = asyncio.create_task(shop.worker().keep_serving())
    await until(lambda: shop.status(batch) == COMPLETED)
    keeping.cancel()
    done = await shop.now(batch)
    assert (done.completed, done.failed) == (3 * GROUP_LINES - 1, 1)
    (error,) = shop.lines_of(done.error_file_id)
    assert code in (error["error"] or error["response"]["body"])["code"]
    attempts = sum(request_id == f"{batch.id}_1" for _, request_id, _ in shop.gateway.calls)
    assert attempts == (1 if code == "answer_too_large" else UNFINISHED_ATTEMPTS)


async def test_attempts_of_batches_that_are_gone_are_not_counted_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    """A batch that is deleted, or finished elsewhere, never comes back to the worker that counted."""
    monkeypatch.setattr(worker, "MAX_UNFINISHED", 6)
    shop = Shop(FakeGateway(ConnectionBroke("http://g does not answer")), time_passes=True)
    counting = shop.worker()
    for _ in range(3):
        batch = await shop.add_batch([line(number) for number in range(LINES_AT_ONCE)])
        assert await counting.serve_one()
        del shop.memory.batches[batch.id]
    assert 0 < len(counting._unfinished) <= 6


async def test_no_more_results_are_in_memory_than_a_group_may_have() -> None:
    """Answers of 1 MB: the turn ends where they are too many, and the next one goes on."""

    class Wordy(FakeGateway):
        async def classify(self, tenant_id: str, key_id: str, request_id: str, body: bytes) -> GatewayAnswer:
            await super().classify(tenant_id, key_id, request_id, body)
            return GatewayAnswer(200, {"labels": ["x" * 1_000_000]})

    shop = Shop(Wordy(), max_batch_output_bytes=1_000_000_000, max_tenant_file_bytes=1_000_000_000)
    batch = await shop.add_batch([line(number) for number in range(40)])
    worker = shop.worker()
    most = 0
    while shop.status(batch) != COMPLETED:
        before = (await shop.now(batch)).completed
        assert await worker.serve_one()
        most = max(most, (await shop.now(batch)).completed - before)
    assert MAX_GROUP_BYTES // 1_000_000 <= most <= MAX_GROUP_BYTES // 1_000_000 + LINES_AT_ONCE
    assert (await shop.now(batch)).completed == 40
