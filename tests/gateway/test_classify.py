import asyncio
import time

import pytest

from gateway.addresses import Address, FixedAddresses
from gateway.classify import Classify, Outcome
from gateway.errors import DeadlineExceeded, Overloaded, TritonFailed, TritonUnavailable
from gateway.facts import Facts
from gateway.identity import Identity
from gateway.pair_cache import MemoryPairCache
from gateway.pair_source import PairSource
from gateway.question import Question
from gateway.quotas import Quotas
from gateway.readiness import Readiness
from gateway.replicas import Replicas
from gateway.settings import Settings
from gateway.turns import Turns
from tests.fakes.classifier import FakeClassifier


def question(
    texts: tuple[str, ...] = ("投诉",), labels: tuple[str, ...] = ("投", "投诉", "咨"), **more: object
) -> Question:
    facts = {"template": "{}", "multi_label": False, "max_tokens": None, "single": True} | more
    return Question(texts, labels, **facts)  # type: ignore[arg-type]


def use_case(classifier: FakeClassifier, turns: Turns | None = None, **limits: object) -> Classify:
    settings = Settings(**limits)  # type: ignore[arg-type]
    cache = MemoryPairCache(1_000_000, 60)
    replicas = Replicas(FixedAddresses([Address("http://one")]), lambda url: classifier, time.monotonic)
    turns = turns or Turns(settings.max_pairs_in_flight, lambda: 1_000)
    quotas = Quotas(time.monotonic, settings.cached_pair_cost)
    return Classify(PairSource(Readiness(replicas), cache, turns, settings), quotas, settings)


async def answer(subject: Classify, asked: Question, facts: Facts | None = None) -> Outcome:
    return await subject.answer(asked, Identity("t_1", ()), facts or Facts("r"))


async def test_labels_come_sorted_by_score() -> None:
    outcome = await answer(use_case(FakeClassifier()), question())
    assert outcome.results[0].labels == ["投诉", "投", "咨"]
    assert sum(outcome.results[0].scores) == pytest.approx(1.0)
    assert (outcome.model, outcome.model_version) == ("fake", "engine-1")


async def test_labels_beyond_one_call_are_chunked_and_scored_together() -> None:
    labels = tuple(f"{i}号" for i in range(10))
    classifier = FakeClassifier()
    outcome = await answer(
        use_case(classifier, max_pairs_per_call=4), question(texts=("3号", "7号"), labels=labels), Facts("r")
    )
    assert sorted(len(chunk) for _, chunk in classifier.calls) == [2, 2, 4, 4, 4, 4]
    assert [result.labels[0] for result in outcome.results] == ["3号", "7号"]
    assert sum(outcome.results[1].scores) == pytest.approx(1.0)


async def test_one_request_keeps_its_calls_under_its_bound() -> None:
    classifier = FakeClassifier(delay_s=0.01)
    texts = tuple(str(i) for i in range(12))
    await answer(use_case(classifier, max_calls_per_request=3), question(texts=texts), Facts("r"))
    assert classifier.most_under_way == 3


async def test_the_facts_say_what_was_done() -> None:
    facts = Facts("r")
    await answer(use_case(FakeClassifier()), question(texts=("a", "b"), max_tokens=8), facts)
    assert (facts.texts, facts.labels, facts.pairs_computed, facts.engine_id) == (2, 3, 6, "engine-1")


async def test_what_was_cut_is_told() -> None:
    outcome = await answer(use_case(FakeClassifier()), question(texts=("x" * 30, "x"), max_tokens=8), Facts("r"))
    first, second = outcome.results
    assert first.truncated
    assert first.cut.text_tokens == 22  # type: ignore[union-attr]
    assert not second.truncated


async def test_the_deadline_ends_the_request_and_frees_its_pairs() -> None:
    turns = Turns(10, lambda: 10)
    subject = use_case(FakeClassifier(delay_s=60), turns, deadline_s=0.05)
    with pytest.raises(DeadlineExceeded, match="no answer in time"):
        await answer(subject, question())
    assert turns.pairs_in_flight == 0


async def test_a_later_call_of_a_request_may_wait_no_longer_than_the_request() -> None:
    """Triton drops what is queued beyond that: nobody would take its answer."""
    classifier = FakeClassifier(delay_s=0.05)
    await answer(
        use_case(classifier, max_calls_per_request=1, deadline_s=5.0), question(texts=("a", "b", "c")), Facts("r")
    )
    first, second, third = classifier.timeouts_s
    assert 5.0 >= first > second > third > 4.0
    assert first - third >= 0.1


async def test_a_failing_call_fails_the_request_and_ends_the_others() -> None:
    classifier = FakeClassifier(failure=TritonFailed("broken"), delay_s=0.01)
    with pytest.raises(TritonFailed, match="broken"):
        await answer(use_case(classifier), question(texts=("a", "b", "c")), Facts("r"))
    assert classifier.under_way == 0


async def test_pairs_beyond_the_bound_are_refused_at_once() -> None:
    classifier = FakeClassifier(delay_s=60)
    subject = use_case(classifier, max_pairs_in_flight=3, deadline_s=0.2)
    first = asyncio.create_task(answer(subject, question()))
    await asyncio.sleep(0)
    with pytest.raises(Overloaded):
        await answer(subject, question(labels=("咨询",)))
    with pytest.raises(DeadlineExceeded):
        await first
    assert len(classifier.calls) == 1


async def test_an_answer_never_mixes_two_engines() -> None:
    classifier = FakeClassifier(engine_ids=("engine-1", "engine-2"), delay_s=0.01)
    with pytest.raises(TritonUnavailable, match="engine changed"):
        await answer(use_case(classifier), question(texts=("a", "b")), Facts("r"))
