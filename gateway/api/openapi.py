"""The OpenAPI document: the table of operations, with schemas out of the structs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from gateway.api.answers import json_answer, route
from gateway.api.operations import EXAMPLES, OPERATIONS, OPERATOR, SET, Operation
from gateway.api.problems import CONTENT_TYPE

FORM: dict[str, Any] = {
    "type": "object",
    "properties": {"file": {"type": "string", "format": "binary"}, "purpose": {"const": "batch"}},
    "required": ["file", "purpose"],
}
TENSOR: dict[str, Any] = {
    "type": "object",
    "properties": {
        "name": {"enum": ["text", "labels", "hypothesis_template", "multi_label", "max_tokens"]},
        "datatype": {"enum": ["BYTES", "BOOL", "INT32"]},
        "shape": {"type": "array", "items": {"type": "integer"}},
        "data": {"type": "array"},
    },
    "required": ["name", "datatype", "shape", "data"],
}
INFER: dict[str, Any] = {
    "type": "object",
    "properties": {"inputs": {"type": "array", "items": TENSOR, "minItems": 2}},
    "required": ["inputs"],
    "examples": [
        {
            "inputs": [
                {"name": "text", "datatype": "BYTES", "shape": [1], "data": ["要求退款"]},
                {"name": "labels", "datatype": "BYTES", "shape": [2], "data": ["投诉", "咨询"]},
            ]
        }
    ],
}
"""KServe v2 as JSON; binary tensors may stand behind it (gateway/kserve.py)."""
BY_HAND = {
    ("POST", "/v1/files"): ("multipart/form-data", FORM),
    ("POST", "/v2/models/{model}/infer"): ("application/json", INFER),
}
"""Bodies that no struct describes."""
PROBLEM: dict[str, Any] = {
    "title": "Problem",
    "description": "RFC 9457, with a code for programs.",
    "type": "object",
    "properties": {
        "type": {"type": "string"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string"},
        "instance": {"type": "string"},
        "code": {"type": "string"},
        "request_id": {"type": "string"},
        "field": {"type": "string"},
    },
    "required": ["type", "title", "status", "detail", "instance", "code", "request_id"],
}


class OpenApiEndpoint:
    """`GET /openapi.json`."""

    def __init__(self) -> None:
        self._document = document()

    def routes(self) -> list[Route]:
        return [route("GET", "/openapi.json", self.get)]

    async def get(self, request: Request) -> Response:
        return json_answer(self._document)


def document() -> dict[str, Any]:
    """OpenAPI 3.1 of `OPERATIONS`."""
    kinds = {kind for one in OPERATIONS for kind in (*([one.body] if one.body else []), *one.answers)}
    ordered = sorted(kinds, key=str)
    references, components = msgspec.json.schema_components(ordered, ref_template="#/components/schemas/{name}")
    schemas = dict(zip(ordered, references, strict=True))
    for kind, example in EXAMPLES.items():
        components[kind.__name__]["examples"] = [example]
    paths: dict[str, dict[str, Any]] = {}
    for one in OPERATIONS:
        paths.setdefault(one.path, {})[one.method.lower()] = _described(one, schemas)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "wanneng",
            "version": "1",
            "description": "Zero-shot classification: any text, any labels, a score for each.",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "paths": paths,
        "components": {
            "schemas": components | {"Problem": PROBLEM},
            "securitySchemes": {
                "tenant": {"type": "http", "scheme": "bearer", "description": "A tenant's key, wn_…"},
                "operator": {"type": "http", "scheme": "bearer", "description": "The admin key."},
            },
        },
    }


def _described(one: Operation, schemas: Mapping[Any, Any]) -> dict[str, Any]:
    names = [part[1:-1] for part in one.path.split("/") if part.startswith("{")]
    parameters = [{"name": n, "in": "path", "required": True, "schema": _named(n)} for n in names]
    answer: dict[str, Any] = {"description": "Done"}
    if one.answers:
        choices = [schemas[kind] for kind in one.answers]
        answer["content"] = {one.media_type: {"schema": choices[0] if len(choices) == 1 else {"oneOf": choices}}}
    responses = {str(one.status): answer}
    if one.method == "PUT" and one.path == SET:
        responses["201"] = answer
    problem = {CONTENT_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}}
    described: dict[str, Any] = {
        "summary": one.summary,
        "operationId": f"{one.method.lower()}{one.path}".translate(_PLAIN).strip("_"),
        "parameters": [*parameters, *one.parameters],
        "responses": responses | {"default": {"description": "A refusal", "content": problem}},
        "security": _security(one.scope),
    }
    if one.scope not in (None, OPERATOR):
        described["description"] = f"The key needs the scope `{one.scope}`."
    if (one.method, one.path) in BY_HAND:
        kind, schema = BY_HAND[one.method, one.path]
        described["requestBody"] = {"required": True, "content": {kind: {"schema": schema}}}
    if one.body is not None:
        content = {"application/json": {"schema": schemas[one.body]}}
        described["requestBody"] = {"required": True, "content": content}
    return described


def _named(parameter: str) -> dict[str, Any]:
    return {"const": "zero_shot"} if parameter == "model" else {"type": "string"}


def _security(scope: str | None) -> list[dict[str, list[str]]]:
    if scope is None:
        return []
    if scope == OPERATOR:
        return [{"operator": []}]
    # On loopback no key is asked for.
    return [{"tenant": []}, {}]


_PLAIN = str.maketrans("/-{}.", "_____")
