"""Which replica gets a call, which is tried next, which is ejected, and how it comes back."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from dataclasses import dataclass, field

import pytest

from gateway.errors import DeadlineExceeded, ModelNotLoaded, TritonFailed, TritonRejected, TritonUnavailable
from gateway.triton.backend import PairLogits
from gateway.triton.discovery import Address
from gateway.triton.load_balancer import CERTAIN_S, LoadBalancer
from gateway.triton.replica import MAX_FAILURES, Replica
from tests.fakes.backend import FakeBackend, inference_call


@dataclass
class FakeDiscovery:
    urls: list[str]
    weights: dict[str, float] = field(default_factory=dict)
    lookups: int = 0

    async def all(self) -> list[Address]:
        self.lookups += 1
        return [Address(url, weight=self.weights.get(url, 1.0)) for url in self.urls]


@dataclass
class World:
    """Fakes behind URLs, and a clock that stands still."""

    backends: dict[str, FakeBackend]
    seed: int = 1
    weights: dict[str, float] = field(default_factory=dict)
    patience_s: float = 3.0
    at: float = 100.0
    discovery: FakeDiscovery = field(init=False)
    load_balancer: LoadBalancer = field(init=False)

    def __post_init__(self) -> None:
        self.discovery = FakeDiscovery(list(self.backends), self.weights)
        self.load_balancer = LoadBalancer(
            self.discovery,
            self.backends.__getitem__,
            lambda: self.at,
            random.Random(self.seed),
            self.patience_s,
        )

    async def ready(self) -> World:
        await self.load_balancer.refresh()
        await self.check()
        return self

    async def check(self) -> None:
        """Wait for the checks of those that were not heard of."""
        await asyncio.gather(*self.load_balancer.start_checks())

    async def ask(self, engine_id: str | None = None, pairs: int = 1) -> PairLogits:
        call = inference_call("x", [str(i) for i in range(pairs)], in_s=5.0)
        return await self.load_balancer.logits(call, engine_id)

    async def ask_until_called(self, url: str) -> PairLogits:
        """The first answer to a call that was tried at `url`."""
        before = self.calls()[url]
        while True:
            answer = await self.ask()
            if self.calls()[url] > before:
                return answer

    def replica(self, url: str) -> Replica:
        return next(replica for replica in self.load_balancer.replicas if replica.url == url)

    def calls(self) -> Counter[str]:
        return Counter({url: len(backend.calls) for url, backend in self.backends.items()})


def three() -> World:
    return World({name: FakeBackend() for name in "abc"})


async def test_work_is_spread() -> None:
    world = await three().ready()
    for _ in range(300):
        await world.ask()
    assert min(world.calls().values()) > 60


async def test_a_weightier_replica_gets_more_in_proportion() -> None:
    """Nothing is under way when each call comes, so what is drawn decides; one of weight 6 among ten of 1."""
    names = [f"small{i}" for i in range(10)]
    world = World({name: FakeBackend() for name in ["large", *names]}, weights={"large": 6.0})
    await world.ready()
    assert world.load_balancer.capacity == 16.0
    for _ in range(800):
        await world.ask()
    assert 200 < world.calls()["large"] < 500


async def test_what_is_under_way_counts_by_weight() -> None:
    """Thirty pairs are less to do for a replica of weight 4 than ten for one of weight 1."""
    world = World({"a": FakeBackend(), "b": FakeBackend()}, weights={"a": 4.0})
    await world.ready()
    for replica in world.load_balancer.replicas:
        replica.outstanding_pairs = {"a": 30, "b": 10}[replica.url]
    for _ in range(20):
        await world.ask()
    assert world.calls() == {"a": 20, "b": 0}


async def test_a_busy_replica_gets_less() -> None:
    """One is twenty times as slow: calls at once pile up there, and new ones go elsewhere."""
    world = World({"slow": FakeBackend(delay_s=0.2), "fast": FakeBackend(delay_s=0.01)})
    await world.ready()

    async def client() -> None:
        for _ in range(5):
            await world.ask()

    await asyncio.gather(*(client() for _ in range(8)))
    assert world.calls()["fast"] > 2 * world.calls()["slow"]


async def test_a_call_that_finds_nobody_is_tried_elsewhere_and_the_dead_get_no_more() -> None:
    world = await three().ready()
    world.backends["a"].failure = TritonUnavailable("gone")
    for _ in range(50):
        await world.ask()
    assert world.calls()["a"] == 1


async def test_who_answers_again_gets_work_again() -> None:
    world = await three().ready()
    world.backends["a"].failure = TritonUnavailable("gone")
    for _ in range(20):
        await world.ask()
    world.backends["a"].failure = None
    world.at += 1
    await world.check()
    before = world.calls()["a"]
    for _ in range(60):
        await world.ask()
    assert world.calls()["a"] > before + 5


async def test_what_took_too_long_is_not_tried_again() -> None:
    world = await three().ready()
    for backend in world.backends.values():
        backend.failure = DeadlineExceeded("slow")
    with pytest.raises(DeadlineExceeded):
        await world.ask()
    assert sum(world.calls().values()) == 1


@pytest.mark.parametrize(
    "failure", [TritonUnavailable("gone"), TritonFailed("nonsense"), ModelNotLoaded("no model")]
)
async def test_three_are_asked_for_an_answer_each_once(
    failure: TritonUnavailable | TritonFailed,
) -> None:
    """Health checks succeed, so the error is taken for the request's."""
    world = World({name: FakeBackend(logits_failure=failure) for name in "abcd"})
    await world.ready()
    with pytest.raises(type(failure)):
        await world.ask()
    assert sorted(world.calls().values()) == [0, 1, 1, 1]


async def test_who_answers_with_errors_is_ejected_after_three_times_until_a_probe_succeeds() -> None:
    world = await three().ready()
    world.backends["a"].failure = TritonFailed("nonsense")
    for _ in range(50):
        await world.ask()
    assert world.calls()["a"] == MAX_FAILURES
    world.backends["a"].failure = None
    await world.check()
    assert world.backends["a"].probes == 2, "when it was new, and now"
    for _ in range(50):
        await world.ask()
    assert world.calls()["a"] > MAX_FAILURES


async def test_a_request_that_triton_rejects_ejects_nobody_and_is_tried_nowhere_else() -> None:
    """A 4xx: it would be rejected anywhere, and a caller could otherwise eject one replica after another."""
    world = World({name: FakeBackend(logits_failure=TritonRejected("a 400")) for name in "abc"})
    await world.ready()
    for number in range(3 * MAX_FAILURES):
        with pytest.raises(TritonRejected):
            await world.ask()
        assert sum(world.calls().values()) == number + 1
    assert all(replica.engine is not None for replica in world.load_balancer.replicas)
    world.at += 1
    await world.check()
    assert [backend.probes for backend in world.backends.values()] == [1, 1, 1], (
        "when they were new, and none since"
    )


async def test_a_replica_without_the_model_is_passed_over_and_its_health_check_decides_at_once() -> None:
    world = await World({"a": FakeBackend(), "b": FakeBackend()}).ready()
    world.backends["a"].logits_failure = ModelNotLoaded("a 404")
    assert (await world.ask_until_called("a")).engine.id == "engine-1"
    assert world.replica("a").engine is not None, "not ejected"
    await world.check()
    probes = {url: backend.probes for url, backend in world.backends.items()}
    assert probes == {"a": 2, "b": 1}, "an inference at once, though both were heard of a moment ago"
    assert world.replica("a").engine is not None, "the inference was answered"
    world.backends["a"].failure = ModelNotLoaded("a 404")
    await world.ask_until_called("a")
    await world.check()
    assert world.replica("a").engine is None


async def test_after_an_error_the_next_health_check_is_an_inference() -> None:
    """`expand` may answer while the engine fails."""
    world = await World({"a": FakeBackend(), "b": FakeBackend()}).ready()
    world.backends["a"].logits_failure = TritonFailed("a 500")
    await world.ask_until_called("a")
    await world.check()
    assert {url: backend.probes for url, backend in world.backends.items()} == {"a": 2, "b": 1}
    world.at += 1
    await world.check()
    assert {url: backend.probes for url, backend in world.backends.items()} == {"a": 2, "b": 1}, "it was answered"


async def test_an_error_of_the_last_replica_is_the_requests_only_if_the_replica_is_well() -> None:
    world = await World({"a": FakeBackend(logits_failure=TritonFailed("a 500"))}).ready()
    with pytest.raises(TritonFailed, match="a 500"):
        await world.ask()
    assert world.replica("a").engine is not None
    world.backends["a"].failure = TritonFailed("a 500")
    with pytest.raises(TritonUnavailable):
        await world.ask()
    assert world.replica("a").engine is None
    assert not world.load_balancer.ready


async def test_one_failure_between_answers_ejects_nobody() -> None:
    world = await World({"a": FakeBackend(), "b": FakeBackend()}).ready()
    for _ in range(2 * MAX_FAILURES):
        for failure in (TritonFailed("an error"), None):
            world.backends["a"].failure = failure
            before = world.calls()["a"]
            for _ in range(50):
                if world.calls()["a"] == before:
                    await world.ask()
    assert all(replica.engine is not None for replica in world.load_balancer.replicas)


async def test_what_a_silent_replica_has_under_way_is_asked_elsewhere() -> None:
    """Its calls and its probe hang, its `expand` may answer: an inference alone tells."""
    world = await World({"a": FakeBackend(), "b": FakeBackend()}, patience_s=0.05).ready()
    world.backends["a"].delay_s = 60
    calls = [asyncio.create_task(world.ask(pairs=3)) for _ in range(10)]
    await asyncio.sleep(0.01)
    assert world.calls()["a"] > 0
    world.at += 1
    await world.check()
    async with asyncio.timeout(1):
        answers = await asyncio.gather(*calls)
    assert {answer.engine.id for answer in answers} == {"engine-1"}
    assert [(r.url, r.engine is None, r.outstanding_pairs) for r in world.load_balancer.replicas] == [
        ("a", True, 0),
        ("b", False, 0),
    ]


async def test_a_lone_silent_replica_keeps_what_it_has_under_way() -> None:
    """It may just be busy, and nobody else could do better."""
    world = await World({"a": FakeBackend()}, patience_s=0.05).ready()
    world.backends["a"].delay_s = 0.2
    call = asyncio.create_task(world.ask())
    await asyncio.sleep(0.01)
    world.at += 1
    await world.check()
    assert [replica.engine for replica in world.load_balancer.replicas] == [None]
    assert (await call).engine.id == "engine-1"
    assert [replica.engine is not None for replica in world.load_balancer.replicas] == [True]


async def test_an_idle_replica_computes_nothing_for_a_check() -> None:
    world = await three().ready()
    before = {url: backend.probes for url, backend in world.backends.items()}
    world.at += 1
    await world.check()
    assert {url: backend.probes for url, backend in world.backends.items()} == before


async def test_a_call_that_has_just_begun_is_no_reason_for_a_probe() -> None:
    world = await World({"a": FakeBackend()}).ready()
    world.at += 1
    world.backends["a"].delay_s = 0.05
    call = asyncio.create_task(world.ask())
    await asyncio.sleep(0)
    await world.check()
    await call
    assert world.backends["a"].probes == 1, "when it was new"


async def test_a_replica_that_answers_calls_is_not_lost_though_a_probe_waits_too_long() -> None:
    """Seen failing: many gateways before one slow Triton, whose probes waited behind all their calls."""
    world = await World({"a": FakeBackend()}, patience_s=0.05).ready()
    replica = world.replica("a")
    replica.suspect = True
    world.backends["a"].delay_s = 60
    world.at += 1
    checking = asyncio.create_task(world.check())
    await asyncio.sleep(0)
    replica.heard_at = world.at
    await checking
    assert replica.engine is not None
    replica.suspect = True
    world.at += 1
    await world.check()
    assert replica.engine is None, "it has answered nothing at all"


async def test_one_silent_replica_does_not_keep_the_others_from_being_heard() -> None:
    world = await World({"a": FakeBackend(), "b": FakeBackend()}, patience_s=60).ready()
    silent, other = world.load_balancer.replicas
    silent.eject(TritonUnavailable("gone"))
    world.backends["a"].delay_s = 60
    world.at += CERTAIN_S + 1
    keeping = asyncio.create_task(world.load_balancer.keep_healthy())
    await asyncio.sleep(0.05)
    assert (silent.engine, other.heard_at) == (None, world.at)
    keeping.cancel()
    await asyncio.gather(keeping, return_exceptions=True)


async def test_before_anybody_was_heard_of_the_second_try_is_elsewhere_as_well() -> None:
    for seed in range(20):
        world = World({"a": FakeBackend(failure=TritonUnavailable("gone")), "b": FakeBackend()}, seed)
        assert (await world.ask()).engine.id == "engine-1"


async def test_one_dead_triton_alone_is_asked_each_time_so_that_its_return_is_seen() -> None:
    world = await World({"a": FakeBackend(failure=TritonUnavailable("starting"))}).ready()
    with pytest.raises(TritonUnavailable):
        await world.ask()
    world.backends["a"].failure = None
    assert (await world.ask()).engine.id == "engine-1"


async def test_an_address_that_is_gone_gets_no_work_and_what_it_has_under_way_goes_on() -> None:
    world = World({"a": FakeBackend(delay_s=0.05), "b": FakeBackend()})
    world.discovery.urls = ["a"]
    await world.ready()
    under_way = asyncio.create_task(world.ask())
    await asyncio.sleep(0.01)
    world.discovery.urls = ["b"]
    await world.load_balancer.refresh()
    await world.check()
    assert (await under_way).engine.id == "engine-1"
    for _ in range(20):
        await world.ask()
    assert world.calls() == {"a": 1, "b": 20}


async def test_without_any_address_there_is_a_clear_refusal() -> None:
    world = World({})
    with pytest.raises(TritonUnavailable, match="no replica of Triton is known"):
        await world.ask()
    assert world.load_balancer.choose_engine() is None


async def test_once_the_last_address_is_gone_nothing_is_ready_and_requests_are_refused_without_a_lookup() -> None:
    """As when a pool is scaled to zero. Each request would otherwise wait for a thread and for DNS."""
    world = await World({"a": FakeBackend()}).ready()
    assert world.load_balancer.ready
    world.discovery.urls = []
    await world.load_balancer.refresh()
    assert not world.load_balancer.ready
    lookups = world.discovery.lookups
    for _ in range(3):
        with pytest.raises(TritonUnavailable, match="its address has none") as refused:
            await world.ask()
        assert (refused.value.code, refused.value.retry_after_s) == ("triton_unavailable", 2)
    assert (world.discovery.lookups, world.load_balancer.capacity) == (lookups, 1.0)
    world.discovery.urls = ["a"]
    await world.ready()
    assert world.load_balancer.ready
    assert (await world.ask()).engine.id == "engine-1"


async def test_a_question_stays_with_its_engine() -> None:
    """In a roll-out: two of three replicas have the old engine."""
    engines = {"a": "old", "b": "old", "c": "new"}
    world = World({url: FakeBackend(engine_ids=(engine,)) for url, engine in engines.items()})
    await world.ready()
    for engine in ("old", "new"):
        for _ in range(30):
            assert (await world.ask(engine)).engine.id == engine
    chosen = Counter(found.id for _ in range(300) if (found := world.load_balancer.choose_engine()))
    assert 1.4 < chosen["old"] / chosen["new"] < 2.8


async def test_an_engine_that_nobody_has_any_more_is_answered_by_another() -> None:
    world = await three().ready()
    assert (await world.ask("gone")).engine.id == "engine-1"


async def test_an_engine_is_certain_for_a_while_only() -> None:
    world = await three().ready()
    world.at += CERTAIN_S
    assert world.load_balancer.choose_engine() is not None
    world.at += 0.1
    assert world.load_balancer.choose_engine() is None


async def test_only_who_was_not_heard_of_is_asked() -> None:
    world = await three().ready()
    for backend in world.backends.values():
        backend.failure = TritonUnavailable("gone")
    await world.check()
    assert all(replica.engine is not None for replica in world.load_balancer.replicas)
    world.at += 1
    await world.check()
    assert all(replica.engine is None for replica in world.load_balancer.replicas)


async def test_outstanding_pairs_are_counted_and_given_back_whatever_happens() -> None:
    world = World({"a": FakeBackend(delay_s=60)})
    await world.ready()
    under_way = asyncio.create_task(world.ask(pairs=7))
    await asyncio.sleep(0.01)
    (replica,) = world.load_balancer.replicas
    assert replica.outstanding_pairs == 7
    under_way.cancel()
    await asyncio.gather(under_way, return_exceptions=True)
    assert replica.outstanding_pairs == 0


async def test_calls_that_end_because_they_were_given_up_can_be_given_up_again() -> None:
    replica = Replica(Address("http://one"), FakeBackend())

    async def call() -> None:
        async with replica.carrying(1, 0.0):
            await asyncio.sleep(60)

    calling = asyncio.create_task(call())
    await asyncio.sleep(0)
    replica.give_up_calls()
    await asyncio.sleep(0)
    replica.give_up_calls()
    with pytest.raises(TritonUnavailable):
        await calling
    assert replica.outstanding_pairs == 0
