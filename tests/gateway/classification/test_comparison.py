"""A model on trial: which of the two answers, and how often they agree."""

from __future__ import annotations

import asyncio
from collections import Counter
from dataclasses import dataclass

from gateway.errors import TritonUnavailable
from gateway.triton.backend import InferenceCall, PairLogits
from tests.fakes.backend import FakeBackend
from tests.fakes.gateway import FakeService

LABELS = ["手机投诉", "咨询"]
TEXTS = [f"第{number}次投诉手机" for number in range(60)]


@dataclass
class ContraryBackend(FakeBackend):
    """Ranks labels the other way round."""

    async def logits(self, call: InferenceCall) -> PairLogits:
        answer = await super().logits(call)
        return PairLogits(-answer.logits, answer.tokens, answer.unknown, answer.engine)


def service(canary: FakeBackend, share: float, sample: float = 1.0) -> FakeService:
    return FakeService(canary=(canary, share), comparison_sample=sample)


async def settled() -> None:
    for _ in range(50):
        await asyncio.sleep(0)


async def test_a_text_has_the_same_model_whenever_it_comes() -> None:
    gateway = service(FakeBackend(engine_ids=("engine-2",)), 0.5, sample=0.0)
    first = [(await gateway.classify(LABELS, text)).values.engine.id for text in TEXTS]
    again = [await gateway.classify(LABELS, text) for text in TEXTS]
    assert Counter(first).keys() == {"engine-1", "engine-2"}
    assert [outcome.values.engine.id for outcome in again] == first
    assert sum(outcome.values.computed for outcome in again) == 0
    assert sum(gateway.service.comparison.texts.values()) == 0


async def test_all_texts_of_a_request_have_one_model() -> None:
    gateway = service(FakeBackend(engine_ids=("engine-2",)), 0.5, sample=0.0)
    for start in range(0, len(TEXTS), 6):
        outcome = await gateway.classify(LABELS, TEXTS[start : start + 6])
        backends = {"engine-1": gateway.backend, "engine-2": gateway.backends["http://canary"]}
        asked = {pair.text for call in backends[outcome.values.engine.id].calls for pair in call.pairs}
        assert asked >= set(TEXTS[start : start + 6])
    assert all(backend.calls for backend in gateway.backends.values())


async def test_models_that_agree_are_counted_so_from_either_side() -> None:
    canary = FakeBackend(engine_ids=("engine-2",))
    gateway = service(canary, 0.5)
    for text in TEXTS:
        await gateway.classify(LABELS, text)
        await settled()
    assert gateway.service.comparison.texts.keys() == {
        ("engine-1", "engine-2", True),
        ("engine-2", "engine-1", True),
    }
    assert gateway.service.comparison.texts.total() == len(TEXTS)
    assert gateway.queue.in_flight.pairs == 0


async def test_models_that_differ_are_counted_so_and_the_answer_is_its_own_models() -> None:
    """With a share of 0 the model on trial answers nobody."""
    gateway = service(ContraryBackend(engine_ids=("engine-2",)), 0.0)
    for text in TEXTS:
        outcome = await gateway.classify(LABELS, text)
        assert outcome.results[0].labels[0] == LABELS[0]
        await settled()
    assert gateway.service.comparison.texts == {("engine-1", "engine-2", False): len(TEXTS)}


async def test_nobody_waits_for_a_comparison_and_one_is_under_way_at_a_time() -> None:
    gate = asyncio.Event()
    canary = FakeBackend(engine_ids=("engine-2",), gate=gate)
    gateway = service(canary, 0.0)
    for text in TEXTS:
        await gateway.classify(LABELS, text)
    await settled()
    assert len(canary.calls) == 1
    gate.set()
    await settled()
    assert gateway.service.comparison.texts.total() == 1


async def test_a_model_on_trial_that_fails_is_not_compared_and_costs_nobody_an_answer() -> None:
    canary = FakeBackend(engine_ids=("engine-2",), failure=TritonUnavailable("gone"))
    gateway = service(canary, 0.5)
    answers = [await gateway.classify(LABELS, text) for text in TEXTS]
    await settled()
    assert {outcome.values.engine.id for outcome in answers} == {"engine-1"}
    assert gateway.service.comparison.texts.total() == 0
    assert gateway.queue.in_flight.pairs == 0


async def test_without_a_share_nothing_is_compared() -> None:
    gateway = FakeService(comparison_sample=1.0)
    await gateway.classify(LABELS, TEXTS[0])
    await settled()
    assert len(gateway.backend.calls) == 1


async def test_before_an_engine_is_known_the_model_on_trial_is_not_asked() -> None:
    gateway = FakeService(canary=(FakeBackend(engine_ids=("engine-2",)), 1.0), knows_engine=False)
    assert (await gateway.classify(LABELS, TEXTS[0])).values.engine.id == "engine-1"
