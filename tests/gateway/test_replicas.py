"""Many Tritons as one: who gets work, who is tried next, who comes back."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from dataclasses import dataclass, field

import pytest

from gateway.addresses import Address
from gateway.errors import DeadlineExceeded, TritonFailed, TritonUnavailable
from gateway.replicas import CERTAIN_S, FAILURES, Replicas
from gateway.triton import PairLogits
from tests.fakes.classifier import FakeClassifier


@dataclass
class FakeAddresses:
    now: list[str]
    weights: dict[str, float] = field(default_factory=dict)

    async def all(self) -> list[Address]:
        return [Address(url, weight=self.weights.get(url, 1.0)) for url in self.now]


@dataclass
class World:
    """Fakes behind URLs, and a clock that stands still."""

    tritons: dict[str, FakeClassifier]
    seed: int = 1
    weights: dict[str, float] = field(default_factory=dict)
    patience_s: float = 3.0
    at: float = 100.0
    addresses: FakeAddresses = field(init=False)
    replicas: Replicas = field(init=False)

    def __post_init__(self) -> None:
        self.addresses = FakeAddresses(list(self.tritons), self.weights)
        self.replicas = Replicas(
            self.addresses,
            self.tritons.__getitem__,
            lambda: self.at,
            random.Random(self.seed),
            self.patience_s,
        )

    async def ready(self) -> World:
        await self.replicas.refresh()
        await self.replicas.check()
        return self

    async def ask(self, engine_id: str | None = None, pairs: int = 1) -> PairLogits:
        labels = [str(i) for i in range(pairs)]
        return await self.replicas.logits("x", labels, "{}", None, 5.0, engine_id)

    def calls(self) -> Counter[str]:
        return Counter({url: len(triton.calls) for url, triton in self.tritons.items()})


def three() -> World:
    return World({name: FakeClassifier() for name in "abc"})


async def test_work_is_spread() -> None:
    world = await three().ready()
    for _ in range(300):
        await world.ask()
    assert min(world.calls().values()) > 60


async def test_a_weightier_replica_gets_more_in_proportion() -> None:
    """Nothing is under way when each call comes, so what is drawn decides; one of weight 6 among ten of 1."""
    names = [f"small{i}" for i in range(10)]
    world = World({name: FakeClassifier() for name in ["large", *names]}, weights={"large": 6.0})
    await world.ready()
    assert world.replicas.capacity == 16.0
    for _ in range(800):
        await world.ask()
    assert 200 < world.calls()["large"] < 500


async def test_what_is_under_way_counts_by_weight() -> None:
    """Thirty pairs are less to do for a replica of weight 4 than ten for one of weight 1."""
    world = World({"a": FakeClassifier(), "b": FakeClassifier()}, weights={"a": 4.0})
    await world.ready()
    for replica in world.replicas.known:
        replica.outstanding_pairs = {"a": 30, "b": 10}[replica.url]
    for _ in range(20):
        await world.ask()
    assert world.calls() == {"a": 20, "b": 0}


async def test_a_busy_replica_gets_less() -> None:
    """One is twenty times as slow: calls at once pile up there, and new ones go elsewhere."""
    world = World({"slow": FakeClassifier(delay_s=0.2), "fast": FakeClassifier(delay_s=0.01)})
    await world.ready()

    async def client() -> None:
        for _ in range(5):
            await world.ask()

    await asyncio.gather(*(client() for _ in range(8)))
    assert world.calls()["fast"] > 2 * world.calls()["slow"]


async def test_a_call_that_finds_nobody_is_tried_elsewhere_and_the_dead_get_no_more() -> None:
    world = await three().ready()
    world.tritons["a"].failure = TritonUnavailable("gone")
    for _ in range(50):
        await world.ask()
    assert world.calls()["a"] == 1


async def test_who_answers_again_gets_work_again() -> None:
    world = await three().ready()
    world.tritons["a"].failure = TritonUnavailable("gone")
    for _ in range(20):
        await world.ask()
    world.tritons["a"].failure = None
    world.at += 1
    await world.replicas.check()
    before = world.calls()["a"]
    for _ in range(60):
        await world.ask()
    assert world.calls()["a"] > before + 5


async def test_what_took_too_long_is_not_tried_again() -> None:
    world = await three().ready()
    for triton in world.tritons.values():
        triton.failure = DeadlineExceeded("slow")
    with pytest.raises(DeadlineExceeded):
        await world.ask()
    assert sum(world.calls().values()) == 1


@pytest.mark.parametrize("failure", [TritonUnavailable("gone"), TritonFailed("nonsense")])
async def test_three_are_asked_for_an_answer_each_once(failure: TritonUnavailable | TritonFailed) -> None:
    world = World({name: FakeClassifier(failure=failure) for name in "abcd"})
    await world.ready()
    with pytest.raises(type(failure)):
        await world.ask()
    assert sorted(world.calls().values()) == [0, 1, 1, 1]


async def test_who_answers_nonsense_is_passed_over_after_three_times_until_a_probe_succeeds() -> None:
    world = await three().ready()
    world.tritons["a"].failure = TritonFailed("nonsense")
    for _ in range(50):
        await world.ask()
    assert world.calls()["a"] == FAILURES
    world.tritons["a"].failure = None
    await world.replicas.check()
    assert world.tritons["a"].probes == 2, "when it was new, and now"
    for _ in range(50):
        await world.ask()
    assert world.calls()["a"] > FAILURES


async def test_one_failure_between_answers_ejects_nobody() -> None:
    world = await World({"a": FakeClassifier(), "b": FakeClassifier()}).ready()
    for _ in range(2 * FAILURES):
        for failure in (TritonFailed("an error"), None):
            world.tritons["a"].failure = failure
            before = world.calls()["a"]
            for _ in range(50):
                if world.calls()["a"] == before:
                    await world.ask()
    assert all(replica.engine is not None for replica in world.replicas.known)


async def test_what_a_silent_replica_has_under_way_is_asked_elsewhere() -> None:
    """Its calls and its probe hang, its `expand` may answer: an inference alone tells."""
    world = await World({"a": FakeClassifier(), "b": FakeClassifier()}, patience_s=0.05).ready()
    world.tritons["a"].delay_s = 60
    calls = [asyncio.create_task(world.ask(pairs=3)) for _ in range(10)]
    await asyncio.sleep(0.01)
    assert world.calls()["a"] > 0
    world.at += 1
    await world.replicas.check()
    async with asyncio.timeout(1):
        answers = await asyncio.gather(*calls)
    assert {answer.engine.id for answer in answers} == {"engine-1"}
    assert [(r.url, r.engine is None, r.outstanding_pairs) for r in world.replicas.known] == [
        ("a", True, 0),
        ("b", False, 0),
    ]


async def test_a_lone_silent_replica_keeps_what_it_has_under_way() -> None:
    """It may just be busy, and nobody else could do better."""
    world = await World({"a": FakeClassifier()}, patience_s=0.05).ready()
    world.tritons["a"].delay_s = 0.2
    call = asyncio.create_task(world.ask())
    await asyncio.sleep(0.01)
    world.at += 1
    await world.replicas.check()
    assert [replica.engine for replica in world.replicas.known] == [None]
    assert (await call).engine.id == "engine-1"
    assert [replica.engine is not None for replica in world.replicas.known] == [True]


async def test_an_idle_replica_computes_nothing_for_a_check() -> None:
    world = await three().ready()
    before = {url: triton.probes for url, triton in world.tritons.items()}
    world.at += 1
    await world.replicas.check()
    assert {url: triton.probes for url, triton in world.tritons.items()} == before


async def test_a_call_that_has_just_begun_is_no_reason_for_a_probe() -> None:
    world = await World({"a": FakeClassifier()}).ready()
    world.at += 1
    world.tritons["a"].delay_s = 0.05
    call = asyncio.create_task(world.ask())
    await asyncio.sleep(0)
    await world.replicas.check()
    await call
    assert world.tritons["a"].probes == 1, "when it was new"


async def test_one_silent_replica_does_not_keep_the_others_from_being_heard() -> None:
    world = await World({"a": FakeClassifier(), "b": FakeClassifier()}, patience_s=60).ready()
    silent, other = world.replicas.known
    silent.eject(TritonUnavailable("gone"))
    world.tritons["a"].delay_s = 60
    world.at += CERTAIN_S + 1
    keeping = asyncio.create_task(world.replicas.keep())
    await asyncio.sleep(0.05)
    assert (silent.engine, other.heard_at) == (None, world.at)
    keeping.cancel()
    await asyncio.gather(keeping, return_exceptions=True)


async def test_before_anybody_was_heard_of_the_second_try_is_elsewhere_as_well() -> None:
    for seed in range(20):
        world = World({"a": FakeClassifier(failure=TritonUnavailable("gone")), "b": FakeClassifier()}, seed)
        assert (await world.ask()).engine.id == "engine-1"


async def test_one_dead_triton_alone_is_asked_each_time_so_that_its_return_is_seen() -> None:
    world = await World({"a": FakeClassifier(failure=TritonUnavailable("starting"))}).ready()
    with pytest.raises(TritonUnavailable):
        await world.ask()
    world.tritons["a"].failure = None
    assert (await world.ask()).engine.id == "engine-1"


async def test_an_address_that_is_gone_gets_no_work_and_what_it_has_under_way_goes_on() -> None:
    world = World({"a": FakeClassifier(delay_s=0.05), "b": FakeClassifier()})
    world.addresses.now = ["a"]
    await world.ready()
    under_way = asyncio.create_task(world.ask())
    await asyncio.sleep(0.01)
    world.addresses.now = ["b"]
    await world.replicas.refresh()
    await world.replicas.check()
    assert (await under_way).engine.id == "engine-1"
    for _ in range(20):
        await world.ask()
    assert world.calls() == {"a": 1, "b": 20}


async def test_without_any_address_there_is_a_clear_refusal() -> None:
    world = World({})
    with pytest.raises(TritonUnavailable, match="no replica of Triton is known"):
        await world.ask()
    assert world.replicas.choose_engine() is None


async def test_a_question_stays_with_its_engine() -> None:
    """In a roll-out: two of three replicas have the old engine."""
    engines = {"a": "old", "b": "old", "c": "new"}
    world = World({url: FakeClassifier(engine_ids=(engine,)) for url, engine in engines.items()})
    await world.ready()
    for engine in ("old", "new"):
        for _ in range(30):
            assert (await world.ask(engine)).engine.id == engine
    chosen = Counter(found.id for _ in range(300) if (found := world.replicas.choose_engine()))
    assert 1.4 < chosen["old"] / chosen["new"] < 2.8


async def test_an_engine_that_nobody_has_any_more_is_answered_by_another() -> None:
    world = await three().ready()
    assert (await world.ask("gone")).engine.id == "engine-1"


async def test_an_engine_is_certain_for_a_while_only() -> None:
    world = await three().ready()
    world.at += CERTAIN_S
    assert world.replicas.choose_engine() is not None
    world.at += 0.1
    assert world.replicas.choose_engine() is None


async def test_only_who_was_not_heard_of_is_asked() -> None:
    world = await three().ready()
    for triton in world.tritons.values():
        triton.failure = TritonUnavailable("gone")
    await world.replicas.check()
    assert all(replica.engine is not None for replica in world.replicas.known)
    world.at += 1
    await world.replicas.check()
    assert all(replica.engine is None for replica in world.replicas.known)


async def test_outstanding_pairs_are_counted_and_given_back_whatever_happens() -> None:
    world = World({"a": FakeClassifier(delay_s=60)})
    await world.ready()
    under_way = asyncio.create_task(world.ask(pairs=7))
    await asyncio.sleep(0.01)
    (replica,) = world.replicas.known
    assert replica.outstanding_pairs == 7
    under_way.cancel()
    await asyncio.gather(under_way, return_exceptions=True)
    assert replica.outstanding_pairs == 0
