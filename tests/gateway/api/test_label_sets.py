"""Requests that name a label set of their tenant."""

from __future__ import annotations

from typing import Any

import pytest

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
