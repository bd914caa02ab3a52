"""Counts of the import graph, on trees small enough to count by hand."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from benchmarks.structure import count_graph, measure, read_modules, render, strong_components

SCRIPT = Path(__file__).parents[2] / "benchmarks/structure.py"
Measure = Callable[[Mapping[str, str]], dict[str, dict[str, Any]]]


@pytest.fixture
def measured(tmp_path: Path) -> Measure:
    """Writes files, by path, and measures the tree."""

    def write_and_measure(files: Mapping[str, str]) -> dict[str, dict[str, Any]]:
        for name, source in files.items():
            file = tmp_path / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(source, encoding="utf-8")
        return measure(read_modules(tmp_path))

    return write_and_measure


LAYERED = {
    "shop/__init__.py": '"""A shop."""\n',
    "shop/bootstrap.py": "from shop.api import orders\nimport shop.settings\n",
    "shop/settings.py": "import os\n",
    "shop/api/__init__.py": "",
    "shop/api/orders.py": "from shop.domain.cart import Cart\nfrom shop.settings import Settings\n",
    "shop/domain/__init__.py": "",
    "shop/domain/cart.py": "import msgspec\n",
}


def test_a_layered_tree_has_no_upward_import_between_components(measured: Measure) -> None:
    graph = measured(LAYERED)["shop"]["graphs"]["components"]
    # The package's own __init__.py, bootstrap, settings, api and domain.
    assert (graph["nodes"], graph["layers"], graph["imports"]) == (5, 3, 4)
    assert graph["upward"] == []


def test_modules_are_counted_by_file_and_imports_by_module(measured: Measure) -> None:
    shop = measured(LAYERED)["shop"]
    assert (shop["modules"], shop["folders"], shop["max_modules_per_folder"]) == (7, 3, 3)
    assert (shop["graphs"]["modules"]["imports"], shop["graphs"]["modules"]["layers"]) == (4, 3)


def test_a_root_that_holds_the_top_and_the_bottom_is_a_cycle_of_folders(measured: Measure) -> None:
    """`bootstrap` imports `api`, which imports `settings` beside `bootstrap`."""
    graph = measured(LAYERED)["shop"]["graphs"]["folders"]
    assert (graph["nodes"], graph["layers"], graph["imports"]) == (3, 2, 3)
    assert graph["upward"] == ["shop.api -> shop"]


@pytest.mark.parametrize(
    "statement",
    [
        "import shop.target",
        "import shop.target as t",
        "from shop import target",
        "from shop.target import name",
        "from . import target",
        "from .target import name",
        "def run():\n    from shop.target import name\n",
        "if TYPE_CHECKING:\n    import shop.target\n",
        "from shop.target import *",
    ],
)
def test_every_form_of_import_is_seen(measured: Measure, statement: str) -> None:
    counts = measured({"shop/__init__.py": "", "shop/target.py": "", "shop/importer.py": statement + "\n"})
    assert counts["shop"]["graphs"]["modules"]["imports"] == 1


def test_a_relative_import_climbs_as_many_folders_as_it_has_dots(measured: Measure) -> None:
    counts = measured(
        {
            "shop/__init__.py": "",
            "shop/errors.py": "",
            "shop/api/__init__.py": "from ..errors import Error\n",
            "shop/api/orders.py": "from ..errors import Error\nfrom . import schema\n",
            "shop/api/schema.py": "",
        }
    )
    assert counts["shop"]["graphs"]["modules"]["imports"] == 3
    assert counts["shop"]["graphs"]["folders"]["imports"] == 1


def test_a_name_in_an_init_is_an_import_of_the_package_and_other_packages_are_none(measured: Measure) -> None:
    counts = measured(
        {
            "shop/__init__.py": "NAME = 1\n",
            "shop/a.py": "from shop import NAME\nimport json\nimport shopping\n",
            "store/__init__.py": "",
            "store/b.py": "import shop.a\n",
        }
    )
    assert counts["shop"]["graphs"]["modules"]["imports"] == 1
    assert counts["store"]["graphs"]["modules"]["imports"] == 0
    assert counts["all"]["graphs"]["modules"]["imports"] == 2, "between packages too"


def test_lines_are_counted_with_and_without_blanks_and_comments(measured: Measure) -> None:
    source = '"""Says.\n\nKnows no\nHTTP.\n"""\n\n# why\nx = (\n    1,  # one\n\n)\n'
    counts = measured({"shop/__init__.py": "", "shop/a.py": source})
    assert (counts["shop"]["lines"], counts["shop"]["code_lines"]) == (11, 7)
    assert counts["shop"]["knows_no"] == 1


def test_tests_and_folders_without_an_init_are_no_packages(measured: Measure) -> None:
    counts = measured({"shop/__init__.py": "", "tests/__init__.py": "", "helm/script.py": ""})
    assert counts.keys() == {"shop", "all"}


def graph(**imports: str) -> dict[str, frozenset[str]]:
    return {node: frozenset(imported.split()) for node, imported in imports.items()}


@pytest.mark.parametrize(
    ("imports", "layers", "upward"),
    [
        (graph(a="b", b="c", c=""), 3, []),
        (graph(a="b c", b="", c=""), 2, []),
        (graph(a="b", b="a"), 1, [("b", "a")]),
        (graph(top="a", a="b", b="c", c="a low", low=""), 3, [("c", "a")]),
        # Two cycles through the same import: one removal breaks both.
        (graph(a="b", b="c d", c="a", d="a"), 1, [("a", "b")]),
        (graph(a="b", b="a c", c="d", d="c"), 2, [("b", "a"), ("d", "c")]),
        ({}, 0, []),
    ],
)
def test_layers_and_upward_imports(
    imports: dict[str, frozenset[str]], layers: int, upward: list[tuple[str, str]]
) -> None:
    counts = count_graph(imports)
    assert (counts.layers, list(counts.upward)) == (layers, upward)


def test_without_its_upward_imports_a_graph_has_no_cycle() -> None:
    """On a dense graph, where the heuristic has to choose."""
    nodes = [f"n{number:02}" for number in range(30)]
    imports = {
        node: frozenset(nodes[(number * step + 7) % 30] for step in range(2, 9)) - {node}
        for number, node in enumerate(nodes)
    }
    counts = count_graph(imports)
    assert 0 < len(counts.upward) < counts.imports / 2
    kept = {
        node: frozenset(target for target in targets if (node, target) not in counts.upward)
        for node, targets in imports.items()
    }
    assert all(len(component) == 1 for component in strong_components(kept))
    assert count_graph(kept).upward == ()


def test_the_script_runs_anywhere_and_says_the_same_each_time(tmp_path: Path) -> None:
    """With the interpreter alone, from another folder; hash seeds differ between the runs."""
    (tmp_path / "shop").mkdir()
    (tmp_path / "shop/__init__.py").write_text("from shop import a\n", encoding="utf-8")
    (tmp_path / "shop/a.py").write_text("from shop import b\n", encoding="utf-8")
    (tmp_path / "shop/b.py").write_text("import shop\n", encoding="utf-8")

    def run(*flags: str, seed: str) -> str:
        command = [sys.executable, "-S", "-s", str(SCRIPT), "--path", str(tmp_path), *flags]
        environment = {"PYTHONHASHSEED": seed}
        return subprocess.run(
            command, check=True, capture_output=True, text=True, timeout=60, cwd=tmp_path, env=environment
        ).stdout

    assert run("--json", seed="1") == run("--json", seed="2")
    counts = json.loads(run("--json", seed="3"))
    assert counts["all"]["graphs"]["modules"]["upward"] == ["shop.b -> shop"]
    assert render(counts) + "\n" == run(seed="4")


def test_a_checkout_without_packages_is_refused(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, str(SCRIPT), "--path", str(tmp_path)], check=False, capture_output=True, text=True
    )
    assert done.returncode == 2
    assert "has no folder with an __init__.py" in done.stderr
