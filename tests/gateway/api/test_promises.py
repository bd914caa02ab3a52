"""Every promise at every entrance: the table of docs/api.md, each cell of it a check."""

from __future__ import annotations

import pytest

from tests.gateway.api.entrances import ENTRANCES, Entrance
from tests.gateway.api.lines import CELLS
from tests.gateway.api.promises import PROMISES, Promise
from tests.gateway.api.promises_table import EXCEPTIONS, PAGES, ROOT, is_checked, table, written_table

CHECKED = [(promise, entrance) for promise in PROMISES for entrance in ENTRANCES if is_checked(promise, entrance)]


@pytest.mark.parametrize(
    ("promise", "entrance"), CHECKED, ids=[f"{p.english}-{e.name}".replace("`", "") for p, e in CHECKED]
)
async def test_the_promise_is_kept(promise: Promise, entrance: Entrance) -> None:
    await promise.check(entrance)


def test_every_exception_is_about_a_promise_and_an_entrance() -> None:
    names = {(promise.english, entrance.name) for promise in PROMISES for entrance in ENTRANCES}
    assert EXCEPTIONS.keys() <= names


def test_what_is_proved_elsewhere_has_its_test() -> None:
    tests = {cell for cells in CELLS.values() for cell in cells if isinstance(cell, str)}
    for path, _, name in (test.partition("::") for test in tests):
        assert f"def {name}(" in (ROOT / path).read_text(encoding="utf-8"), f"{path} has no {name}"
    assert CELLS.keys() == {promise.english for promise in PROMISES}


@pytest.mark.parametrize("language", PAGES)
def test_the_documentation_has_the_table(language: str) -> None:
    """`make docs-promises` writes it."""
    assert written_table(language) == table(language)
