"""Every promise at every entrance: the table of docs/api.md, each cell of it a check."""

from __future__ import annotations

import pytest

from tests.gateway.api.entrances import ENTRANCES, Entrance
from tests.gateway.api.promises import PROMISES, Promise
from tests.gateway.api.promises_table import EXCEPTIONS, PAGES, is_checked, table, written_table

CHECKED = [(promise, entrance) for promise in PROMISES for entrance in ENTRANCES if is_checked(promise, entrance)]


@pytest.mark.parametrize(
    ("promise", "entrance"), CHECKED, ids=[f"{p.english}-{e.name}".replace("`", "") for p, e in CHECKED]
)
async def test_the_promise_is_kept(promise: Promise, entrance: Entrance) -> None:
    await promise.check(entrance)


def test_every_exception_is_about_a_promise_and_an_entrance() -> None:
    names = {(promise.english, entrance.name) for promise in PROMISES for entrance in ENTRANCES}
    assert EXCEPTIONS.keys() <= names


@pytest.mark.parametrize("language", PAGES)
def test_the_documentation_has_the_table(language: str) -> None:
    """`make docs-promises` writes it."""
    assert written_table(language) == table(language)
