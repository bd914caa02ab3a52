"""Habits that a reader relies on: small files, a first line that says what a module does, no drawers."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGES = (
    "gateway",
    "control_plane",
    "stores",
    "web",
    "logs",
    "python_backend",
    "engine",
    "training",
    "loadtest",
    "benchmarks",
    "publishing",
    "wanneng",
)
MODULES = sorted(path for package in PACKAGES for path in (ROOT / package).rglob("*.py"))
DRAWERS = {"utils", "common", "helpers", "manager", "base", "misc"}


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_module_is_short_and_says_what_it_does(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert len(text.splitlines()) <= 300
    first = (ast.get_docstring(ast.parse(text)) or "").splitlines()
    assert first, "no docstring"
    assert first[0].endswith((".", ":", "?"))
    assert path.stem not in DRAWERS


def test_tests_patch_nothing() -> None:
    for path in (ROOT / "tests").rglob("*.py"):
        if path != Path(__file__):
            assert "mock.patch" not in path.read_text(encoding="utf-8"), path


def test_the_lock_of_npm_names_no_host() -> None:
    """It holds versions and hashes; `npm run lock` takes the links out."""
    text = (ROOT / "clients/typescript/package-lock.json").read_text(encoding="utf-8")
    assert "sha512-" in text
    assert "://" not in text
