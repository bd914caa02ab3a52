"""What the document says of structs, for generators of clients."""

from __future__ import annotations

from datetime import date
from typing import Annotated, Any, Literal

import pytest
from msgspec import UNSET, Meta, Struct, UnsetType

from web.schemas import field_docstrings, schemas_of

Size = Annotated[Literal["m", "s"], Meta(title="Size")]


class Inner(Struct):
    value: int = 1


class Shared(Struct):
    value: int = 1


class Body(Struct, forbid_unknown_fields=True):
    name: str
    """What it is
    called."""
    kind: Literal["a", "b"] = "a"
    size: Size = "s"
    size_or_none: Size | None = None
    title: str = ""
    share: float = 0.5
    share_or_none: float | None = None
    count: int | None = None
    """How many; null: as many as there are."""
    when: Annotated[date | None, Meta(description="The day.")] = None
    parts: str | Annotated[list[str], Meta(title="Parts")] | UnsetType = UNSET
    shared: Shared | None = None


class Answer(Struct):
    id: str
    ended: int | None = None
    inner: Inner | None = None
    shared: list[Shared] = []
    extra: str | UnsetType = UNSET


SCHEMAS = schemas_of([Body], [Answer, list[Inner]])


def of(name: str) -> dict[str, Any]:
    return SCHEMAS.components[name]


def test_each_kind_has_a_reference_and_each_struct_a_component() -> None:
    assert SCHEMAS.references[Body] == {"$ref": "#/components/schemas/Body"}
    assert SCHEMAS.references[list[Inner]]["items"] == {"$ref": "#/components/schemas/Inner"}
    assert set(SCHEMAS.components) == {"Body", "Answer", "Inner", "Shared", "Parts", "Size"}


@pytest.mark.parametrize(
    ("field", "schema"),
    [
        ("name", {"type": "string", "description": "What it is called."}),
        ("kind", {"type": "string", "enum": ["a", "b"], "default": "a"}),
        ("size", {"$ref": "#/components/schemas/Size", "default": "s"}),
        ("size_or_none", {"anyOf": [{"$ref": "#/components/schemas/Size"}, {"type": "null"}]}),
        ("title", {"type": "string", "default": ""}),
        ("share", {"type": "number", "format": "double", "default": 0.5}),
        ("share_or_none", {"type": ["number", "null"], "format": "double"}),
        ("count", {"type": ["integer", "null"], "description": "How many; null: as many as there are."}),
        ("when", {"type": ["string", "null"], "format": "date", "description": "The day."}),
        ("parts", {"anyOf": [{"type": "string"}, {"$ref": "#/components/schemas/Parts"}]}),
        ("shared", {"anyOf": [{"type": "null"}, {"$ref": "#/components/schemas/Shared"}]}),
    ],
)
def test_types_are_named_with_null_among_them(field: str, schema: dict[str, Any]) -> None:
    assert of("Body")["properties"][field] in (schema, schema | {"anyOf": schema.get("anyOf", [])[::-1]})


def test_what_has_a_title_is_a_component() -> None:
    assert of("Size") == {"title": "Size", "type": "string", "enum": ["m", "s"]}
    assert of("Parts") == {"title": "Parts", "type": "array", "items": {"type": "string"}}


def test_a_body_may_leave_out_what_has_a_default() -> None:
    assert of("Body")["required"] == ["name"]


def test_an_answer_always_has_what_has_a_default() -> None:
    assert of("Answer")["required"] == ["id", "ended", "inner", "shared"]
    assert of("Inner")["required"] == ["value"]
    assert all("default" not in field for field in of("Answer")["properties"].values())


def test_what_bodies_and_answers_share_may_be_left_out() -> None:
    assert of("Shared") == {
        "title": "Shared",
        "type": "object",
        "properties": {"value": {"type": "integer", "default": 1}},
        "required": [],
    }


def test_a_docstring_belongs_to_the_field_above_it() -> None:
    docstrings = field_docstrings(Body)
    assert docstrings["name"] == "What it is called."
    assert docstrings["kind"] == ""


def test_the_source_of_a_module_is_read_once() -> None:
    assert field_docstrings(Body) is field_docstrings(Body)
