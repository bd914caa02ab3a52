"""The OpenAPI document of some operations, and one document of two."""

from __future__ import annotations

import re
from typing import Any

from msgspec import Struct
from starlette.responses import Response

from web.openapi import document, header, merge, query
from web.operations import OPERATOR, Call, Operation


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
)
DOWNLOAD = Operation(
    "GET",
    "/v1/things/{thing_id}/content",
    handler,
    "Its bytes",
    answers=(str,),
    media_type="application/octet-stream",
)
UPLOAD = Operation(
    "POST",
    "/v1/things",
    handler,
    "Upload",
    "things:write",
    body_schema=("multipart/form-data", {"type": "object"}),
)
ALL = [LIST, PUT, DOWNLOAD, UPLOAD]


def operation(described: Operation) -> dict[str, Any]:
    found: dict[str, Any] = document(ALL)["paths"][described.path][described.method.lower()]
    return found


def test_paths_and_methods_are_those_of_the_operations() -> None:
    paths = document(ALL)["paths"]
    assert {path: set(methods) for path, methods in paths.items()} == {
        "/v1/things": {"get", "post"},
        "/v1/things/{thing_id}": {"put"},
        "/v1/things/{thing_id}/content": {"get"},
    }


def test_references_have_what_they_point_to_and_ids_are_unique() -> None:
    whole = document(ALL)
    schemas = whole["components"]["schemas"]
    assert set(re.findall(r"#/components/schemas/(\w+)", repr(whole))) == set(schemas)
    assert set(schemas) == {"ThingBody", "Thing", "Part", "Problem"}
    ids = {described["operationId"] for methods in whole["paths"].values() for described in methods.values()}
    assert ids == {
        "get_v1_things",
        "put_v1_things__thing_id",
        "get_v1_things__thing_id__content",
        "post_v1_things",
    }


def test_parameters_are_those_of_the_path_and_of_the_operation() -> None:
    (thing_id,) = operation(PUT)["parameters"]
    assert (thing_id["name"], thing_id["in"], thing_id["required"]) == ("thing_id", "path", True)
    limit, if_match = operation(LIST)["parameters"]
    assert (limit["name"], limit["in"], limit["schema"]) == ("limit", "query", {"type": "integer"})
    assert (if_match["name"], if_match["in"], if_match["schema"]) == ("If-Match", "header", {"type": "string"})


def test_a_body_has_its_schema_and_its_example() -> None:
    content = operation(PUT)["requestBody"]["content"]
    assert content == {"application/json": {"schema": {"$ref": "#/components/schemas/ThingBody"}}}
    assert document(ALL)["components"]["schemas"]["ThingBody"]["examples"] == [{"name": "a"}]
    assert operation(UPLOAD)["requestBody"]["content"] == {"multipart/form-data": {"schema": {"type": "object"}}}
    assert "requestBody" not in operation(LIST)


def test_answers_have_their_statuses_and_every_operation_may_fail() -> None:
    responses = operation(PUT)["responses"]
    assert set(responses) == {"200", "201", "default"}
    choices = responses["201"]["content"]["application/json"]["schema"]["oneOf"]
    assert choices == [{"$ref": "#/components/schemas/Thing"}, {"$ref": "#/components/schemas/Part"}]
    assert set(operation(DOWNLOAD)["responses"]["200"]["content"]) == {"application/octet-stream"}
    for described in ALL:
        problem = operation(described)["responses"]["default"]["content"]["application/problem+json"]
        assert problem == {"schema": {"$ref": "#/components/schemas/Problem"}}


def test_an_operation_says_who_may_ask() -> None:
    assert operation(LIST)["security"] == [{"tenant": []}, {}], "on loopback no key is asked for"
    assert "`things:read`" in operation(LIST)["description"]
    assert operation(PUT)["security"] == [{"operator": []}]
    assert operation(DOWNLOAD)["security"] == []
    assert set(document(ALL)["components"]["securitySchemes"]) == {"tenant", "operator"}


def test_two_documents_become_one_in_which_the_first_wins() -> None:
    first, second = document([LIST, DOWNLOAD]), document([PUT, DOWNLOAD])
    second["paths"][DOWNLOAD.path] = {"get": {"summary": "of the second"}}
    second["components"]["schemas"]["Thing"] = {"title": "of the second"}
    before = repr(first), repr(second)
    merged = merge(first, second)
    assert list(merged["paths"]) == [LIST.path, DOWNLOAD.path, PUT.path]
    assert merged["paths"][DOWNLOAD.path] == first["paths"][DOWNLOAD.path]
    schemas = merged["components"]["schemas"]
    assert set(schemas) == {"Thing", "Part", "ThingBody", "Problem"}
    assert schemas["Thing"] == first["components"]["schemas"]["Thing"]
    assert merged["components"]["securitySchemes"] == first["components"]["securitySchemes"]
    assert (repr(first), repr(second)) == before, "neither is changed"
