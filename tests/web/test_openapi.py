"""The OpenAPI document of some operations, and one document of two."""

from __future__ import annotations

import re
from typing import Any

import pytest
from msgspec import Struct
from starlette.responses import Response

from web.error_shapes import OPENAI
from web.openapi import document, header, merge, query
from web.operations import OPERATOR, Call, Operation, with_errors
from web.problems import STATUSES


class ThingBody(Struct):
    """What a thing is made of."""

    name: str


class Thing(Struct):
    id: str
    parts: list[Part]


class Part(Struct):
    size: int


async def handler(call: Call) -> Response:
    raise NotImplementedError


LIST = Operation(
    "GET",
    "/v1/things",
    handler,
    "List things",
    "things:read",
    answers=(list[Thing],),
    parameters=(query("limit", "How many.", type="integer"), header("If-Match", "An ETag.")),
    id="listThings",
)
PUT = Operation(
    "PUT",
    "/v1/things/{thing_id}",
    handler,
    "Change a thing",
    OPERATOR,
    ThingBody,
    answers=(Thing, Part),
    status=200,
    also_status=201,
    example={"name": "a"},
    errors=(409,),
    answer_headers={"ETag": {"schema": {"type": "string"}}},
    id="putThing",
)
DOWNLOAD = Operation(
    "GET",
    "/v1/things/{thing_id}/content",
    handler,
    "Its bytes",
    answers=(str,),
    media_type="application/octet-stream",
    id="downloadThing",
)
UPLOAD = Operation(
    "POST",
    "/v1/things",
    handler,
    "Upload",
    "things:write",
    body_schema=("multipart/form-data", {"type": "object"}),
    id="uploadThing",
)
ALL = [LIST, PUT, DOWNLOAD, UPLOAD]
APIS = {"Things": [LIST, PUT], "Contents": [DOWNLOAD, UPLOAD]}


def operation(described: Operation) -> dict[str, Any]:
    found: dict[str, Any] = document(APIS, STATUSES)["paths"][described.path][described.method.lower()]
    return found


def test_paths_and_methods_are_those_of_the_operations() -> None:
    paths = document(APIS, STATUSES)["paths"]
    assert {path: set(methods) for path, methods in paths.items()} == {
        "/v1/things": {"get", "post"},
        "/v1/things/{thing_id}": {"put"},
        "/v1/things/{thing_id}/content": {"get"},
    }


def test_references_have_what_they_point_to_and_ids_are_unique() -> None:
    whole = document(APIS, STATUSES)
    schemas = whole["components"]["schemas"]
    assert set(re.findall(r"#/components/schemas/(\w+)", repr(whole))) == set(schemas)
    assert set(schemas) == {"ThingBody", "Thing", "Part", "Problem", "PutThingResult"}
    operations = [described for methods in whole["paths"].values() for described in methods.values()]
    ids = {described["operationId"]: described["tags"] for described in operations}
    assert ids == {
        "listThings": ["Things"],
        "putThing": ["Things"],
        "downloadThing": ["Contents"],
        "uploadThing": ["Contents"],
    }
    assert whole["tags"] == [{"name": "Things"}, {"name": "Contents"}]


def test_parameters_are_those_of_the_path_and_of_the_operation() -> None:
    thing_id, request_id = operation(PUT)["parameters"]
    assert (thing_id["name"], thing_id["in"], thing_id["required"]) == ("thing_id", "path", True)
    assert (request_id["name"], request_id["in"]) == ("X-Request-Id", "header")
    _, limit, if_match = operation(LIST)["parameters"]
    assert operation(DOWNLOAD)["parameters"] == [thing_id], "it needs no key"
    assert (limit["name"], limit["in"], limit["schema"]) == ("limit", "query", {"type": "integer"})
    assert (if_match["name"], if_match["in"], if_match["schema"]) == ("If-Match", "header", {"type": "string"})


def test_a_body_has_its_schema_and_its_example() -> None:
    content = operation(PUT)["requestBody"]["content"]
    assert content == {"application/json": {"schema": {"$ref": "#/components/schemas/ThingBody"}}}
    assert document(APIS, STATUSES)["components"]["schemas"]["ThingBody"]["examples"] == [{"name": "a"}]
    assert operation(UPLOAD)["requestBody"]["content"] == {"multipart/form-data": {"schema": {"type": "object"}}}
    assert "requestBody" not in operation(LIST)


def test_answers_have_their_statuses_and_headers() -> None:
    responses = operation(PUT)["responses"]
    assert {"200", "201"} < set(responses)
    assert set(responses["201"]["headers"]) == {"X-Request-Id", "ETag"}
    assert set(operation(DOWNLOAD)["responses"]["200"]["content"]) == {"application/octet-stream"}


def test_several_kinds_of_answers_have_a_schema_of_their_own() -> None:
    schema = operation(PUT)["responses"]["201"]["content"]["application/json"]["schema"]
    assert schema == {"$ref": "#/components/schemas/PutThingResult"}
    choices = document(APIS, STATUSES)["components"]["schemas"]["PutThingResult"]["oneOf"]
    assert choices == [{"$ref": "#/components/schemas/Thing"}, {"$ref": "#/components/schemas/Part"}]


@pytest.mark.parametrize(
    ("described", "statuses"),
    [
        (LIST, {"401", "403", "422", "429", "503"}),
        (PUT, {"400", "401", "404", "408", "409", "413", "415", "422", "429", "503"}),
        (DOWNLOAD, {"404"}),
        (UPLOAD, {"400", "401", "403", "408", "413", "415", "422", "429", "503"}),
    ],
)
def test_errors_follow_from_what_an_operation_takes(described: Operation, statuses: set[str]) -> None:
    responses = operation(described)["responses"]
    assert set(responses) - {"200", "201"} == statuses | {"default"}
    whole = document(APIS, STATUSES)
    for status in statuses | {"default"}:
        assert responses[status] == {"$ref": f"#/components/responses/Problem{status.capitalize()}"}
        response = whole["components"]["responses"][f"Problem{status.capitalize()}"]
        problem = response["content"]["application/problem+json"]
        assert problem == {"schema": {"$ref": "#/components/schemas/Problem"}}
        assert ("Retry-After" in response["headers"]) == (status in ("429", "503"))


def test_an_error_names_its_codes() -> None:
    responses = document(APIS, STATUSES)["components"]["responses"]
    assert "`too_many_failures`" in responses["Problem429"]["description"]


def test_an_error_has_the_shape_of_its_api() -> None:
    whole = document({"Things": with_errors(OPENAI, [LIST])}, STATUSES)
    responses = whole["paths"]["/v1/things"]["get"]["responses"]
    assert responses["401"] == {"$ref": "#/components/responses/OpenAIError401"}
    content = whole["components"]["responses"]["OpenAIError401"]["content"]
    assert content == {"application/json": {"schema": {"$ref": "#/components/schemas/OpenAIError"}}}
    assert set(whole["components"]["responses"]) >= {"OpenAIErrorDefault"}


def test_an_operation_says_who_may_ask() -> None:
    assert operation(LIST)["security"] == [{"tenant": []}, {}], "on loopback no key is asked for"
    assert "`things:read`" in operation(LIST)["description"]
    assert operation(PUT)["security"] == [{"operator": []}]
    assert operation(DOWNLOAD)["security"] == []
    assert set(document(APIS, STATUSES)["components"]["securitySchemes"]) == {"tenant", "operator"}


def test_two_documents_become_one_in_which_the_first_wins() -> None:
    first = document({"Lists": [LIST], "Contents": [DOWNLOAD]}, STATUSES)
    second = document({"Things": [PUT], "Contents": [DOWNLOAD]}, STATUSES)
    second["paths"][DOWNLOAD.path] = {"get": {"summary": "of the second"}}
    second["components"]["schemas"]["Thing"] = {"title": "of the second"}
    before = repr(first), repr(second)
    merged = merge(first, second)
    assert list(merged["paths"]) == [LIST.path, DOWNLOAD.path, PUT.path]
    assert merged["paths"][DOWNLOAD.path] == first["paths"][DOWNLOAD.path]
    assert merged["tags"] == [{"name": "Lists"}, {"name": "Contents"}, {"name": "Things"}]
    schemas = merged["components"]["schemas"]
    assert set(schemas) == {"Thing", "Part", "ThingBody", "Problem", "PutThingResult"}
    assert {"Problem403", "Problem409"} <= set(merged["components"]["responses"])
    assert schemas["Thing"] == first["components"]["schemas"]["Thing"]
    assert merged["components"]["securitySchemes"] == first["components"]["securitySchemes"]
    assert (repr(first), repr(second)) == before, "neither is changed"
