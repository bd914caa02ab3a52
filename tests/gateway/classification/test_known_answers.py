"""When a whole answer is given again, and when not."""

from __future__ import annotations

import time
from typing import Any

import msgspec
import pytest

from gateway.cache.tenant_cache import PAIR_BYTES
from gateway.classification.known_answers import ANSWER_BYTES, MAX_PAIRS, MAX_SEEN, SHARE, KnownAnswers
from gateway.classification.schema import ClassifyBody
from gateway.triton.backend import Engine
from stores.special_tokens import MODEL, TEXT, SpecialTokens
from stores.tenants import CLASSIFY
from tests.fakes.backend import FakeBackend
from tests.fakes.gateway import NO_OPTIONS, FakeService, add_label_set
from web.authentication import Caller

TWO_LABELS = ["投诉", "咨询"]


class World:
    """Known answers beside a service, and the clock of its pair cache."""

    def __init__(self, **options: Any) -> None:
        self.at = 1_000.0
        self.fake = FakeService(now=lambda: self.at, **options)
        fake = self.fake
        self.answers = KnownAnswers(fake.cache, fake.load_balancer, fake.label_sets, fake.settings)

    async def knows(self, *, tenant: str = "t_1", special_tokens: SpecialTokens = MODEL, **fields: Any) -> bool:
        """Whether the answer is known; otherwise it is asked for."""
        await self.fake.learn_engine()
        labels = {} if "label_set" in fields else {"labels": TWO_LABELS}
        body = msgspec.convert({"text": "投诉手机"} | labels | fields, ClassifyBody)
        caller = Caller(tenant, (CLASSIFY,), special_tokens=special_tokens)
        raw = msgspec.json.encode(body)
        if await self.answers.find(raw, caller) is not None:
            return True
        outcome = await self.fake.service.classify(body, caller, NO_OPTIONS)
        await self.answers.keep(raw, fields.get("label_set", ""), caller, outcome, (b"{", b"}"))
        return False

    async def learn(self, **fields: Any) -> None:
        """Ask until the answer is known: of the second answer all pairs are cached."""
        assert [await self.knows(**fields) for _ in range(3)] == [False, False, True]


async def test_an_answer_is_known_once_all_its_pairs_were_cached() -> None:
    world = World()
    await world.learn()
    assert not await world.knows(text="手机")
    assert not await world.knows(multi_label=True)
    assert await world.knows()


async def test_a_body_that_rarely_comes_again_is_not_kept() -> None:
    """Though its pairs are cached: keeping it would take time, and the place of another."""
    world = World()
    await world.knows()
    for number in range(MAX_SEEN):
        await world.knows(text=f"{number}")
    assert [await world.knows() for _ in range(3)] == [False, False, True]


async def test_the_known_answer_is_that_of_its_body() -> None:
    world = World()
    await world.learn()
    await world.learn(text="咨询")
    body = msgspec.json.encode(ClassifyBody(TWO_LABELS, text="咨询"))
    known = await world.answers.find(body, Caller("t_1", (CLASSIFY,)))
    assert known is not None
    assert known.outcome.results[0].labels == ["咨询", "投诉"]


async def test_no_tenant_finds_the_answers_of_another() -> None:
    world = World()
    await world.learn()
    assert not await world.knows(tenant="t_2")
    assert world.fake.backend.pairs_computed == 4


async def test_an_answer_does_not_outlive_its_pairs() -> None:
    world = World(cache_ttl_s=60)
    await world.learn()
    world.at += 61
    assert not await world.knows()


async def test_an_answer_ends_with_the_first_of_its_pairs_that_is_evicted() -> None:
    world = World(cache_bytes=SHARE * ANSWER_BYTES)
    await world.learn()
    pairs = SHARE * ANSWER_BYTES // PAIR_BYTES
    await world.fake.cache.put("t_1", {b"%d" % number: b"" for number in range(pairs - 1)})
    assert not await world.knows()


async def test_an_answer_ends_when_one_of_its_pairs_has_another_value() -> None:
    world = World()
    await world.learn()
    known = await world.answers.find(
        msgspec.json.encode(ClassifyBody(TWO_LABELS, text="投诉手机")), Caller("t_1", (CLASSIFY,))
    )
    assert known is not None
    await world.fake.cache.put("t_1", {known.keys[1]: known.outcome.values.values[0]})
    assert not await world.knows()


@pytest.mark.parametrize("engine", [Engine("engine-2", "fake"), Engine("engine-1", "renamed")])
async def test_an_answer_is_of_the_engine_that_is_loaded(engine: Engine) -> None:
    world = World()
    await world.learn()
    (replica,) = world.fake.load_balancer.replicas
    replica.engine = engine
    assert not await world.knows()


async def test_no_answer_is_known_while_no_engine_is_certain() -> None:
    world = World()
    await world.learn()
    (replica,) = world.fake.load_balancer.replicas
    replica.heard_at = float("-inf")
    assert not await world.knows()


async def test_no_answer_is_known_while_two_engines_answer() -> None:
    """Each request has one of them, as likely as its replicas' share of work."""
    other = FakeBackend(engine_ids=["engine-2"])
    world = World(canary=(other, 0.0))
    await world.fake.learn_engine()
    world.fake.load_balancer.has_shares = False
    assert [await world.knows() for _ in range(4)] == [False] * 4
    other.engine_ids = ["engine-1"]
    world.fake.load_balancer.replicas[1].answered(Engine("engine-1", "fake"), time.monotonic())
    for _ in range(2):
        await world.knows()
    assert await world.knows()


async def test_no_answer_is_known_while_a_pool_has_a_share() -> None:
    """A sample of the requests is compared with the other model."""
    world = World(canary=(FakeBackend(), 0.5))
    assert [await world.knows() for _ in range(4)] == [False] * 4


async def test_an_answer_ends_with_its_version_of_a_label_set() -> None:
    world = World()
    add_label_set(world.fake.memory, ["投诉", "咨询"], tenant_id="t_1")
    await world.learn(label_set="tickets")
    assert not await world.knows(label_set="tickets@1")
    assert not await world.knows(label_set="tickets@1")
    add_label_set(world.fake.memory, ["投诉", "咨询"], tenant_id="t_1", multi_label=True)
    world.fake.label_sets.clear()
    assert not await world.knows(label_set="tickets")
    assert await world.knows(label_set="tickets@1")


async def test_an_answer_ends_with_what_a_label_set_says_even_under_the_same_number() -> None:
    """As in a tenants file, whose versions are numbered by whoever writes it."""
    world = World()
    add_label_set(world.fake.memory, ["投诉", "咨询"], tenant_id="t_1")
    await world.learn(label_set="tickets")
    world.fake.memory.latest.clear()
    add_label_set(world.fake.memory, ["投诉", "咨询"], tenant_id="t_1", multi_label=True)
    world.fake.label_sets.clear()
    assert not await world.knows(label_set="tickets")


async def test_an_answer_is_for_what_its_tenant_takes_special_tokens_for() -> None:
    world = World()
    await world.learn(text="投诉[SEP]手机")
    assert not await world.knows(text="投诉[SEP]手机", special_tokens=TEXT)


@pytest.mark.parametrize(
    "fields",
    [
        {"text": "手" * 3_000},
        {"labels": [f"标签{number}" for number in range(MAX_PAIRS + 1)]},
        {"truncate": False},
    ],
)
async def test_large_answers_are_not_kept_nor_those_whose_length_is_asked(fields: dict[str, Any]) -> None:
    world = World()
    assert [await world.knows(**fields) for _ in range(4)] == [False] * 4


async def test_without_a_cache_nothing_is_known() -> None:
    world = World(cache_bytes=0)
    assert [await world.knows() for _ in range(4)] == [False] * 4
