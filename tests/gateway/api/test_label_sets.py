"""Requests that name a label set of their tenant."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from typing import Any

import pytest

from stores.correction import Correction
from tests.fakes.gateway import add_key, add_label_set, add_tenant, gateway
from tests.fakes.stores import Memory
from tests.problems import assert_problem

TICKETS: list[str | tuple[str, str]] = ["投诉", ("咨询", "用户在咨询")]
"""A label, and one with a hypothesis of its own."""


async def test_a_request_names_a_set_or_a_version_of_it() -> None:
    memory = Memory()
    add_label_set(memory, TICKETS)
    add_label_set(memory, ["a", "b", "c"])
    async with gateway(memory=memory) as client:
        for reference, version, count in (("tickets", 2, 3), ("tickets@1", 1, 2)):
            answer = (await client.post("/v1/classify", json={"text": "投诉", "label_set": reference})).json()
            assert answer["label_set"] == f"tickets@{version}"
            assert len(answer["labels"]) == count


async def test_a_label_is_asked_by_its_hypothesis_and_answered_by_its_name() -> None:
    """The fake counts characters of the hypothesis in the text: `用户在咨询` has five, `投诉` two."""
    memory = Memory()
    add_label_set(memory, TICKETS)
    async with gateway(memory=memory) as client:
        body = {"text": "投诉用户在咨询", "label_set": "tickets"}
        answer = (await client.post("/v1/classify", json=body)).json()
        counted = (await client.post("/v1/tokenize", json=body)).json()
    assert answer["labels"] == ["咨询", "投诉"]
    assert [(label["label"], label["tokens"]) for label in counted["labels"]] == [("投诉", 12), ("咨询", 15)]


async def test_a_text_below_the_threshold_is_none_of_these() -> None:
    """Entailment of 5 against two zeros is 0.987, of 0 it is 0.333: each pair's own, not among the labels."""
    memory = Memory()
    add_label_set(memory, ["用户在咨询"], threshold=0.9)
    add_label_set(memory, ["用户在咨询"])
    async with gateway(memory=memory) as client:
        for text, none in (("用户在咨询", False), ("天气", True)):
            body = {"text": text, "label_set": "tickets@1"}
            assert (await client.post("/v1/classify", json=body)).json()["none_of_these"] is none
        answer = (await client.post("/v1/classify", json={"text": "天气", "label_set": "tickets@2"})).json()
        assert "none_of_these" not in answer


async def test_the_threshold_is_on_a_pairs_own_probability() -> None:
    """`天` entails with 1 against two zeros, 0.58, though among the two labels it has 0.73."""
    memory = Memory()
    add_label_set(memory, ["天", "用户在咨询"], threshold=0.65)
    async with gateway(memory=memory) as client:
        answer = (await client.post("/v1/classify", json={"text": "天", "label_set": "tickets"})).json()
    assert answer["scores"][0] == pytest.approx(0.731, abs=0.001)
    assert answer["none_of_these"] is True


async def test_what_else_a_set_says_holds() -> None:
    memory = Memory()
    add_label_set(memory, TICKETS, hypothesis_template="这是{}。", multi_label=True, max_tokens=8)
    async with gateway(memory=memory) as client:
        body = {"text": "投诉" * 10, "label_set": "tickets"}
        answer = (await client.post("/v1/classify", json=body)).json()
        counted = (await client.post("/v1/tokenize", json=body)).json()
    assert sum(answer["scores"]) > 1
    assert answer["cut"]["max_tokens"] == 8
    assert counted["max_tokens"] == 8


async def test_another_tenants_set_does_not_exist() -> None:
    memory = Memory()
    key, other = (add_key(memory, add_tenant(memory, name)) for name in ("acme", "other"))
    add_label_set(memory, TICKETS, tenant_id="acme")
    body = {"text": "x", "label_set": "tickets"}
    async with gateway(memory=memory, require_key=True) as client:
        assert (await client.post("/v1/classify", json=body, headers=key)).status_code == 200
        assert_problem(await client.post("/v1/classify", json=body, headers=other), 404, "not_found")
        assert_problem(await client.post("/v1/tokenize", json=body, headers=other), 404, "not_found")


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"text": "x", "label_set": "tickets", "labels": ["a"]}, "label_set"),
        ({"text": "x", "label_set": "tickets", "multi_label": True}, "multi_label"),
        ({"text": "x", "label_set": "tickets", "hypothesis_template": "這{}"}, "hypothesis_template"),
        ({"text": "x", "label_set": "tickets", "max_tokens": 64}, "max_tokens"),
        ({"text": "x"}, "labels"),
    ],
)
async def test_what_a_set_says_is_not_said_twice(body: dict[str, Any], field: str) -> None:
    memory = Memory()
    add_label_set(memory, TICKETS)
    async with gateway(memory=memory) as client:
        problem = assert_problem(await client.post("/v1/classify", json=body), 422, "invalid_request")
    assert problem["field"] == field


async def test_a_new_version_never_meets_an_old_score() -> None:
    """The same label with another hypothesis is another pair."""
    memory = Memory()
    add_label_set(memory, ["投诉", ("别的", "天")])
    add_label_set(memory, ["投诉", ("别的", "投诉天天投诉天天")])
    async with gateway(memory=memory) as client:
        old, new = [
            (await client.post("/v1/classify", json={"text": "天天投诉", "label_set": f"tickets@{n}"})).json()
            for n in (1, 2)
        ]
    assert (old["labels"][0], new["labels"][0]) == ("投诉", "别的")
    assert new["pairs"] == {"computed": 1, "cached": 1}


CORRECTION = Correction((0.0, 3.0), 2.0)
"""Half of each label's distance to the mean, and 3 more for the second label."""


@pytest.mark.parametrize("multi_label", [False, True])
async def test_a_correction_changes_scores_and_the_labels_own_probabilities(*, multi_label: bool) -> None:
    """`天` entails `天` with 1 and `投诉` with 0. Centred: ±0.5 becomes 0.75 and 3.25; one by one: 0.5 and 3."""
    memory = Memory()
    add_label_set(memory, ["天", "投诉"], multi_label=multi_label, threshold=0.9, correction=CORRECTION)
    async with gateway(memory=memory) as client:
        body = {"texts": ["天"] * 2, "label_set": "tickets", "entailment": True}
        answers = [(await client.post("/v1/classify", json=body)).json() for _ in range(2)]
    logits = (0.5, 3.0) if multi_label else (0.75, 3.25)
    first, second = logits
    for answer in answers:
        assert answer["label_set"] == "tickets@1"
        for result in answer["results"]:
            assert result["labels"] == ["投诉", "天"]
            own = [math.exp(logit) / (math.exp(logit) + 2) for logit in (second, first)]
            assert result["entailment"] == pytest.approx(own)
            assert result["none_of_these"] is (own[0] < 0.9)
            by_label = dict(zip(result["labels"], result["scores"], strict=True))
            expected = 1 / (1 + math.exp(-second)) if multi_label else 1 / (1 + math.exp(first - second))
            assert by_label["投诉"] == pytest.approx(expected)
    assert answers[1]["pairs"] == {"computed": 0, "cached": 4}


async def test_a_map_lets_one_label_speak_for_another() -> None:
    """Centred logits of 0.5 and -0.5: the second label's rise by 4 times the first one's."""
    memory = Memory()
    add_label_set(memory, ["天", "投诉"], correction=Correction((0.0, 0.0), 1.0, ((0.0, 0.0), (4.0, 0.0))))
    async with gateway(memory=memory) as client:
        answer = (await client.post("/v1/classify", json={"text": "天", "label_set": "tickets"})).json()
    assert answer["labels"] == ["投诉", "天"]
    assert answer["scores"][0] == pytest.approx(1 / (1 + math.exp(-1)))


BEST: dict[str, Callable[[Any], str]] = {
    "/v1/classify": lambda answer: answer["labels"][0],
    "/v1/flexible/infers": lambda answer: answer["labels"][0],
    "/classify": lambda answer: answer["data"][0]["label"],
    "/v1/moderations": lambda answer: max(
        answer["results"][0]["category_scores"], key=answer["results"][0]["category_scores"].get
    ),
}


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/v1/moderations", {"model": "tickets", "input": "天"}),
        ("/classify", {"model": "tickets", "input": "天"}),
        ("/v1/classify", {"label_set": "tickets", "text": "天"}),
        ("/v1/flexible/infers", {"model": "tickets", "sequences": "天"}),
    ],
)
async def test_every_api_that_takes_a_label_set_applies_its_correction(path: str, body: dict[str, Any]) -> None:
    memory = Memory()
    add_label_set(memory, ["天", "投诉"])
    add_label_set(memory, ["天", "投诉"], correction=CORRECTION)
    text = json.dumps(body)
    async with gateway(memory=memory) as client:
        plain, corrected = [
            (await client.post(path, json=json.loads(text.replace("tickets", name)))).json()
            for name in ("tickets@1", "tickets@2")
        ]
    assert BEST[path](plain) == "天"
    assert BEST[path](corrected) == "投诉"
