"""The OpenAPI document of a process: its operations, with schemas from their structs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from web.error_shapes import ErrorShape
from web.operations import OPERATOR, Operation
from web.problems import media_type_of

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


def header(name: str, description: str, **schema: Any) -> dict[str, Any]:
    return {"name": name, "in": "header", "description": description, "schema": {"type": "string"} | schema}


def query(name: str, description: str, **schema: Any) -> dict[str, Any]:
    return {"name": name, "in": "query", "description": description, "schema": {"type": "string"} | schema}


def document(operations: Sequence[Operation]) -> dict[str, Any]:
    """OpenAPI 3.1."""
    kinds = {kind for operation in operations for kind in operation.answers}
    kinds |= {operation.body for operation in operations if operation.body is not None}
    ordered = sorted(kinds, key=str)
    references, components = msgspec.json.schema_components(ordered, ref_template="#/components/schemas/{name}")
    schemas = dict(zip(ordered, references, strict=True))
    shapes = {operation.error_shape.name: operation.error_shape for operation in operations}.values()
    paths: dict[str, dict[str, Any]] = {}
    for operation in operations:
        if operation.body is not None and operation.example is not None:
            components[operation.body.__name__]["examples"] = [operation.example]
        paths.setdefault(operation.path, {})[operation.method.lower()] = _described(operation, schemas)
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
            "schemas": components | {shape.name: _error_schema(shape) for shape in shapes},
            "securitySchemes": {
                "tenant": {"type": "http", "scheme": "bearer", "description": "A tenant's key, wn_…"},
                "operator": {"type": "http", "scheme": "bearer", "description": "The admin key."},
            },
        },
    }


def merge(first: dict[str, Any], second: dict[str, Any]) -> dict[str, Any]:
    """One document with the paths and schemas of both, in this order; where both have one, `first` wins."""
    components = first["components"]
    schemas = second["components"]["schemas"] | components["schemas"]
    added = {path: methods for path, methods in second["paths"].items() if path not in first["paths"]}
    return first | {"paths": first["paths"] | added, "components": components | {"schemas": schemas}}


def _described(operation: Operation, schemas: Mapping[Any, Any]) -> dict[str, Any]:
    names = [part[1:-1] for part in operation.path.split("/") if part.startswith("{")]
    parameters = [{"name": name, "in": "path", "required": True, "schema": _path_schema(name)} for name in names]
    answer: dict[str, Any] = {"description": "Success"}
    if operation.answers:
        choices = [schemas[kind] for kind in operation.answers]
        schema = choices[0] if len(choices) == 1 else {"oneOf": choices}
        answer["content"] = {operation.media_type: {"schema": schema}}
    statuses = [operation.status] if operation.also_status is None else [operation.status, operation.also_status]
    shape = operation.error_shape
    error = {media_type_of(shape): {"schema": {"$ref": f"#/components/schemas/{shape.name}"}}}
    described: dict[str, Any] = {
        "summary": operation.summary,
        "operationId": f"{operation.method.lower()}{operation.path}".translate(_PLAIN).strip("_"),
        "parameters": [*parameters, *operation.parameters],
        "responses": {str(status): answer for status in statuses}
        | {"default": {"description": "An error", "content": error}},
        "security": _security(operation.scope),
    }
    if operation.scope not in (None, OPERATOR):
        described["description"] = f"The key needs the scope `{operation.scope}`."
    if operation.body_schema is not None:
        media_type, schema = operation.body_schema
        described["requestBody"] = {"required": True, "content": {media_type: {"schema": schema}}}
    if operation.body is not None:
        content = {"application/json": {"schema": schemas[operation.body]}}
        described["requestBody"] = {"required": True, "content": content}
    return described


def _error_schema(shape: ErrorShape) -> dict[str, Any]:
    properties = PROBLEM["properties"] | shape.properties
    return PROBLEM | {
        "title": shape.name,
        "properties": properties,
        "required": [*PROBLEM["required"], *shape.properties],
    }


def _path_schema(parameter: str) -> dict[str, Any]:
    return {"const": "zero_shot"} if parameter == "model" else {"type": "string"}


def _security(scope: str | None) -> list[dict[str, list[str]]]:
    if scope is None:
        return []
    if scope == OPERATOR:
        return [{"operator": []}]
    # On loopback no key is asked for.
    return [{"tenant": []}, {}]


_PLAIN = str.maketrans("/-{}.", "_____")
