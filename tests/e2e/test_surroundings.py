"""Machines unlike this one: the server answers there, or says in one sentence what it lacks.

`make surroundings` runs all of it and stores the verdicts; `make check` runs a short form.
"""

from __future__ import annotations

import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest

from tests.e2e.server import TINY, Server
from tests.e2e.surroundings import BODY, MATRIX, Surroundings, outcome

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


def test_a_server_whose_output_nobody_takes_goes_on(folder: Path) -> None:
    """Its log is in the state folder all the same."""
    server = Server(
        folder / "state",
        TINY,
        settings={"WANNENG_LOG_FORMAT": "text"},
        prefix=("sh", "-c", 'exec "$@" > /dev/full 2>&1', "sh"),
    )
    server.start()
    try:
        deadline = time.monotonic() + 60
        while "Ctrl-C stops it" not in log_of(server):
            assert server.process.poll() is None, "it ended"
            assert time.monotonic() < deadline, "it was not ready in time"
            time.sleep(0.2)
        time.sleep(1)
        assert server.classify(**BODY).status_code == httpx.codes.OK
    finally:
        code, _ = server.stop()
    assert code == 0


def log_of(server: Server) -> str:
    path = server.state_dir / "serve.log"
    return path.read_text(encoding="utf-8") if path.exists() else ""
