"""The doors that other tools know, each a question like any other."""

from __future__ import annotations

import json
import math
from typing import Any

import httpx
import pytest

from gateway.scoring import relations
from tests.gateway.test_api import GOOD, assert_problem, gateway
from tests.gateway.test_quota_api import with_quota
from tests.gateway.test_tenant_api import gateway as gateway_with_tenants

HF = {"inputs": GOOD["text"], "parameters": {"candidate_labels": GOOD["labels"]}}
INFER = {
    "inputs": [
        {"name": "text", "datatype": "BYTES", "shape": [1], "data": [GOOD["text"]]},
        {"name": "labels", "datatype": "BYTES", "shape": [2], "data": GOOD["labels"]},
    ]
}
PATH = "/v2/models/zero_shot/infer"


async def test_hugging_faces_body_gets_the_same_scores_in_both_shapes() -> None:
    async with gateway() as client:
        ours = (await client.post("/v1/classify", json=GOOD)).json()
        elements = (await client.post("/hf/inference", json=HF)).json()
        pipeline = (await client.post("/hf/pipeline", json=HF)).json()
    assert pipeline == {"sequence": GOOD["text"], "labels": ours["labels"], "scores": ours["scores"]}
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


@pytest.mark.parametrize(
    "inputs", ["x", [], ["x"], [["x"]], ["a", "b", "c"], [["a", 1]], [["a", "b"]] * 65, [["", "b"]]]
)
async def test_what_is_no_pair_is_refused(inputs: Any) -> None:
    async with gateway() as client:
        assert_problem(await client.post("/predict", json={"inputs": inputs}), 422, "invalid_request")


async def test_rerank_sorts_texts_by_what_they_entail() -> None:
    body = {"query": "投诉", "texts": ["你好", "投", "我要投诉"], "return_text": True}
    async with gateway() as client:
        ranked = (await client.post("/rerank", json=body)).json()
        assert [(one["index"], one["text"]) for one in ranked] == [(2, "我要投诉"), (1, "投"), (0, "你好")]
        assert ranked[0]["score"] == pytest.approx(math.exp(2) / (math.exp(2) + 2))
        plain = (await client.post("/rerank", json=body | {"return_text": False, "raw_scores": True})).json()
        assert plain[0] == {"index": 2, "score": 2.0}


async def test_kserve_answers_json_with_json() -> None:
    async with gateway() as client:
        ours = (await client.post("/v1/classify", json=GOOD)).json()
        answer = (await client.post(PATH, json=INFER | {"id": "i-1"})).json()
        assert (answer["model_name"], answer["id"]) == ("zero_shot", "i-1")
        labels, scores = answer["outputs"]
        assert labels == {"name": "ranked_labels", "datatype": "BYTES", "shape": [2], "data": ours["labels"]}
        assert scores["data"] == pytest.approx(ours["scores"])
        one = INFER | {"outputs": [{"name": "scores"}]}
        assert [out["name"] for out in (await client.post(PATH, json=one)).json()["outputs"]] == ["scores"]


async def test_kserve_describes_its_model() -> None:
    async with gateway() as client:
        assert "binary_tensor_data" in (await client.get("/v2")).json()["extensions"]
        model = (await client.get("/v2/models/zero_shot")).json()
        assert {one["name"] for one in model["inputs"]} >= {"text", "labels", "max_tokens"}
        assert (await client.get("/v2/health/live")).status_code == 200
        assert_problem(await client.get("/v2/models/structbert"), 404, "not_found")
        assert_problem(await client.post("/v2/models/structbert/infer", json=INFER), 404, "not_found")


def _with(**changes: Any) -> list[dict[str, Any]]:
    return [*INFER["inputs"], {"name": "max_tokens", "datatype": "INT32", "shape": [1], "data": [64]} | changes]


@pytest.mark.parametrize(
    ("body", "header"),
    [
        (b"", None),
        (b"{", None),
        (json.dumps({"inputs": INFER["inputs"][:1]}).encode(), None),
        (json.dumps({"inputs": _with(name="colour")}).encode(), None),
        (json.dumps({"inputs": _with(data=["64"])}).encode(), None),
        (json.dumps({"inputs": _with(data=[64, 64])}).encode(), None),
        (json.dumps({"inputs": _with(data=None)}).encode(), None),
        (json.dumps({"inputs": _with(shape=[5])}).encode(), None),
        (json.dumps({"inputs": _with(parameters={"binary_data_size": 4})}).encode(), None),
        (json.dumps({"inputs": _with(parameters={"binary_data_size": -4})}).encode(), None),
        (json.dumps(INFER | {"outputs": [{"name": "logits"}]}).encode(), None),
        (json.dumps(INFER).encode(), "999999"),
        (json.dumps(INFER).encode(), "-1"),
        (json.dumps(INFER).encode(), "x"),
        (b'{"inputs": [' + b"[" * 50_000, None),
    ],
)
async def test_what_is_no_inference_is_refused(body: bytes, header: str | None) -> None:
    headers = {} if header is None else {"Inference-Header-Content-Length": header}
    async with gateway() as client:
        assert_problem(await client.post(PATH, content=body, headers=headers), 422, "invalid_request")


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/hf/inference", HF),
        ("/hf/pipeline", HF),
        ("/predict", {"inputs": [["a", "b"], ["c", "b"]]}),
        ("/rerank", {"query": "b", "texts": ["a", "c"]}),
        (PATH, INFER),
    ],
)
async def test_every_door_asks_for_the_key_and_takes_from_the_quota(path: str, body: Any) -> None:
    async with gateway_with_tenants() as client:
        assert_problem(await client.post(path, json=body), 401, "unauthorized")
        key = await with_quota(client, pairs_per_minute=2)
        answer: httpx.Response = await client.post(path, json=body, headers=key)
        assert answer.headers["ratelimit"].startswith('"pairs";r=0;'), answer.text
