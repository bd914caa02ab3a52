"""Tokens: how calls are cut by them, what they cost of a quota, and what takes its turn for them."""

from __future__ import annotations

import asyncio

import pytest

from gateway.classification.pairs import PairList, Row, missing_of, split_calls
from gateway.classification.tokens import MIN_PAIR_TOKENS, estimate_tokens, pair_tokens
from gateway.errors import QuotaExceeded
from gateway.scheduling.lane import Load
from gateway.triton.backend import InferenceCall, TokenCounts
from stores.tenants import Quota
from tests.fakes.backend import FakeBackend
from tests.fakes.gateway import FakeService, gateway

MAX_CALL = Load(64, 2_048)


def cut(text: str, labels: int, max_tokens: int = 512) -> list[Load]:
    row = Row(text, tuple(f"标{number:02}" for number in range(labels)))
    calls = split_calls(missing_of(PairList((row,), "{}", None), [], [None] * labels), MAX_CALL, max_tokens)
    assert [pair.label for call in calls for pair in call.pairs] == list(range(labels))
    return [call.load for call in calls]


def test_an_estimate_is_a_token_for_each_character_or_for_four_of_english() -> None:
    assert estimate_tokens("这个手机质量太差") == 8
    assert estimate_tokens("twelve words") == 4
    assert pair_tokens(1_000, 5, 512) == 512


def test_short_pairs_fill_a_call_and_long_ones_are_cut_to_as_many_tokens() -> None:
    assert cut("短", 130) == [Load(64, 64 * MIN_PAIR_TOKENS)] * 2 + [Load(2, 2 * MIN_PAIR_TOKENS)]
    long = cut("长" * 300, 64)
    assert all(load.tokens <= MAX_CALL.tokens for load in long)
    assert 10 <= len(long) <= 13


def test_a_text_that_is_long_to_encode_is_encoded_for_few_calls() -> None:
    calls = cut("长" * 100_000, 64)
    assert len(calls) <= 4
    assert all(load.tokens > 100_000 / 16 for load in calls)


async def test_tokens_are_charged_as_estimated_and_corrected_by_what_the_engine_counted() -> None:
    """The fake engine counts a token for each character of the text alone."""
    world, quota = FakeService(), Quota(tokens_per_minute=1_000)
    await world.classify(("投", "诉"), "手" * 100, quota=quota)
    bucket = world.quotas._bucket("t_1", "tokens", 1_000)
    assert bucket.level(0.0) == 1_000 - 2 * 100
    with pytest.raises(QuotaExceeded) as refused:
        await world.classify(("投", "诉"), "机" * 450, quota=quota)
    assert refused.value.retry_after_s is not None
    assert bucket.level(0.0) == 1_000 - 2 * 100, "nothing is taken by what was refused"
    # What is known costs no tokens.
    await world.classify(("投", "诉"), "手" * 100, quota=quota)
    assert bucket.level(0.0) == 1_000 - 2 * 100


class CountingBackend(FakeBackend):
    """Counts tokens one after another, as told by `gate`."""

    counting = 0
    max_counting = 0

    async def count_tokens(self, call: InferenceCall) -> TokenCounts:
        self.counting += 1
        self.max_counting = max(self.max_counting, self.counting)
        await asyncio.sleep(0.02)
        self.counting -= 1
        return await super().count_tokens(call)


async def test_who_has_more_tokens_than_estimated_gets_no_larger_share() -> None:
    """Two tenants ask without pause; one with letters in which the engine counts four times the estimate.

    Seen failing without the correction, with a share of 79%.
    """
    world = FakeService(FakeBackend(delay_s=0.001), window=400)
    texts = {"estimated": "手", "underestimated": "x"}
    done = dict.fromkeys(texts, 0)

    async def ask(tenant: str, number: int) -> None:
        for turn in range(1_000):
            text = f"{number:02}{turn:06}" + texts[tenant] * 150
            done[tenant] += (await world.classify(("投", "诉"), text, tenant=tenant)).usage.prompt_tokens
            if sum(done.values()) > 60_000:
                return

    await asyncio.gather(*(ask(tenant, number) for tenant in texts for number in range(12)))
    assert 0.45 <= done["underestimated"] / sum(done.values()) <= 0.55


async def test_a_count_that_nobody_waits_for_keeps_its_turn_until_triton_has_answered() -> None:
    """Seen failing: callers of little patience had Triton tokenize one long text beside the other."""
    backend = CountingBackend()
    body = {"text": "手机" * 5_000, "labels": ["投诉"]}
    async with gateway(backend, deadline_s=0.005) as client:
        answers = [await client.post("/v1/tokenize", json=body) for _ in range(10)]
    assert {answer.status_code for answer in answers} == {504}
    assert backend.max_counting == 1


async def test_counts_take_turns_beside_what_the_engine_computes() -> None:
    """A count of a long text delays no classification, and many counts not each other's tokenizer."""
    backend = CountingBackend(gate=asyncio.Event())
    body = {"text": "手机" * 5_000, "labels": ["投诉"]}
    async with gateway(backend, tokens_per_replica=64) as client:
        busy = asyncio.create_task(client.post("/v1/classify", json={"text": "忙", "labels": ["投", "诉"]}))
        while not backend.calls:
            await asyncio.sleep(0.01)
        counts = await asyncio.gather(*(client.post("/v1/tokenize", json=body) for _ in range(5)))
        assert {count.status_code for count in counts} == {200}
        assert backend.max_counting == 1
        assert not busy.done()
        assert backend.gate is not None
        backend.gate.set()
        assert (await busy).status_code == 200
