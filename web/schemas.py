"""JSON schemas of the structs that travel, precise enough for generators of clients."""

from __future__ import annotations

import ast
import inspect
import sys
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from typing import Any, NamedTuple, get_args, get_type_hints

import msgspec
from msgspec import Struct

REFERENCE = "#/components/schemas/"
Schema = dict[str, Any]


class Schemas(NamedTuple):
    """What an OpenAPI document says of some kinds: how to refer to each, and what is referred to."""

    references: Mapping[Any, Schema]
    components: dict[str, Schema]


def schemas_of(bodies: Iterable[Any], answers: Iterable[Any]) -> Schemas:
    """Bodies are read, so what has a default may be absent; answers are written, so it is always there."""
    read, written = set(bodies), set(answers)
    kinds = sorted(read | written, key=str)
    references, generated = msgspec.json.schema_components(kinds, ref_template=REFERENCE + "{name}")
    structs = {struct.__name__: struct for kind in kinds for struct in _structs(kind)}
    of_bodies = {struct.__name__ for kind in read for struct in _structs(kind)}
    components: dict[str, Schema] = {}
    for name, schema in generated.items():
        if name not in of_bodies:
            _require_defaults(schema)
        components[name] = _precise(schema, components)
        fields = components[name]["properties"]
        for field, description in field_docstrings(structs[name]).items():
            if description:
                fields[field] = fields[field] | {"description": description}
    return Schemas(dict(zip(kinds, references, strict=True)), components)


def field_docstrings(cls: type) -> dict[str, str]:
    """The string below each annotated field, on one line; `""` without one. `cls` is of its module's top level."""
    return _docstrings(cls.__module__)[cls.__name__]


@cache
def _docstrings(module: str) -> dict[str, dict[str, str]]:
    """By class of a module. Read once: `inspect` parses the whole of it for each class."""
    tree = ast.parse(inspect.getsource(sys.modules[module]))
    return {node.name: _field_docstrings(node) for node in tree.body if isinstance(node, ast.ClassDef)}


def _field_docstrings(body: ast.ClassDef) -> dict[str, str]:
    docstrings: dict[str, str] = {}
    name = ""
    for statement in body.body:
        match statement:
            case ast.AnnAssign(target=ast.Name(id=name)):
                docstrings[name] = ""
            case ast.Expr(value=ast.Constant(value=str(text))) if name:
                docstrings[name] = " ".join(text.split())
            case _:
                name = ""
    return docstrings


def _structs(kind: Any) -> Iterator[type[Struct]]:
    """Every struct that a value of `kind` may have in it."""
    if isinstance(kind, type) and issubclass(kind, Struct):
        yield kind
        parts: Iterable[Any] = get_type_hints(kind).values()
    else:
        parts = get_args(kind)
    for part in parts:
        yield from _structs(part)


def _precise(schema: Schema, components: dict[str, Schema]) -> Schema:
    """The same as generators read it best: each type is named, null among them."""
    precise = {key: _part(value, components) for key, value in schema.items()}
    if "enum" in precise and "type" not in precise:
        precise["type"] = "string"
    if precise.get("type") == "number":
        precise["format"] = "double"
    if precise.get("default", ...) is None:
        del precise["default"]
    match precise.get("anyOf"):
        case [{"type": str(kind)} as other, {"type": "null"}]:
            del precise["anyOf"]
            precise = {**other, **precise, "type": [kind, "null"]}
    return precise


def _part(value: Any, components: dict[str, Schema]) -> Any:
    """Of a schema; one with a title becomes a component, so that generators name it."""
    if isinstance(value, list):
        return [_part(member, components) for member in value]
    if not isinstance(value, dict):
        return value
    precise = _precise(value, components)
    title = precise.get("title")
    if not isinstance(title, str):
        return precise
    del precise["title"]
    default = {"default": precise.pop("default")} if "default" in precise else {}
    components[title] = {"title": title} | precise
    return {"$ref": REFERENCE + title} | default


def _require_defaults(schema: Schema) -> None:
    """Of an answer: what is left out has no default (`UNSET`)."""
    fields = schema["properties"]
    schema["required"] = [name for name in fields if name in schema["required"] or "default" in fields[name]]
    for field in fields.values():
        field.pop("default", None)
