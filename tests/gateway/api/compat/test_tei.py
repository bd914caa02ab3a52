"""Text Embeddings Inference: `/predict`."""

from __future__ import annotations

import asyncio
import time
from datetime import date
from typing import Any

import pytest

from gateway.classification.scoring import relations
from stores.usage import DailyUsage
from tests.fakes.backend import FakeBackend
from tests.fakes.gateway import add_key, add_tenant, gateway
from tests.fakes.stores import Memory
from tests.gateway.api.compat.test_openai import until_ready
from tests.problems import assert_problem

TEXT = "我要投诉"


async def test_predict_gives_all_three_relations_of_a_pair_or_of_many() -> None:
    async with gateway() as client:
        one = (await client.post("/predict", json={"inputs": ["我要投诉", "投诉"]})).json()
        probabilities = dict(zip(("entailment", "neutral", "contradiction"), relations((2, 0, 0)), strict=True))
        assert {each["label"]: each["score"] for each in one} == pytest.approx(probabilities)
        assert one[0]["label"] == "entailment"
        pairs = [["我要投诉", "投诉"], ["你好", "投诉"], ["我要投诉", "投诉"]]
        many = (await client.post("/predict", json={"inputs": pairs, "raw_scores": True})).json()
        assert [each[0]["score"] for each in many] == [2, 0, 2]
        text = (await client.get("/metrics")).text
    assert 'wanneng_pairs_total{source="computed"} 2.0' in text, "each distinct pair once"


@pytest.mark.parametrize("told", [["entailment", "contradiction"], ["entailment"]])
async def test_predict_gives_the_relations_that_the_model_tells_apart(told: list[str]) -> None:
    """Of two-way and one-logit models; the missing logits are constants of the engine."""
    backend = FakeBackend(contract={"max_tokens": 512, "logits": told})
    async with gateway(backend=backend) as client:
        await until_ready(client)
        for raw in (False, True):
            body = {"inputs": ["我要投诉", "投诉"], "raw_scores": raw}
            answer = (await client.post("/predict", json=body)).json()
            assert [each["label"] for each in answer] == told


@pytest.mark.parametrize(
    "inputs", ["x", [], ["x"], [["x"]], ["a", "b", "c"], [["a", 1]], [["a", "b"]] * 65, [["", "b"]]]
)
async def test_what_is_no_pair_is_refused(inputs: Any) -> None:
    async with gateway() as client:
        assert_problem(await client.post("/predict", json={"inputs": inputs}), 422, "invalid_request")


async def test_a_request_of_many_hypotheses_is_one_request() -> None:
    """Of the quota of requests, in what is counted, and in the log."""
    memory, lines = Memory(), list[bytes]()
    key = add_key(memory, add_tenant(memory, requests_per_minute=10, pairs_per_minute=100))
    pairs = [[TEXT, f"第{number}类"] for number in range(16)]
    async with gateway(memory=memory, lines=lines, require_key=True) as client:
        answer = await client.post("/predict", json={"inputs": pairs}, headers=key)
        assert (answer.status_code, len(answer.json())) == (200, 16), answer.text
        assert answer.headers["ratelimit"].startswith('"pairs";r=84;')
        statuses = [
            (await client.post("/predict", json={"inputs": pairs}, headers=key)).status_code for _ in range(10)
        ]
    assert statuses == [200] * 9 + [429]
    assert len(b"".join(lines).splitlines()) == 11
    assert list(memory.usage.values()) == [DailyUsage("acme", date(2030, 1, 1), 10, 16, 9 * 16, 64)]


@pytest.mark.parametrize(
    "pairs", [[[TEXT, f"第{n}类"] for n in range(16)], [[f"文{n}", f"第{n}类"] for n in range(16)]]
)
async def test_all_pairs_of_a_request_have_one_deadline(pairs: list[list[str]]) -> None:
    backend = FakeBackend(delay_s=60)
    async with gateway(backend, max_calls_per_request=16, max_pairs_per_call=4, max_tokens_per_call=128) as client:
        began = time.monotonic()
        async with asyncio.timeout(5):
            refused = await client.post("/predict", json={"inputs": pairs}, headers={"X-Request-Timeout": "0.2"})
        ended = time.monotonic()
    assert_problem(refused, 504, "deadline_exceeded")
    calls = [call for call in backend.calls if call.pairs[0].label.startswith("第")]
    assert sum(len(call.pairs) for call in calls) == 16
    assert ended - began < 2, "a multiple of the time would be 3.2 s"
