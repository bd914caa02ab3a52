"""One request from its body to its outcome: results, bounds, deadlines, what it is charged and what it counts."""

from __future__ import annotations

import asyncio
from datetime import date

import pytest

from gateway.classification.tokens import MIN_PAIR_TOKENS
from gateway.classification.work import CallOptions, Upstream
from gateway.errors import DeadlineExceeded, Overloaded, QuotaExceeded, TritonFailed, TritonUnavailable
from stores.tenants import Quota
from stores.usage import DailyUsage
from tests.fakes.backend import FakeBackend
from tests.fakes.gateway import FakeService, add_tenant

LABELS = ("投", "投诉", "咨")
QUOTA = Quota(pairs_per_minute=100)


async def usage_of(world: FakeService) -> list[DailyUsage]:
    """What the service has counted, as the store has it."""
    add_tenant(world.memory, "t_1")
    await world.usage.store()
    return list(world.memory.usage.values())


def remaining(world: FakeService, quota: Quota = QUOTA) -> int:
    """What is left to `t_1` of its quota of pairs."""
    status = world.service.quota_status("t_1", quota)
    assert status is not None
    return status.remaining


@pytest.mark.parametrize("knows_engine", [True, False])
async def test_labels_come_sorted_by_score(knows_engine: bool) -> None:
    outcome = await FakeService(knows_engine=knows_engine).classify(LABELS, "投诉")
    assert outcome.results[0].labels == ["投诉", "投", "咨"]
    assert sum(outcome.results[0].scores) == pytest.approx(1.0)
    assert (outcome.values.engine.name, outcome.values.engine.id) == ("fake", "engine-1")


async def test_labels_beyond_one_call_are_chunked_and_scored_together() -> None:
    world = FakeService(max_pairs_per_call=4)
    outcome = await world.classify([f"{i}号" for i in range(10)], ("3号", "7号"))
    assert sorted(len(call.pairs) for call in world.backend.calls) == [4, 4, 4, 4, 4]
    assert [result.labels[0] for result in outcome.results] == ["3号", "7号"]
    assert sum(outcome.results[1].scores) == pytest.approx(1.0)


async def test_one_request_keeps_its_calls_under_its_bound() -> None:
    world = FakeService(FakeBackend(delay_s=0.01), max_calls_per_request=3, max_pairs_per_call=3)
    await world.classify(LABELS, [str(i) for i in range(12)])
    assert world.backend.max_under_way == 3


async def test_the_outcome_says_what_was_done() -> None:
    world = FakeService(FakeBackend(delay_s=0.01), max_pairs_per_call=3)
    upstream = Upstream("request")
    outcome = await world.classify(LABELS, ("a", "b"), max_tokens=8, options=CallOptions(upstream=upstream))
    values = outcome.values
    assert (len(values.pairs.rows), len(outcome.request.names), values.engine.id) == (2, 3, "engine-1")
    assert (values.computed, values.cached) == (6, 0)
    assert upstream.triton_s >= 0.02, "summed over two calls"
    assert [call.request_ids for call in world.backend.calls] == [("request",)] * 2
    again = (await world.classify((*LABELS, "新"), ("a", "b"), max_tokens=8)).values
    assert (again.computed, again.cached) == (2, 6)
    assert await usage_of(world) == [DailyUsage("t_1", date(2030, 1, 1), 2, 8, 6, 8)]


async def test_what_was_truncated_is_told() -> None:
    outcome = await FakeService().classify(LABELS, ("x" * 30, "x"), max_tokens=8)
    first, second = outcome.results
    assert first.truncated
    assert first.cut.text_tokens == 22  # type: ignore[union-attr]
    assert not second.truncated


async def test_the_deadline_ends_the_request_and_frees_its_pairs() -> None:
    world = FakeService(FakeBackend(delay_s=60), deadline_s=0.05)
    with pytest.raises(DeadlineExceeded, match="no answer in time"):
        await world.classify(LABELS)
    assert world.queue.in_flight.pairs == 0


async def test_a_call_whose_request_is_late_keeps_its_place_at_triton() -> None:
    """Seen failing: a caller of little patience sent one call after the other, and Triton computed them all."""
    gate = asyncio.Event()
    world = FakeService(FakeBackend(gate=gate), deadline_s=0.05)
    with pytest.raises(DeadlineExceeded):
        await world.classify(LABELS)
    assert (world.backend.under_way, world.queue.at_triton.pairs) == (1, len(LABELS))
    gate.set()
    async with asyncio.timeout(5):
        while world.queue.at_triton.pairs:
            await asyncio.sleep(0)
    assert world.backend.under_way == 0


async def test_nothing_is_computed_for_a_request_that_was_late_before_its_turn() -> None:
    """Seen failing: calls of whoever had waited too long for Redis were charged, and computed for nobody."""
    world = FakeService(max_pairs_per_call=1)
    with pytest.raises(DeadlineExceeded, match="no answer in time"):
        await world.classify(LABELS, quota=QUOTA, options=CallOptions(timeout_s=1e-9))
    await asyncio.sleep(0)
    assert (world.backend.calls, remaining(world)) == ([], QUOTA.pairs_per_minute)


async def test_a_batch_line_may_wait_longer() -> None:
    world = FakeService(FakeBackend(delay_s=0.2), deadline_s=0.05)
    with pytest.raises(DeadlineExceeded):
        await world.classify(LABELS)
    assert (await world.classify(LABELS, low_priority=True)).results


async def test_batch_lines_and_other_requests_have_rooms_of_their_own() -> None:
    world = FakeService(FakeBackend(gate=asyncio.Event()), max_tokens_in_flight=MIN_PAIR_TOKENS * 3)
    line = asyncio.create_task(world.classify(LABELS, "line", low_priority=True))
    request = asyncio.create_task(world.classify(LABELS, "request"))
    await asyncio.sleep(0.01)
    assert world.queue.in_flight.pairs == 6
    for low_priority in (True, False):
        with pytest.raises(Overloaded):
            await world.classify(LABELS, "more", low_priority=low_priority)
    assert world.backend.gate is not None
    world.backend.gate.set()
    await asyncio.gather(line, request)
    assert world.queue.in_flight.pairs == 0


async def test_a_failing_call_fails_the_request_and_ends_the_others() -> None:
    world = FakeService(FakeBackend(logits_failure=TritonFailed("broken"), delay_s=0.01))
    with pytest.raises(TritonFailed, match="broken"):
        await world.classify(LABELS, ("a", "b", "c"))
    assert world.backend.under_way == 0


async def test_pairs_beyond_the_bound_are_refused_at_once() -> None:
    world = FakeService(FakeBackend(delay_s=60), max_tokens_in_flight=MIN_PAIR_TOKENS * 3, deadline_s=0.2)
    first = asyncio.create_task(world.classify(LABELS))
    await asyncio.sleep(0)
    with pytest.raises(Overloaded):
        await world.classify(("咨询",))
    with pytest.raises(DeadlineExceeded):
        await first
    assert len(world.backend.calls) == 1


@pytest.mark.parametrize("knows_engine", [True, False])
async def test_an_answer_never_mixes_two_engines(knows_engine: bool) -> None:
    backend = FakeBackend(engine_ids=("engine-1", "engine-2"), delay_s=0.01)
    world = FakeService(backend, knows_engine=knows_engine, cache_bytes=0, max_pairs_per_call=3)
    with pytest.raises(TritonUnavailable, match="engine changed"):
        await world.classify(LABELS, ("a", "b"))
    assert world.queue.in_flight.pairs == 0


async def test_a_retry_after_an_engine_change_charges_each_pair_once() -> None:
    """The first attempt computes two pairs with each engine, the second two again with the newer one."""
    backend = FakeBackend(engine_ids=("engine-1", "engine-2", "engine-2"))
    world = FakeService(backend, max_pairs_per_call=2, max_calls_per_request=1)
    outcome = await world.classify(("投", "诉", "手", "机"), quota=QUOTA)
    assert (outcome.values.engine.id, world.backend.pairs_computed) == ("engine-2", 6)
    assert remaining(world) == 96
    assert world.queue.in_flight.pairs == 0


async def test_work_that_is_repeated_after_a_joined_call_failed_is_charged_and_counted() -> None:
    world = FakeService(FakeBackend(delay_s=0.05))
    await world.classify(["新"], quota=QUOTA)
    world.backend.logits_failure = TritonFailed("broken")
    leader = asyncio.create_task(world.classify(LABELS, quota=QUOTA))
    await asyncio.sleep(0.01)
    follower = asyncio.create_task(world.classify((*LABELS, "新"), quota=QUOTA))
    await asyncio.sleep(0.01)
    assert remaining(world) == 100 - 1 - 3, "joining costs nothing"
    with pytest.raises(TritonFailed):
        await leader
    world.backend.logits_failure = None
    values = (await follower).values
    assert (values.computed, values.cached) == (3, 1)
    assert remaining(world) == 100 - 1 - 3 - 3
    assert await usage_of(world) == [
        DailyUsage("t_1", date(2030, 1, 1), 3, 1 + 3 + 3, 1, 16 + 3 * MIN_PAIR_TOKENS)
    ]
    assert world.queue.in_flight.pairs == 0


async def test_repeated_work_that_cannot_be_charged_is_refused_and_leaves_no_pairs_in_flight() -> None:
    quota = Quota(pairs_per_minute=5)
    world = FakeService(FakeBackend(gate=asyncio.Event(), logits_failure=TritonFailed("broken")))
    leader = asyncio.create_task(world.classify(LABELS, quota=quota))
    await asyncio.sleep(0.01)
    follower = asyncio.create_task(world.classify(LABELS, quota=quota))
    await asyncio.sleep(0.01)
    assert world.backend.gate is not None
    world.backend.gate.set()
    with pytest.raises(TritonFailed):
        await leader
    with pytest.raises(QuotaExceeded):
        await follower
    assert (remaining(world, quota), world.queue.in_flight.pairs) == (2, 0)
    assert await usage_of(world) == [DailyUsage("t_1", date(2030, 1, 1), 1, 3, 0, 3 * MIN_PAIR_TOKENS)], (
        "as it was charged"
    )


async def test_a_refused_charge_leaves_no_pairs_in_flight() -> None:
    quota = Quota(pairs_per_minute=2)
    world = FakeService()
    with pytest.raises(QuotaExceeded):
        await world.classify(LABELS, quota=quota)
    assert (world.queue.in_flight.pairs, world.backend.calls) == (0, [])
    assert remaining(world, quota) == 2, "nothing was taken"
    await world.classify(LABELS[:2], quota=quota)


async def test_a_request_that_finds_no_room_is_not_charged() -> None:
    world = FakeService(max_tokens_in_flight=MIN_PAIR_TOKENS * 2)
    with pytest.raises(Overloaded):
        await world.classify(LABELS, quota=QUOTA)
    assert remaining(world) == 100


@pytest.mark.parametrize(("cost", "left"), [(0.0, 97), (0.5, 94)])
async def test_known_and_joined_pairs_cost_what_cached_ones_do(cost: float, left: int) -> None:
    """Three are computed, three joined and three cached: 3 + 6 * cost."""
    world = FakeService(FakeBackend(delay_s=0.01), cached_pair_cost=cost)
    await asyncio.gather(*(world.classify(LABELS, quota=QUOTA) for _ in range(2)))
    await world.classify(LABELS, quota=QUOTA)
    assert world.backend.pairs_computed == 3
    assert remaining(world) == left


async def test_an_abandoned_request_is_in_the_usage_as_it_was_charged() -> None:
    """One that got no answer in time, and one whose caller left."""
    world = FakeService(FakeBackend(gate=asyncio.Event()))
    with pytest.raises(DeadlineExceeded):
        await world.classify(LABELS, quota=QUOTA, options=CallOptions(timeout_s=0.05))
    leaving = asyncio.create_task(world.classify(LABELS, "另一个", quota=QUOTA))
    await asyncio.sleep(0.05)
    leaving.cancel()
    await asyncio.gather(leaving, return_exceptions=True)
    assert remaining(world) == 100 - 2 * len(LABELS)
    assert await usage_of(world) == [
        DailyUsage("t_1", date(2030, 1, 1), 2, 2 * len(LABELS), 0, 6 * MIN_PAIR_TOKENS)
    ]


async def test_of_many_that_waited_for_a_failed_call_one_computes_anew_and_the_others_join_it() -> None:
    world = FakeService(FakeBackend(delay_s=0.05))
    world.backend.logits_failure = TritonFailed("broken")
    leader = asyncio.create_task(world.classify(LABELS))
    await asyncio.sleep(0.01)
    followers = [asyncio.create_task(world.classify(LABELS)) for _ in range(10)]
    await asyncio.sleep(0.01)
    with pytest.raises(TritonFailed):
        await leader
    world.backend.logits_failure = None
    values = [outcome.values for outcome in await asyncio.gather(*followers)]
    assert sum(each.computed for each in values) == len(LABELS)
    assert len(world.backend.calls) == 2
