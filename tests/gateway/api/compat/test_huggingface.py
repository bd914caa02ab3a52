"""Hugging Face's zero-shot body, in the shapes of its Inference API and of the `transformers` pipeline."""

from __future__ import annotations

from typing import Any

from tests.fakes.gateway import COMPLAINT, gateway
from tests.problems import assert_problem

HF = {"inputs": COMPLAINT["text"], "parameters": {"candidate_labels": COMPLAINT["labels"]}}


async def test_hugging_faces_body_gets_the_same_scores_in_both_shapes() -> None:
    async with gateway() as client:
        ours = (await client.post("/v1/classify", json=COMPLAINT)).json()
        elements = (await client.post("/hf/inference", json=HF)).json()
        pipeline = (await client.post("/hf/pipeline", json=HF)).json()
    assert pipeline == {"sequence": COMPLAINT["text"], "labels": ours["labels"], "scores": ours["scores"]}
    wanted = [
        {"label": label, "score": score} for label, score in zip(ours["labels"], ours["scores"], strict=True)
    ]
    assert elements == wanted


async def test_hugging_faces_parameters_do_what_they_say() -> None:
    several: dict[str, Any] = {
        "inputs": ["a", "b"],
        "parameters": {"candidate_labels": "投诉,咨询"},
        "options": {},
    }
    async with gateway() as client:
        assert len((await client.post("/hf/inference", json=several)).json()) == 2
        assert [one["sequence"] for one in (await client.post("/hf/pipeline", json=several)).json()] == ["a", "b"]
        each = HF | {"parameters": {"candidate_labels": ["投诉", "咨询"], "multi_label": True}}
        scores = (await client.post("/hf/pipeline", json=each)).json()["scores"]
        assert sum(scores) > 1.2
        wrong = HF | {"parameters": {"candidate_labels": ["a"], "hypothesis_template": "none"}}
        assert_problem(await client.post("/hf/pipeline", json=wrong), 422, "invalid_request")
        assert_problem(await client.post("/hf/inference", json={"inputs": "x"}), 422, "invalid_request")
