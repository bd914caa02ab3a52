"""vLLM's `/score`, `/v1/score` and `/classify`."""

from __future__ import annotations

import math
from typing import Any

import pytest

from tests.fakes.gateway import COMPLAINT, add_label_set, gateway
from tests.fakes.stores import Memory
from tests.problems import assert_problem

TEXT = "我要投诉"


def entailment(hits: int) -> float:
    """Of the fake's logits."""
    return math.exp(hits) / (math.exp(hits) + 2)


@pytest.mark.parametrize("path", ["/score", "/v1/score"])
@pytest.mark.parametrize(
    ("body", "hits"),
    [
        ({"text_1": TEXT, "text_2": "投诉"}, [2]),
        ({"text_1": TEXT, "text_2": ["投诉", "咨询", "投"]}, [2, 0, 1]),
        ({"text_1": [TEXT, "你好"], "text_2": ["投诉", "投诉"]}, [2, 0]),
        ({"data_1": TEXT, "data_2": ["诉"]}, [1]),
        ({"queries": "投诉", "documents": ["投", TEXT]}, [1, 2]),
        ({"queries": ["投诉", "你好"], "documents": [TEXT, {"text": "你"}]}, [2, 1]),
        ({"queries": "投诉", "items": TEXT}, [2]),
    ],
)
async def test_a_score_is_the_probability_of_entailment(path: str, body: dict[str, Any], hits: list[int]) -> None:
    async with gateway() as client:
        answer = (await client.post(path, json=body | {"model": "any", "truncate_prompt_tokens": -1})).json()
        raw = (await client.post(path, json=body | {"use_activation": False})).json()
    assert [each["score"] for each in answer["data"]] == pytest.approx(list(map(entailment, hits)))
    assert [each["index"] for each in answer["data"]] == list(range(len(hits)))
    assert (answer["object"], answer["model"], answer["data"][0]["object"]) == ("list", "fake", "score")
    assert answer["usage"]["prompt_tokens"] == answer["usage"]["total_tokens"] > 0
    assert [each["score"] for each in raw["data"]] == hits


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "text_1"),
        ({"text_1": "a"}, "text_1"),
        ({"text_1": "a", "text_2": "b", "queries": "a", "documents": "b"}, "text_1"),
        ({"text_1": ["a", "b"], "text_2": ["c", "d", "e"]}, "text_1"),
        ({"text_1": ["a", "b"], "text_2": "c"}, "text_1"),
        ({"queries": ["a", "b"], "documents": ["c"]}, "documents"),
        ({"text_1": [], "text_2": []}, "text_1"),
        ({"text_1": "a", "text_2": {"content": []}}, "text_2.content"),
        ({"text_1": "a", "text_2": ["b", " "]}, "text_2[1]"),
        ({"queries": "a", "documents": ["b", ""]}, "documents[1]"),
        ({"text_1": "a", "text_2": "b", "truncate_prompt_tokens": 16}, "truncate_prompt_tokens"),
    ],
)
async def test_what_is_no_list_of_pairs_is_refused(body: dict[str, Any], field: str) -> None:
    async with gateway() as client:
        refused = assert_problem(await client.post("/score", json=body), 422, "invalid_request")
    assert refused["field"] == refused["error"]["param"] == field


async def test_truncation_is_told() -> None:
    async with gateway() as client:
        scored = (await client.post("/score", json={"text_1": ["短", "长" * 600], "text_2": ["a", "b"]})).json()
        body = {"input": ["短", "长" * 600], "labels": ["a", "b"]}
        classified = (await client.post("/classify", json=body)).json()
    for answer in (scored, classified):
        assert [each.get("truncated") for each in answer["data"]] == [None, True]


async def test_classify_gives_the_best_label_and_the_probabilities_in_the_sets_order() -> None:
    memory = Memory()
    labels = ["咨询", "投诉", "建议"]
    add_label_set(memory, labels, threshold=0.5)
    async with gateway(memory=memory) as client:
        ours = (await client.post("/v1/classify", json=COMPLAINT | {"labels": labels})).json()
        answer = (await client.post("/classify", json={"model": "tickets", "input": [TEXT, "你好"]})).json()
        given = (await client.post("/classify", json={"input": TEXT, "labels": labels})).json()
    score_of = dict(zip(ours["labels"], ours["scores"], strict=True))
    first, second = answer["data"]
    assert first == {
        "index": 0,
        "label": "投诉",
        "probs": pytest.approx([score_of[label] for label in labels]),
        "num_classes": 3,
        "none_of_these": False,
    }
    assert second["none_of_these"]
    assert answer["model"] == "tickets@1"
    assert answer["usage"]["total_tokens"] == 3 * (len(TEXT) + len("你好"))
    assert (given["model"], given["data"]) == ("fake", [{k: v for k, v in first.items() if k != "none_of_these"}])


@pytest.mark.parametrize(
    ("body", "status", "word"),
    [
        ({"input": TEXT}, 422, "model"),
        ({"input": TEXT, "model": "nobody-has-this"}, 404, "label set"),
        ({"input": [1, 2], "labels": ["a"]}, 422, "input"),
        ({"input": "", "labels": ["a"]}, 422, "empty"),
        ({"input": TEXT, "labels": ["a"], "use_activation": False}, 422, "use_activation"),
        ({"input": TEXT, "labels": ["a"], "truncate_prompt_tokens": 8}, 422, "truncate_prompt_tokens"),
    ],
)
async def test_what_cannot_be_classified_is_refused(body: dict[str, Any], status: int, word: str) -> None:
    async with gateway() as client:
        refused = await client.post("/classify", json=body)
    code = "not_found" if status == 404 else "invalid_request"
    assert word in assert_problem(refused, status, code)["error"]["message"]
