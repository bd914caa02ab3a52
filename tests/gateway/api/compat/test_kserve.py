"""KServe v2 at the gateway."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.fakes.gateway import COMPLAINT, gateway
from tests.problems import assert_problem
from web.kserve import HEADER_LENGTH

INFER: dict[str, Any] = {
    "inputs": [
        {"name": "text", "datatype": "BYTES", "shape": [1], "data": [COMPLAINT["text"]]},
        {"name": "labels", "datatype": "BYTES", "shape": [2], "data": COMPLAINT["labels"]},
    ]
}
PATH = "/v2/models/zero_shot/infer"


async def test_kserve_answers_json_with_json() -> None:
    async with gateway() as client:
        ours = (await client.post("/v1/classify", json=COMPLAINT)).json()
        answer = (await client.post(PATH, json=INFER | {"id": "i-1"})).json()
        assert (answer["model_name"], answer["id"]) == ("zero_shot", "i-1")
        labels, scores = answer["outputs"]
        assert labels == {"name": "ranked_labels", "datatype": "BYTES", "shape": [2], "data": ours["labels"]}
        assert scores["data"] == pytest.approx(ours["scores"])
        one = INFER | {"outputs": [{"name": "scores"}]}
        assert [out["name"] for out in (await client.post(PATH, json=one)).json()["outputs"]] == ["scores"]


async def test_the_document_has_every_member_of_an_answer() -> None:
    async with gateway() as client:
        schemas = (await client.get("/openapi.json")).json()["components"]["schemas"]
        answer = (await client.post(PATH, json=INFER | {"id": "i-1"})).json()
        asked = INFER | {"parameters": {"binary_data_output": True}}
        binary = await client.post(PATH, json=asked)
    length = int(binary.headers[HEADER_LENGTH])
    tensors = answer["outputs"] + json.loads(binary.content[:length])["outputs"]
    assert answer.keys() == schemas["InferAnswer"]["properties"].keys()
    assert answer["parameters"].keys() == schemas["InferParameters"]["properties"].keys()
    assert {name for tensor in tensors for name in tensor} == schemas["OutputTensor"]["properties"].keys()


async def test_kserve_describes_its_model() -> None:
    async with gateway() as client:
        assert "binary_tensor_data" in (await client.get("/v2")).json()["extensions"]
        model = (await client.get("/v2/models/zero_shot")).json()
        assert {one["name"] for one in model["inputs"]} >= {"text", "labels", "max_tokens"}
        assert (await client.get("/v2/health/live")).status_code == 200
        assert_problem(await client.get("/v2/models/structbert"), 404, "not_found")
        assert_problem(await client.post("/v2/models/structbert/infer", json=INFER), 404, "not_found")


async def test_kserve_has_the_version_that_its_metadata_names() -> None:
    async with gateway() as client:
        (version,) = (await client.get("/v2/models/zero_shot")).json()["versions"]
        path = f"/v2/models/zero_shot/versions/{version}"
        assert (await client.get(path)).json() == (await client.get("/v2/models/zero_shot")).json()
        ready = (await client.get("/v2/models/zero_shot/ready")).status_code
        assert (await client.get(f"{path}/ready")).status_code == ready
        plain, versioned = [(await client.post(where, json=INFER)).json() for where in (PATH, f"{path}/infer")]
        assert versioned == plain
        for unknown in ("/versions/2", "/versions/2/ready", "/versions/x"):
            assert_problem(await client.get(f"/v2/models/zero_shot{unknown}"), 404, "not_found")
        assert_problem(await client.post("/v2/models/zero_shot/versions/2/infer", json=INFER), 404, "not_found")


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
    ("body", "reason"),
    [
        ({"inputs": [{"name": "text"}]}, "required field `datatype`"),
        ({"inputs": _with(shape=["one"])}, "Expected `int`, got `str`"),
        ({"inputs": _with(datatype="FP64", parameters={"binary_data_size": 0})}, "BYTES, INT32, FP32, BOOL"),
    ],
)
async def test_a_refusal_says_what_is_wrong_with_the_tensors(body: dict[str, Any], reason: str) -> None:
    async with gateway() as client:
        answer = await client.post(PATH, json=body)
    assert_problem(answer, 422, "invalid_request")
    assert reason in answer.json()["error"]
