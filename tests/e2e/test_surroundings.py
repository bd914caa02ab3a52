"""Machines unlike this one: the server answers there, or says in one sentence what it lacks.

`make surroundings` runs all of it and stores the verdicts; `make check` runs a short form.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.e2e.surroundings import MATRIX, Surroundings, outcome

Verdict = Callable[[str, str], None]


@pytest.fixture
def folder() -> Iterator[Path]:
    """Not below /tmp, where a test may mount something."""
    made = Path(tempfile.mkdtemp(prefix="wanneng-", dir="/var/tmp"))
    yield made
    shutil.rmtree(made, ignore_errors=True)


@pytest.mark.parametrize(
    "surroundings",
    [pytest.param(line, id=line.name, marks=() if line.short else pytest.mark.whole) for line in MATRIX],
)
def test_a_server_answers_or_says_what_it_lacks(
    surroundings: Surroundings, folder: Path, verdict: Verdict
) -> None:
    if surroundings.user:
        if os.geteuid() != 0:
            pytest.skip("only root can become another user")
        os.chown(folder, surroundings.user, surroundings.user)
    verdict(surroundings.line, outcome(surroundings, folder))
