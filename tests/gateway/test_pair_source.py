"""Where pairs come from: the cache, somebody's flight, or Triton; always one engine, never another tenant's."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, field

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.addresses import Address, FixedAddresses
from gateway.classify import Classify, Outcome, Wishes
from gateway.errors import Overloaded, TritonFailed
from gateway.facts import Facts
from gateway.identity import Identity
from gateway.pair_cache import MemoryPairCache
from gateway.pair_source import PairSource
from gateway.question import Question
from gateway.quotas import Quotas
from gateway.readiness import Readiness
from gateway.replicas import Replicas
from gateway.settings import Settings
from gateway.triton import Engine
from gateway.turns import Turns
from tests.fakes.classifier import FakeClassifier

TEXT, LABELS = "投诉手机", ("投", "诉", "手", "机")


@dataclass
class World:
    classifier: FakeClassifier = field(default_factory=FakeClassifier)
    max_pairs_in_flight: int = 1_000
    max_pairs_per_call: int = 64
    window: int = 1_000

    def __post_init__(self) -> None:
        limits = Settings(
            max_pairs_in_flight=self.max_pairs_in_flight, max_pairs_per_call=self.max_pairs_per_call, deadline_s=2
        )
        replicas = Replicas(FixedAddresses([Address("http://one")]), lambda url: self.classifier, time.monotonic)
        self.turns = Turns(self.max_pairs_in_flight, lambda: self.window)
        self.cache = MemoryPairCache(10_000_000, 60)
        source = PairSource(Readiness(replicas), self.cache, self.turns, limits)
        self.replicas = replicas
        self.classify = Classify(source, Quotas(time.monotonic, 0), limits)

    async def ask(
        self,
        labels: tuple[str, ...] = LABELS,
        *,
        text: str | tuple[str, ...] = TEXT,
        tenant: str = "t_1",
        facts: Facts | None = None,
        fresh: bool = False,
        template: str = "{}",
        max_tokens: int | None = None,
    ) -> Outcome:
        if not self.replicas.known:
            await self.replicas.refresh()
            self.replicas.known[0].heard(Engine("engine-1", "fake"), time.monotonic())
        texts = (text,) if isinstance(text, str) else text
        question = Question(texts, labels, template, multi_label=False, max_tokens=max_tokens, single=True)
        return await self.classify.answer(question, Identity(tenant, ()), facts or Facts("r"), Wishes(fresh))

    @property
    def computed(self) -> int:
        return sum(len(labels) for _, labels in self.classifier.calls)


async def test_a_question_asked_again_computes_nothing_and_says_the_same() -> None:
    world = World()
    first = await world.ask(text="x" * 40, max_tokens=8)
    facts = Facts("r")
    again = await world.ask(text="x" * 40, max_tokens=8, facts=facts)
    assert again == first
    assert again.results[0].truncated
    assert (world.computed, facts.pairs_computed, facts.pairs_cached) == (4, 0, 4)


async def test_only_new_labels_are_computed() -> None:
    world = World()
    old = tuple(f"标签{i}" for i in range(20))
    await world.ask(old)
    facts = Facts("r")
    outcome = await world.ask(old[5:] + tuple(f"新{i}" for i in range(5)), facts=facts)
    assert (facts.pairs_computed, facts.pairs_cached) == (5, 15)
    assert world.computed == 25
    assert len(outcome.results[0].labels) == 20


async def test_another_tenant_computes_everything_again() -> None:
    world = World()
    await world.ask(tenant="t_1")
    facts = Facts("r")
    await world.ask(tenant="t_2", facts=facts)
    assert (facts.pairs_computed, facts.pairs_cached) == (4, 0)


@pytest.mark.parametrize("change", [{"template": "这是{}"}, {"max_tokens": 9}, {"text": "别的"}])
async def test_whatever_changes_the_logits_is_another_pair(change: dict[str, object]) -> None:
    world = World()
    await world.ask()
    facts = Facts("r")
    await world.ask(facts=facts, **change)  # type: ignore[arg-type]
    assert facts.pairs_cached == 0


async def test_a_hundred_at_once_compute_each_pair_once() -> None:
    world = World(FakeClassifier(delay_s=0.02))
    facts = [Facts(str(i)) for i in range(100)]
    outcomes = await asyncio.gather(*(world.ask(facts=one) for one in facts))
    assert world.computed == len(LABELS)
    assert all(outcome == outcomes[0] for outcome in outcomes)
    assert sum(one.pairs_computed for one in facts) == len(LABELS)
    assert sum(one.pairs_cached for one in facts) == 99 * len(LABELS)


async def test_two_tenants_at_once_share_no_flight() -> None:
    world = World(FakeClassifier(delay_s=0.02))
    await asyncio.gather(*(world.ask(tenant=f"t_{i % 2}") for i in range(10)))
    assert world.computed == 2 * len(LABELS)


async def test_one_text_twice_in_a_question_is_computed_once() -> None:
    world = World(FakeClassifier(delay_s=0.01))
    facts = Facts("r")
    outcome = await world.ask(text=(TEXT, "投", TEXT), facts=facts)
    assert (facts.pairs_computed, facts.pairs_cached) == (8, 4)
    assert outcome.results[0] == outcome.results[2] != outcome.results[1]


async def test_a_fresh_computation_neither_looks_nor_joins_but_leaves_its_values() -> None:
    world = World(FakeClassifier(delay_s=0.01))
    await world.ask()
    facts = Facts("r")
    await asyncio.gather(world.ask(fresh=True, facts=facts), world.ask(fresh=True))
    assert facts.pairs_computed == 4
    assert world.computed == 12


async def test_the_leaders_leaving_does_not_fail_its_followers() -> None:
    world = World(FakeClassifier(delay_s=0.05))
    leader = asyncio.create_task(world.ask())
    await asyncio.sleep(0.01)
    follower = asyncio.create_task(world.ask())
    await asyncio.sleep(0.01)
    leader.cancel()
    assert len((await follower).results[0].labels) == 4
    assert world.computed == 4


async def test_the_leaders_failure_does_not_fail_its_followers() -> None:
    world = World(FakeClassifier(delay_s=0.05, failure=TritonFailed("broken")))
    leader = asyncio.create_task(world.ask())
    await asyncio.sleep(0.01)
    facts = Facts("r")
    follower = asyncio.create_task(world.ask(facts=facts))
    with pytest.raises(TritonFailed):
        await leader
    world.classifier.failure = None
    assert len((await follower).results[0].labels) == 4
    assert (facts.pairs_computed, facts.pairs_cached) == (4, 0)
    assert world.turns.pairs_in_flight == 0


async def test_what_nobody_waits_for_is_dropped_and_gives_its_places_back() -> None:
    world = World(FakeClassifier(delay_s=60))
    gone = asyncio.create_task(world.ask())
    await asyncio.sleep(0.01)
    assert world.turns.pairs_in_flight == 4
    gone.cancel()
    await asyncio.gather(gone, return_exceptions=True)
    await asyncio.sleep(0)
    assert (world.classifier.under_way, world.turns.pairs_in_flight) == (0, 0)


async def test_known_pairs_are_answered_beyond_the_bound() -> None:
    """The bound is on what Triton has to do."""
    world = World(FakeClassifier(delay_s=0.05), max_pairs_in_flight=4)
    await world.ask()
    busy = asyncio.create_task(world.ask(text="别的"))
    await asyncio.sleep(0.01)
    assert (await world.ask()).results
    with pytest.raises(Overloaded):
        await world.ask(text="第三")
    await busy


async def test_a_new_engine_never_meets_an_old_score() -> None:
    """Half of the pairs are known from the old engine when the new one answers the rest."""
    world = World(FakeClassifier(engine_ids=("engine-1",)))
    await world.ask()
    world.classifier.engine_ids = ("engine-2",)
    facts = Facts("r")
    outcome = await world.ask((*LABELS[:2], "新", "新2"), facts=facts)
    assert outcome.model_version == "engine-2"
    assert (facts.pairs_computed, facts.pairs_cached) == (2, 2)
    again = Facts("r")
    assert (await world.ask(LABELS, facts=again)).model_version == "engine-2"
    assert again.pairs_cached == 2, "two of the four were asked of the new engine"


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
    world = World(FakeClassifier(delay_s=0.001), max_pairs_per_call=size)
    facts = [Facts(str(i)) for i in range(len(asked))]
    outcomes = await asyncio.gather(
        *(
            world.ask(tuple(labels), text=tuple(texts), tenant=tenant, fresh=fresh, facts=one)
            for (tenant, texts, labels, fresh), one in zip(asked, facts, strict=True)
        )
    )
    for (_, texts, labels, _), outcome, one in zip(asked, outcomes, facts, strict=True):
        assert outcome == await World().ask(tuple(labels), text=tuple(texts))
        assert one.pairs_computed + one.pairs_cached == len(texts) * len(labels)
    assert world.computed == sum(one.pairs_computed for one in facts)
    assert world.turns.pairs_in_flight == 0


async def test_a_quiet_tenant_does_not_wait_for_a_noisy_ones_backlog() -> None:
    world = World(FakeClassifier(delay_s=0.005), max_pairs_in_flight=10_000, window=4)
    noisy = [asyncio.create_task(world.ask(text=f"noisy {n}", tenant="noisy")) for n in range(50)]
    while not world.classifier.calls:
        await asyncio.sleep(0)
    await world.ask(text="quiet", tenant="quiet")
    assert len(world.classifier.calls) <= 4, "what was at Triton, one turn of each"
    await asyncio.gather(*noisy)
