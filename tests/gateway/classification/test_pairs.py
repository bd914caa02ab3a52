"""Where pairs come from: the cache, another request's flight, or Triton; one engine, never another tenant's."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.classification.tokens import MIN_PAIR_TOKENS
from gateway.classification.work import CallOptions, Outcome
from gateway.errors import Overloaded, TritonFailed
from tests.fakes.backend import FakeBackend
from tests.fakes.gateway import FakeService

TEXT, LABELS = "投诉手机", ("投", "诉", "手", "机")
FRESH = CallOptions(fresh=True)


def counts(outcome: Outcome) -> tuple[int, int]:
    """Computed and cached pairs."""
    return outcome.values.computed, outcome.values.cached


async def test_a_request_that_comes_again_computes_nothing_and_is_answered_alike() -> None:
    world = FakeService()
    first = await world.classify(LABELS, "x" * 40, max_tokens=8)
    again = await world.classify(LABELS, "x" * 40, max_tokens=8)
    assert (again.results, again.values.engine) == (first.results, first.values.engine)
    assert again.results[0].truncated
    assert (world.backend.pairs_computed, counts(again)) == (4, (0, 4))


async def test_only_new_labels_are_computed() -> None:
    world = FakeService()
    old = tuple(f"标签{i}" for i in range(20))
    await world.classify(old)
    outcome = await world.classify(old[5:] + tuple(f"新{i}" for i in range(5)))
    assert counts(outcome) == (5, 15)
    assert world.backend.pairs_computed == 25
    assert len(outcome.results[0].labels) == 20


async def test_another_tenant_computes_everything_again() -> None:
    world = FakeService()
    await world.classify(LABELS, tenant="t_1")
    assert counts(await world.classify(LABELS, tenant="t_2")) == (4, 0)


@pytest.mark.parametrize("change", [{"hypothesis_template": "这是{}"}, {"max_tokens": 9}, {"text": "别的"}])
async def test_whatever_changes_the_logits_is_another_pair(change: dict[str, object]) -> None:
    world = FakeService()
    await world.classify(LABELS)
    assert (await world.classify(LABELS, **change)).values.cached == 0  # type: ignore[arg-type]


async def test_a_hundred_at_once_compute_each_pair_once() -> None:
    world = FakeService(FakeBackend(delay_s=0.02))
    outcomes = await asyncio.gather(*(world.classify(LABELS) for _ in range(100)))
    assert world.backend.pairs_computed == len(LABELS)
    assert all(outcome.results == outcomes[0].results for outcome in outcomes)
    assert sum(outcome.values.computed for outcome in outcomes) == len(LABELS)
    assert sum(outcome.values.cached for outcome in outcomes) == 99 * len(LABELS)


async def test_two_tenants_at_once_share_no_flight() -> None:
    world = FakeService(FakeBackend(delay_s=0.02))
    await asyncio.gather(*(world.classify(LABELS, tenant=f"t_{i % 2}") for i in range(10)))
    assert world.backend.pairs_computed == 2 * len(LABELS)


async def test_equal_texts_in_one_request_are_computed_once() -> None:
    world = FakeService(FakeBackend(delay_s=0.01))
    outcome = await world.classify(LABELS, (TEXT, "投", TEXT))
    assert (counts(outcome), world.backend.pairs_computed) == ((8, 4), 8)
    assert outcome.results[0] == outcome.results[2] != outcome.results[1]


async def test_a_fresh_computation_neither_looks_nor_joins_but_leaves_its_values() -> None:
    world = FakeService(FakeBackend(delay_s=0.01))
    await world.classify(LABELS)
    fresh, _ = await asyncio.gather(*(world.classify(LABELS, options=FRESH) for _ in range(2)))
    assert counts(fresh) == (4, 0)
    assert world.backend.pairs_computed == 12
    assert counts(await world.classify(LABELS)) == (0, 4)


async def test_the_first_requests_end_does_not_fail_those_that_joined_it() -> None:
    world = FakeService(FakeBackend(delay_s=0.05))
    leader = asyncio.create_task(world.classify(LABELS))
    await asyncio.sleep(0.01)
    follower = asyncio.create_task(world.classify(LABELS))
    await asyncio.sleep(0.01)
    leader.cancel()
    assert len((await follower).results[0].labels) == 4
    assert world.backend.pairs_computed == 4


async def test_the_first_requests_failure_does_not_fail_those_that_joined_it() -> None:
    world = FakeService(FakeBackend(delay_s=0.05, logits_failure=TritonFailed("broken")))
    leader = asyncio.create_task(world.classify(LABELS))
    await asyncio.sleep(0.01)
    follower = asyncio.create_task(world.classify(LABELS))
    with pytest.raises(TritonFailed):
        await leader
    world.backend.logits_failure = None
    outcome = await follower
    assert len(outcome.results[0].labels) == 4
    assert counts(outcome) == (4, 0)
    assert world.queue.in_flight.pairs == 0


async def test_what_nobody_waits_for_never_reaches_triton_and_gives_its_room_back() -> None:
    world = FakeService(FakeBackend(delay_s=60), max_calls_per_request=1, max_pairs_per_call=3)
    gone = asyncio.create_task(world.classify(LABELS))
    await asyncio.sleep(0.01)
    assert (world.queue.in_flight.pairs, world.queue.at_triton.pairs) == (4, 3)
    gone.cancel()
    await asyncio.gather(gone, return_exceptions=True)
    await asyncio.sleep(0)
    assert (world.queue.in_flight.pairs, world.queue.at_triton.pairs) == (0, 3)
    assert len(world.backend.calls) == 1


async def test_known_pairs_are_answered_though_the_queue_is_full() -> None:
    """The bound is on what Triton has to do."""
    world = FakeService(FakeBackend(delay_s=0.05), max_tokens_in_flight=MIN_PAIR_TOKENS * 4)
    await world.classify(LABELS)
    busy = asyncio.create_task(world.classify(LABELS, "别的"))
    await asyncio.sleep(0.01)
    assert (await world.classify(LABELS)).results
    with pytest.raises(Overloaded):
        await world.classify(LABELS, "第三")
    await busy


async def test_a_request_that_only_joins_running_work_is_answered_though_the_queue_is_full() -> None:
    world = FakeService(FakeBackend(gate=asyncio.Event()), max_tokens_in_flight=MIN_PAIR_TOKENS * 4)
    first = asyncio.create_task(world.classify(LABELS))
    await asyncio.sleep(0.01)
    joining = asyncio.create_task(world.classify(LABELS[:2]))
    await asyncio.sleep(0.01)
    assert world.queue.in_flight.pairs == 4
    with pytest.raises(Overloaded):
        await world.classify((*LABELS[:2], "新"))
    assert world.backend.gate is not None
    world.backend.gate.set()
    assert counts(await first) == (4, 0)
    assert counts(await joining) == (0, 2)
    assert world.backend.pairs_computed == 4


async def test_nobody_waits_for_a_batch_lines_computation_of_the_same_pairs() -> None:
    """It may be the last in the queue for a minute."""
    world = FakeService(FakeBackend(gate=asyncio.Event()), window=MIN_PAIR_TOKENS * 8)
    busy = asyncio.create_task(world.classify(LABELS, "别的", tenant="other"))
    await asyncio.sleep(0.01)
    waiting = asyncio.create_task(world.classify((*LABELS, "新"), low_priority=True))
    await asyncio.sleep(0.01)
    request = asyncio.create_task(world.classify(LABELS))
    await asyncio.sleep(0.01)
    assert [(call.pairs[0].text, len(call.pairs)) for call in world.backend.calls] == [("别的", 4), (TEXT, 4)]
    assert world.backend.gate is not None
    world.backend.gate.set()
    await asyncio.gather(busy, waiting, request)
    assert counts(await request) == (4, 0)


async def test_a_new_engine_never_meets_an_old_score() -> None:
    """Half of the pairs are known from the old engine when the new one answers the rest."""
    world = FakeService()
    await world.classify(LABELS)
    world.backend.engine_ids = ("engine-2",)
    outcome = await world.classify((*LABELS[:2], "新", "新2"))
    assert outcome.values.engine.id == "engine-2"
    assert counts(outcome) == (2, 2)
    again = await world.classify(LABELS)
    assert again.values.engine.id == "engine-2"
    assert again.values.cached == 2, "two of the four were asked of the new engine"


@settings(max_examples=60)
@given(
    st.lists(
        st.tuples(
            st.sampled_from(["t_1", "t_2"]),
            st.lists(st.sampled_from(["甲", "乙", "丙"]), min_size=1, max_size=3),
            st.lists(st.sampled_from("投诉手机好坏"), min_size=1, max_size=6, unique=True),
            st.booleans(),
        ),
        min_size=1,
        max_size=8,
    ),
    st.integers(1, 5),
)
async def test_whatever_comes_at_once_is_answered_as_alone(
    asked: list[tuple[str, list[str], list[str], bool]], size: int
) -> None:
    """Any mix of tenants, repeated texts, labels and fresh computations; each answer as if it were alone."""
    world = FakeService(FakeBackend(delay_s=0.001), max_pairs_per_call=size)
    outcomes = await asyncio.gather(
        *(
            world.classify(labels, texts, tenant=tenant, options=CallOptions(fresh))
            for tenant, texts, labels, fresh in asked
        )
    )
    for (_, texts, labels, _), outcome in zip(asked, outcomes, strict=True):
        alone = await FakeService().classify(labels, texts)
        assert (outcome.results, outcome.values.engine) == (alone.results, alone.values.engine)
        assert sum(counts(outcome)) == len(texts) * len(labels)
    assert world.backend.pairs_computed == sum(outcome.values.computed for outcome in outcomes)
    assert world.queue.in_flight.pairs == 0


async def test_a_quiet_tenant_does_not_wait_for_a_noisy_ones_backlog() -> None:
    world = FakeService(
        FakeBackend(delay_s=0.005), max_tokens_in_flight=MIN_PAIR_TOKENS * 10_000, window=MIN_PAIR_TOKENS * 4
    )
    noisy = [asyncio.create_task(world.classify(LABELS, f"noisy {n}", tenant="noisy")) for n in range(50)]
    while not world.backend.calls:
        await asyncio.sleep(0)
    await world.classify(LABELS, "quiet", tenant="quiet")
    assert len(world.backend.calls) <= 4, "what was at Triton, one turn of each"
    await asyncio.gather(*noisy)
