"""Options of compatible APIs: a table of all bodies."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import httpx
import pytest

from gateway.api.compat.kserve import OUTPUTS
from tests.fakes.gateway import gateway
from tests.gateway.api.compat.test_kserve import INFER, PATH
from tests.gateway.api.test_authentication import CLASSIFICATIONS
from tests.problems import assert_problem

LONG, LABELS = "长" * 600, ["投", "诉"]
"""A text beyond the token limit, which is cut unless `truncate` is false."""
PARAMETERS = {"candidate_labels": LABELS}
BODIES: list[tuple[str, dict[str, Any]]] = [
    ("/hf/inference", {"inputs": LONG, "parameters": PARAMETERS}),
    ("/hf/pipeline", {"inputs": LONG, "parameters": PARAMETERS}),
    ("/predict", {"inputs": [LONG, "投"]}),
    ("/rerank", {"query": "投", "texts": [LONG, "诉"]}),
    ("/rerank", {"query": "投", "documents": [LONG, "诉"]}),
    ("/v1/rerank", {"query": "投", "documents": [LONG, "诉"]}),
    ("/v2/rerank", {"query": "投", "documents": [LONG, "诉"]}),
    ("/score", {"text_1": LONG, "text_2": "投"}),
    ("/v1/score", {"text_1": LONG, "text_2": "投"}),
    ("/classify", {"input": LONG, "labels": LABELS}),
    ("/v1/moderations", {"input": LONG, "labels": LABELS}),
    ("/v1/flexible/infers", {"args": [LONG, LABELS]}),
]
NOT_THE_DEFAULT = "return_documents"
"""Xinference's clients send null where they want no documents."""
OF_ONE_ANSWER = {"id", "created", "usage"}


def told(answer: httpx.Response) -> object:
    """Without what differs from answer to answer."""
    assert answer.status_code == 200, answer.text
    document = answer.json()
    if isinstance(document, dict):
        return {name: value for name, value in document.items() if name not in OF_ONE_ANSWER}
    return document


def options_of(document: Mapping[str, Any], path: str) -> tuple[set[str], set[str]]:
    """The names of the fields that have a default, of the body and of its `parameters`."""

    def optional(reference: str) -> set[str]:
        schema = document["components"]["schemas"][reference.rpartition("/")[2]]
        return schema["properties"].keys() - set(schema.get("required", ()))

    content = document["paths"][path]["post"]["requestBody"]["content"]["application/json"]
    name = content["schema"]["$ref"]
    nested = document["components"]["schemas"][name.rpartition("/")[2]]["properties"].get("parameters", {})
    return optional(name), optional(nested["$ref"]) if nested else set()


def test_the_table_has_every_compatible_api() -> None:
    others = {path for path, _ in CLASSIFICATIONS if path != "/v1/classify" and not path.startswith("/v2/models/")}
    assert {path for path, _ in BODIES} == others


@pytest.mark.parametrize(("path", "body"), BODIES)
async def test_null_is_the_default_of_every_option(path: str, body: dict[str, Any]) -> None:
    async with gateway() as client:
        of_body, of_parameters = options_of((await client.get("/openapi.json")).json(), path)
        plain = told(await client.post(path, json=body))
        for name in sorted(of_body - body.keys() - {NOT_THE_DEFAULT}):
            assert told(await client.post(path, json=body | {name: None})) == plain, name
        for name in sorted(of_parameters - PARAMETERS.keys()):
            answer = await client.post(path, json=body | {"parameters": PARAMETERS | {name: None}})
            assert told(answer) == plain, name
    assert "truncate" in of_body | of_parameters


NULLS: list[dict[str, Any]] = [
    {"id": None},
    {"outputs": None},
    {"parameters": None},
    {"parameters": {"truncate": None}},
    {"parameters": {"binary_data_output": None}},
    {"outputs": [{"name": name, "parameters": None} for name in OUTPUTS]},
    {"outputs": [{"name": name, "parameters": {"binary_data": None}} for name in OUTPUTS]},
    {"inputs": [tensor | {"parameters": None} for tensor in INFER["inputs"]]},
    {"inputs": [tensor | {"parameters": {"binary_data_size": None}} for tensor in INFER["inputs"]]},
]


@pytest.mark.parametrize("null", NULLS, ids=lambda null: next(iter(null)))
async def test_null_is_the_default_of_every_optional_field_of_kserve(null: dict[str, Any]) -> None:
    async with gateway() as client:
        assert told(await client.post(PATH, json=INFER | null)) == told(await client.post(PATH, json=INFER))


@pytest.mark.parametrize("path", ["/predict", "/rerank"])
async def test_cutting_the_beginning_of_a_text_is_refused(path: str) -> None:
    body = {"inputs": ["a", "b"], "query": "a", "texts": ["b"]}
    async with gateway() as client:
        for direction in ("right", "Right"):
            answer = await client.post(path, json=body | {"truncation_direction": direction})
            assert answer.status_code == 200, answer.text
        refused = await client.post(path, json=body | {"truncation_direction": "left"})
    assert "truncation_direction" in assert_problem(refused, 422, "invalid_request")["detail"]
