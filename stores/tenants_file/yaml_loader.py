"""Loads YAML strictly: a repeated key, a value that does not exist and deep nesting are refused by their line."""

from __future__ import annotations

import reprlib
from itertools import chain
from typing import Any

from yaml import CollectionEndEvent, CollectionStartEvent, MappingNode, Node, ScalarNode, YAMLError, parse
from yaml.constructor import ConstructorError

try:
    from yaml import CSafeLoader as SafeLoader
except ImportError:  # PyYAML was built without libyaml.
    from yaml import SafeLoader  # type: ignore[assignment]


MAX_DEPTH = 100
"""Of lists and mappings in each other; ten times what a file needs."""
MERGE = "tag:yaml.org,2002:merge"
"""Of `<<`, of which a mapping may have several."""


def load_yaml(content: bytes) -> Any:
    """The only document of `content`; `ValueError` says on one line what is wrong and where."""
    try:
        _check_depth(content)
        return _StrictLoader(content).get_single_data()
    except Exception as error:  # noqa: BLE001 - constructors raise errors of many kinds
        raise ValueError(" ".join(str(error).split())) from None


class _StrictLoader(SafeLoader):
    def construct_document(self, node: Node) -> Any:
        _check_keys(node)
        return super().construct_document(node)

    def construct_object(self, node: Node, deep: bool = False) -> Any:
        try:
            return super().construct_object(node, deep)
        except YAMLError:
            raise
        except Exception:  # noqa: BLE001 - what Python raises for February 30, for example
            problem = f"{reprlib.repr(node.value)} is not a valid {node.tag.rpartition(':')[2]}"
            raise ConstructorError(None, None, problem, node.start_mark) from None


def _check_depth(content: bytes) -> None:
    """`ValueError` before anything is composed, which takes C stack for each level and crashes without enough."""
    depth = 0
    for event in parse(content, Loader=SafeLoader):
        if isinstance(event, CollectionStartEvent):
            depth += 1
            if depth > MAX_DEPTH:
                raise ValueError(f"lists and mappings are nested more than {MAX_DEPTH} deep {event.start_mark}")
        elif isinstance(event, CollectionEndEvent):
            depth -= 1


def _check_keys(document: Node) -> None:
    """Refuse a key that a mapping has twice, of which PyYAML would take the last.

    Before anything is constructed, because PyYAML then adds merged keys (`<<`), which may be overridden, to nodes.
    """
    seen: set[Node] = set()
    nodes = [document]
    while nodes:
        node = nodes.pop()
        if isinstance(node, ScalarNode) or node in seen:
            continue
        seen.add(node)
        if isinstance(node, MappingNode):
            _check_mapping(node)
            nodes.extend(chain.from_iterable(node.value))
        else:
            nodes.extend(node.value)


def _check_mapping(mapping: MappingNode) -> None:
    keys: set[tuple[str, str]] = set()
    for key, _ in mapping.value:
        if isinstance(key, ScalarNode) and key.tag != MERGE:
            if (key.tag, key.value) in keys:
                problem = f"the key {reprlib.repr(key.value)} is used twice"
                raise ConstructorError(None, None, problem, key.start_mark)
            keys.add((key.tag, key.value))
