"""The OpenAPI document of a process: its operations, with schemas from their structs."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Container, Mapping, Sequence
from typing import Any

from web.error_shapes import PROBLEM as PROBLEM_SHAPE
from web.error_shapes import ErrorShape
from web.operations import ANY_SCOPE, OPERATOR, Operation
from web.problems import Statuses, media_type_of
from web.schemas import REFERENCE, Schemas, schemas_of

Document = dict[str, Any]
Status = int | str
"""Of errors: a number, or `DEFAULT` for any other."""
Apis = Mapping[str, Sequence[Operation]]
"""Operations by the name of the API that they belong to, which is their tag."""

PROBLEM: dict[str, Any] = {
    "title": "Problem",
    "description": "RFC 9457, with a code for programs.",
    "type": "object",
    "properties": {
        "type": {"type": "string"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string", "description": "For people; may change."},
        "instance": {"type": "string"},
        "code": {"type": "string", "description": "For programs."},
        "request_id": {"type": "string"},
        "field": {"type": "string", "description": "The field, parameter or header to blame, where one is."},
    },
    "required": ["type", "title", "status", "detail", "instance", "code", "request_id"],
}
UNREADABLE, TOO_SLOW, TOO_LARGE, UNSUPPORTED, INVALID = 400, 408, 413, 415, 422
UNAUTHORIZED, FORBIDDEN, NOT_FOUND, TOO_MANY, UNAVAILABLE = 401, 403, 404, 429, 503
DEFAULT = "default"


def header(name: str, description: str, **schema: Any) -> dict[str, Any]:
    return {"name": name, "in": "header", "description": description, "schema": {"type": "string"} | schema}


def query(name: str, description: str, **schema: Any) -> dict[str, Any]:
    return {"name": name, "in": "query", "description": description, "schema": {"type": "string"} | schema}


REQUEST_ID = header(
    "X-Request-Id",
    "An id of the caller's choice, for the answer and the logs.",
    pattern="^[A-Za-z0-9._-]{1,64}$",
)
HEADERS: dict[str, Any] = {
    "RequestId": {"description": "The caller's, or a new one.", "schema": {"type": "string"}},
    "RetryAfter": {"description": "Seconds to wait before the next try.", "schema": {"type": "integer"}},
}
REQUEST_ID_HEADER = {"X-Request-Id": {"$ref": "#/components/headers/RequestId"}}
RETRY_AFTER = {"Retry-After": {"$ref": "#/components/headers/RetryAfter"}}
"""Of responses."""


def document(apis: Apis, statuses: Statuses, root_path: str = "") -> Document:
    """OpenAPI 3.1; `statuses` of the errors that the operations raise, `root_path` of the server."""
    operations = [operation for api in apis.values() for operation in api]
    schemas = schemas_of(
        (operation.body for operation in operations if operation.body is not None),
        (kind for operation in operations for kind in operation.answers),
    )
    components = dict(schemas.components)
    shapes = {shape.name: shape for shape in (PROBLEM_SHAPE, *(each.error_shape for each in operations))}.values()
    codes = _codes_by_status(statuses)
    responses: dict[str, Any] = {}
    paths: dict[str, dict[str, Any]] = {}
    for tag, api in apis.items():
        for operation in api:
            if operation.body is not None and operation.example is not None:
                components[operation.body.__name__]["examples"] = [operation.example]
            if len(operation.answers) > 1:
                members = [schemas.references[kind] for kind in operation.answers]
                components[_union_name(operation)] = {"title": _union_name(operation), "oneOf": members}
            failures = {key: _error_name(operation, key) for key in _failures(operation, codes)}
            for key, name in failures.items():
                responses[name] = _error_response(operation.error_shape, key, codes[key])
            described = {"tags": [tag]} | _described(operation, schemas, failures)
            paths.setdefault(operation.path, {})[operation.method.lower()] = described
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "wanneng",
            "version": "1",
            "description": "Zero-shot classification: any text, any labels, a score for each.",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": root_path or "/"}],
        "tags": [{"name": tag} for tag in apis],
        "paths": paths,
        "components": {
            "schemas": components | {shape.name: _error_schema(shape) for shape in shapes},
            "responses": responses,
            "headers": HEADERS,
            "securitySchemes": {
                "tenant": {"type": "http", "scheme": "bearer", "description": "A tenant's key, wn_…"},
                "operator": {"type": "http", "scheme": "bearer", "description": "The admin key."},
            },
        },
    }


def merge(first: Document, second: Mapping[str, Any]) -> Document:
    """One document of both, in this order; of what both have, the first's."""
    components = {
        kind: second["components"].get(kind, {}) | members for kind, members in first["components"].items()
    }
    added = {path: methods for path, methods in second["paths"].items() if path not in first["paths"]}
    tags = first["tags"] + [tag for tag in second["tags"] if tag not in first["tags"]]
    return first | {"tags": tags, "paths": first["paths"] | added, "components": components}


def _described(operation: Operation, schemas: Schemas, failures: Mapping[Status, str]) -> dict[str, Any]:
    names = [part[1:-1] for part in operation.path.split("/") if part.startswith("{")]
    parameters = [{"name": name, "in": "path", "required": True, "schema": _path_schema(name)} for name in names]
    if operation.scope is not None:
        parameters.append(REQUEST_ID)
    statuses = [operation.status] if operation.also_status is None else [operation.status, operation.also_status]
    described: dict[str, Any] = {
        "summary": operation.summary,
        "operationId": operation.id,
        "parameters": [*parameters, *operation.parameters],
        "responses": {str(status): _answer(operation, schemas) for status in statuses}
        | {str(key): {"$ref": f"#/components/responses/{name}"} for key, name in failures.items()},
        "security": _security(operation.scope),
    }
    if operation.scope == ANY_SCOPE:
        described["description"] = "Every key of a tenant may ask."
    elif operation.scope not in (None, OPERATOR):
        described["description"] = f"The key needs the scope `{operation.scope}`."
    if operation.body_schema is not None:
        media_type, schema = operation.body_schema
        described["requestBody"] = {"required": True, "content": {media_type: {"schema": schema}}}
    if operation.body is not None:
        content = {"application/json": {"schema": schemas.references[operation.body]}}
        described["requestBody"] = {"required": not operation.body_optional, "content": content}
    return described


def _answer(operation: Operation, schemas: Schemas) -> dict[str, Any]:
    answer: dict[str, Any] = {
        "description": "Success",
        "headers": {**REQUEST_ID_HEADER, **operation.answer_headers},
    }
    if operation.answers:
        single = len(operation.answers) == 1
        union = {"$ref": REFERENCE + _union_name(operation)}
        schema = schemas.references[operation.answers[0]] if single else union
        answer["content"] = {operation.media_type: {"schema": schema}}
    return answer


def _union_name(operation: Operation) -> str:
    """Of the schema of an operation with several kinds of answers."""
    return f"{operation.id[0].upper()}{operation.id[1:]}Result"


def _failures(operation: Operation, known: Container[Status]) -> list[Status]:
    """Statuses that follow from what an operation takes, and its own; last, any other."""
    statuses = {*operation.errors}
    if operation.scope is not None:
        statuses |= {UNAUTHORIZED, TOO_MANY, UNAVAILABLE}
    if operation.scope not in (None, OPERATOR, ANY_SCOPE):
        statuses |= {FORBIDDEN}
    if operation.body is not None or operation.body_schema is not None:
        statuses |= {UNREADABLE, TOO_SLOW, TOO_LARGE, UNSUPPORTED, INVALID}
    if operation.parameters:
        statuses |= {INVALID}
    if "{" in operation.path:
        statuses |= {NOT_FOUND}
    return [*sorted(status for status in statuses if status in known), DEFAULT]


def _codes_by_status(statuses: Statuses) -> dict[Status, str]:
    """What a status says, with the codes that it is sent with."""
    lines: dict[Status, list[str]] = defaultdict(list)
    for error, (status, title) in statuses.items():
        lines[status].append(f"{title} (`{error.code}`).")
    return {status: " ".join(dict.fromkeys(of_status)) for status, of_status in lines.items()} | {
        DEFAULT: "Any other error."
    }


def _error_name(operation: Operation, status: Status) -> str:
    return f"{operation.error_shape.name}{str(status).capitalize()}"


def _error_response(shape: ErrorShape, status: Status, description: str) -> dict[str, Any]:
    return {
        "description": description,
        "headers": REQUEST_ID_HEADER | (RETRY_AFTER if status in (TOO_MANY, UNAVAILABLE) else {}),
        "content": {
            media_type_of(each): {"schema": {"$ref": REFERENCE + each.name}}
            # A path that no operation has is a problem, whichever API's it looks like.
            for each in ((shape, PROBLEM_SHAPE) if status == NOT_FOUND else (shape,))
        },
    }


def _error_schema(shape: ErrorShape) -> dict[str, Any]:
    properties = PROBLEM["properties"] | shape.properties
    return PROBLEM | {
        "title": shape.name,
        "properties": properties,
        "required": [*PROBLEM["required"], *shape.properties],
    }


def _path_schema(parameter: str) -> dict[str, Any]:
    return {"type": "string"} | ({"const": "zero_shot"} if parameter == "model" else {})


def _security(scope: str | None) -> list[dict[str, list[str]]]:
    if scope is None:
        return []
    if scope == OPERATOR:
        return [{"operator": []}]
    # On loopback no key is asked for.
    return [{"tenant": []}, {}]
