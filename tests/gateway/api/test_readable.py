"""What the model does not see of a request is told: unknown tokens, texts without any token, truncation."""

from __future__ import annotations

from typing import Any

import pytest

from stores.budgets import Budget
from tests.fakes.backend import INVISIBLE, FakeBackend
from tests.fakes.gateway import COMPLAINT, add_key, add_tenant, gateway
from tests.fakes.stores import Memory
from tests.problems import assert_problem


async def test_unknown_tokens_are_told_by_text_and_by_label() -> None:
    body = {"texts": ["ab?", "????", "abc"], "labels": ["a", "b?"]}
    async with gateway() as client:
        first, again = [(await client.post("/v1/classify", json=body)).json()["results"] for _ in range(2)]
    assert [result.get("unknown_share") for result in first] == [0.3333, 1.0, None]
    assert {tuple(result["unknown_labels"]) for result in first} == {("b?",)}
    assert again == first, "a cached answer tells it as well"


async def test_an_answer_to_one_text_tells_it_too() -> None:
    async with gateway() as client:
        answer = (await client.post("/v1/classify", json=COMPLAINT | {"text": "投诉??"})).json()
        known = (await client.post("/v1/classify", json=COMPLAINT)).json()
    assert answer["unknown_share"] == 0.5
    assert known.keys().isdisjoint({"unknown_share", "unknown_labels"})


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"text": INVISIBLE, "labels": ["a", "b"]}, "text"),
        ({"texts": ["a", "b", INVISIBLE], "labels": ["a", "b"]}, "texts[2]"),
        ({"text": "a", "labels": ["a", INVISIBLE]}, "labels[1]"),
        ({"text": "a", "labels": [*"abcde", INVISIBLE]}, "labels[5]"),
    ],
)
async def test_what_has_no_token_is_refused_by_its_own_name(body: dict[str, Any], field: str) -> None:
    async with gateway(max_pairs_per_call=2) as client:
        for path in ("/v1/classify", "/v1/tokenize"):
            if path == "/v1/tokenize" and "texts" in body:
                continue
            document = assert_problem(await client.post(path, json=body), 422, "nothing_to_read")
            assert document["field"] == field


async def test_of_known_labels_only_the_unreadable_one_is_named() -> None:
    """The call to Triton has only the labels that are not cached: its indices are not the request's."""
    async with gateway() as client:
        await client.post("/v1/classify", json={"text": "a", "labels": ["a", "b"]})
        response = await client.post("/v1/classify", json={"text": "a", "labels": ["a", "b", INVISIBLE]})
    assert assert_problem(response, 422, "nothing_to_read")["field"] == "labels[2]"


@pytest.mark.parametrize(
    ("pairs", "field"),
    [([["a", "x"], ["b", "x"], [INVISIBLE, "x"]], "inputs[2]"), ([["a", "x"], ["a", INVISIBLE]], "inputs[0]")],
)
async def test_of_unrelated_pairs_the_first_with_that_text_is_named(pairs: list[list[str]], field: str) -> None:
    async with gateway() as client:
        response = await client.post("/predict", json={"inputs": pairs})
    assert assert_problem(response, 422, "nothing_to_read")["field"] == field


@pytest.mark.parametrize(
    ("path", "body", "field"),
    [
        ("/v1/classify", {"texts": ["a", "x" * 12], "labels": ["a", "b"], "max_tokens": 14}, "texts[1]"),
        ("/predict", {"inputs": [["a", "b"], ["x" * 600, "b"]]}, "inputs[1]"),
        ("/rerank", {"query": "b", "texts": ["x" * 600, "a"]}, "texts[0]"),
    ],
)
async def test_truncation_is_refused_where_the_caller_says_so(path: str, body: dict[str, Any], field: str) -> None:
    backend = FakeBackend()
    async with gateway(backend) as client:
        refused = await client.post(path, json=body | {"truncate": False})
        assert assert_problem(refused, 422, "invalid_request")["field"] == field
        assert not backend.calls, "nothing was computed for it"
        assert (await client.post(path, json=body)).status_code == 200


async def test_who_cannot_pay_for_long_pairs_is_refused_before_their_tokens_are_counted() -> None:
    memory, backend = Memory(), FakeBackend()
    key = add_key(memory, add_tenant(memory, pairs_per_minute=3))
    long = {"text": "x" * 600, "labels": ["a", "b"], "truncate": False}
    async with gateway(backend, memory, require_key=True) as client:
        cut = await client.post("/v1/classify", json=long, headers=key)
        assert assert_problem(cut, 422, "invalid_request")["field"] == "text"
        assert cut.headers["ratelimit"].startswith('"pairs";r=3'), "nothing was computed"
        await client.post("/v1/classify", json={"text": "a", "labels": ["a", "b"]}, headers=key)
        calls = len(backend.timeouts_s)
        assert_problem(await client.post("/v1/classify", json=long, headers=key), 429, "quota_exceeded")
        assert len(backend.timeouts_s) == calls


async def test_who_cannot_pay_for_long_pairs_keeps_the_budget() -> None:
    """Seen failing: each refusal took the pairs from the month's budget, and none gave them back."""
    memory = Memory()
    key = add_key(memory, add_tenant(memory, pairs_per_minute=1, budget=Budget(2)))
    long = {"text": "x" * 600, "labels": ["a", "b"], "truncate": False}
    async with gateway(memory=memory, require_key=True) as client:
        for _ in range(2):
            assert_problem(await client.post("/v1/classify", json=long, headers=key), 429, "quota_exceeded")
        assert (await client.post("/v1/classify", json={"text": "a", "labels": ["a"]}, headers=key)).is_success


async def test_a_request_that_fits_is_answered_as_ever() -> None:
    body = COMPLAINT | {"truncate": False}
    async with gateway() as client:
        assert (await client.post("/v1/classify", json=body)).json()["truncated"] is False


async def test_usage_counts_every_pair_and_says_which_were_known() -> None:
    async with gateway(memory=Memory()) as client:
        first = (await client.post("/v1/classify", json=COMPLAINT)).json()["usage"]
        more = COMPLAINT | {"labels": ["投诉", "咨询", "建议"]}
        second = (await client.post("/v1/classify", json=more)).json()["usage"]
    tokens = len(COMPLAINT["text"])
    assert first == {
        "prompt_tokens": 2 * tokens,
        "total_tokens": 2 * tokens,
        "prompt_tokens_details": {"cached_tokens": 0},
    }
    assert second["prompt_tokens"] == 3 * tokens
    assert second["prompt_tokens_details"] == {"cached_tokens": 2 * tokens}
