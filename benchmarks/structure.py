"""Measures the structure of a checkout: the size of its packages, and the layers and cycles of their import graph.

`make structure`, or `python benchmarks/structure.py --path CHECKOUT`. Needs the standard library only. It reads
syntax trees, so the code is neither imported nor run. Packages are the folders at the top of the checkout that
have an `__init__.py`, except `tests`. Imports inside functions and under `if TYPE_CHECKING:` count as well.

The import graph is drawn between modules, between folders, and between components. A component is what someone
sees on opening a package: a folder with everything below it, or a module of the package itself. A package
whose folder has the entry point beside the settings is a cycle between folders, but not between components.

layers   nodes on the longest chain of imports, where a cycle is one node: the fewest layers in which every other
         import points down
upward   imports to remove until no cycle is left. Finding the fewest is NP-hard, so this is an upper bound, by the
         greedy heuristic of Eades, Lin and Smyth (1993)
"""

from __future__ import annotations

import argparse
import ast
import io
import json
import tokenize
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

EXCLUDED = frozenset({"tests"})
ALL = "all"
PHRASE = "Knows no"
NO_CODE = frozenset({tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT})

Graph = Mapping[str, frozenset[str]]
"""Each node with the nodes that it imports."""


@dataclass(frozen=True, slots=True)
class Module:
    """One Python file. Names are dotted; an `__init__.py` is called as its folder."""

    name: str
    folder: str
    component: str
    imports: frozenset[str]
    """The first-party modules that it imports."""
    lines: int
    code_lines: int
    """Without blank lines and comments; docstrings count."""
    docstring: str

    @property
    def package(self) -> str:
        return self.name.partition(".")[0]


@dataclass(frozen=True, slots=True)
class GraphCounts:
    """What is counted of one import graph."""

    nodes: int
    layers: int
    imports: int
    upward: tuple[tuple[str, str], ...]


LEVELS: Mapping[str, Callable[[Module], str]] = {
    "modules": lambda module: module.name,
    "folders": lambda module: module.folder,
    "components": lambda module: module.component,
}


def main() -> None:
    """Print the tables, or everything as JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--path", type=Path, default=Path(__file__).resolve().parents[1], help="the checkout")
    parser.add_argument("--json", action="store_true", help="print JSON, which names every upward import")
    options = parser.parse_args()
    modules = read_modules(options.path)
    if not modules:
        parser.error(f"{options.path} has no folder with an __init__.py")
    counts = measure(modules)
    print(json.dumps(counts, indent=1) if options.json else render(counts))


def measure(modules: Sequence[Module]) -> dict[str, dict[str, Any]]:
    """Everything that is counted, by package and for `all` together."""
    packages = sorted({module.package for module in modules})
    groups = {package: [module for module in modules if module.package == package] for package in packages}
    counts: dict[str, dict[str, Any]] = {}
    for package, members in [*groups.items(), (ALL, list(modules))]:
        folders = Counter(module.folder for module in members)
        counts[package] = {
            "modules": len(members),
            "folders": len(folders),
            "max_modules_per_folder": max(folders.values()),
            "code_lines": sum(module.code_lines for module in members),
            "lines": sum(module.lines for module in members),
            "knows_no": sum(PHRASE in " ".join(module.docstring.split()) for module in members),
            "graphs": {},
        }
        for level, node_of in LEVELS.items():
            graph = count_graph(build_graph(members, node_of))
            counts[package]["graphs"][level] = {
                "nodes": graph.nodes,
                "layers": graph.layers,
                "imports": graph.imports,
                "upward": [f"{importer} -> {imported}" for importer, imported in graph.upward],
            }
    return counts


def build_graph(modules: Sequence[Module], node_of: Callable[[Module], str]) -> Graph:
    """The distinct imports between nodes; those within a node and out of `modules` are left out."""
    nodes = {module.name: node_of(module) for module in modules}
    graph: dict[str, set[str]] = {node: set() for node in sorted(nodes.values())}
    for module in modules:
        node = nodes[module.name]
        graph[node] |= {nodes[name] for name in module.imports if name in nodes} - {node}
    return {node: frozenset(imported) for node, imported in graph.items()}


def count_graph(graph: Graph) -> GraphCounts:
    """Layers and upward imports, as the module's docstring defines them."""
    depths: dict[str, int] = {}
    upward: list[tuple[str, str]] = []
    # What a cycle imports comes before it.
    for cycle in strong_components(graph):
        below = [depths[imported] for node in cycle for imported in graph[node] if imported not in cycle]
        depths |= dict.fromkeys(cycle, 1 + max(below, default=0))
        upward += _upward(graph, cycle)
    return GraphCounts(
        nodes=len(graph),
        layers=max(depths.values(), default=0),
        imports=sum(map(len, graph.values())),
        upward=tuple(sorted(upward)),
    )


def strong_components(graph: Graph) -> list[frozenset[str]]:
    """Sets of nodes that import each other, imported ones first (Kosaraju's algorithm)."""
    importers: dict[str, set[str]] = {node: set() for node in graph}
    for node, imported in graph.items():
        for target in imported:
            importers[target].add(node)
    starts = reversed(list(_postorder(importers, sorted(graph), set())))
    seen: set[str] = set()
    return [frozenset(_postorder(graph, [start], seen)) for start in starts if start not in seen]


def _postorder(graph: Mapping[str, Iterable[str]], starts: Iterable[str], seen: set[str]) -> Iterator[str]:
    """Depth-first, without recursion; adds to `seen` and does not enter what is there already."""
    for start in starts:
        if start in seen:
            continue
        seen.add(start)
        stack = [(start, iter(sorted(graph[start])))]
        while stack:
            node, targets = stack[-1]
            unseen = next((target for target in targets if target not in seen), None)
            if unseen is None:
                stack.pop()
                yield node
            else:
                seen.add(unseen)
                stack.append((unseen, iter(sorted(graph[unseen]))))


def _upward(graph: Graph, cycle: frozenset[str]) -> list[tuple[str, str]]:
    """The imports within a cycle that point up in the order of Eades, Lin and Smyth."""
    position = {node: number for number, node in enumerate(_order(graph, cycle))}
    return [
        (node, imported)
        for node in sorted(cycle)
        for imported in sorted(graph[node] & cycle)
        if position[imported] < position[node]
    ]


def _order(graph: Graph, cycle: frozenset[str]) -> list[str]:
    """Nodes from top to bottom: sources to the top, sinks to the bottom, else the one that imports most."""
    top: list[str] = []
    bottom: list[str] = []
    left = set(cycle)
    while left:
        outgoing = {node: len(graph[node] & left) for node in sorted(left)}
        incoming = Counter(imported for node in left for imported in graph[node] & left)
        sink = next((node for node, count in outgoing.items() if not count), None)
        if sink is not None:
            bottom.append(sink)
            left.remove(sink)
            continue
        node = max(outgoing, key=lambda node: (not incoming[node], outgoing[node] - incoming[node]))
        top.append(node)
        left.remove(node)
    return top + bottom[::-1]


def read_modules(path: Path) -> list[Module]:
    """All modules of the packages at the top of the checkout `path`, by name."""
    packages = [init.parent for init in sorted(path.glob("*/__init__.py")) if init.parent.name not in EXCLUDED]
    files = {_name(file.relative_to(path)): file for package in packages for file in package.rglob("*.py")}
    return [_read_module(name, file, path, frozenset(files)) for name, file in sorted(files.items())]


def _name(file: Path) -> str:
    parts = file.with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def _read_module(name: str, file: Path, path: Path, known: frozenset[str]) -> Module:
    source = file.read_text(encoding="utf-8")
    tree = ast.parse(source, str(file))
    parts = file.relative_to(path).parts
    # `gateway/api/tenants.py` is part of `gateway.api`, `gateway/settings.py` is a component by itself.
    component = f"{parts[0]}.{parts[1].removesuffix('.py')}"
    folder = ".".join(parts[:-1])
    imports = {_resolve(imported, known) for imported in _imported_names(tree, folder)} - {name, ""}
    return Module(
        name=name,
        folder=folder,
        component=component,
        imports=frozenset(imports),
        lines=len(source.splitlines()),
        code_lines=_code_lines(source),
        docstring=ast.get_docstring(tree) or "",
    )


def _imported_names(tree: ast.Module, folder: str) -> Iterator[str]:
    """Dotted names; the last parts may be something in a module."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            origin = folder.split(".")[: len(folder.split(".")) - node.level + 1] if node.level else []
            origin += [node.module] if node.module else []
            yield from (".".join([*origin, alias.name]) for alias in node.names)


def _resolve(name: str, known: frozenset[str]) -> str:
    """The module that has `name`; empty if it is none of these packages."""
    while name and name not in known:
        name = name.rpartition(".")[0]
    return name


def _code_lines(source: str) -> int:
    lines = source.splitlines()
    numbers: set[int] = set()
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type not in NO_CODE and token.string:
            numbers.update(range(token.start[0], token.end[0] + 1))
    return sum(bool(lines[number - 1].strip()) for number in numbers)


def render(counts: Mapping[str, Mapping[str, Any]]) -> str:
    """The counts as tables of text."""
    size = [["Size", "modules", "folders", "largest folder", "code lines", "lines", f'"{PHRASE}"']]
    for package, row in counts.items():
        names = ("modules", "folders", "max_modules_per_folder", "code_lines", "lines", "knows_no")
        size.append([package, *(f"{row[name]:,}" for name in names)])
    blocks = [_table(size)]
    for level in LEVELS:
        graphs = [[f"Imports between {level}", level, "layers", "imports", "upward"]]
        for package, row in counts.items():
            graph = row["graphs"][level]
            figures = (graph["nodes"], graph["layers"], graph["imports"], len(graph["upward"]))
            graphs.append([package, *(f"{figure:,}" for figure in figures)])
        upward = [f"upward: {pair}" for pair in counts[ALL]["graphs"][level]["upward"]]
        blocks.append("\n".join([_table(graphs), *upward]))
    return "\n\n".join(blocks)


def _table(rows: Sequence[Sequence[str]]) -> str:
    """Rows of text under their titles, the first column to the left, numbers to the right."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join(
        "  ".join([row[0].ljust(widths[0]), *map(str.rjust, row[1:], widths[1:])]).rstrip() for row in rows
    )


if __name__ == "__main__":
    main()
