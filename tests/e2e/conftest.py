from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.e2e.server import Server, serving


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """`wanneng serve` with the embedded model, shared by the tests that do not harm it."""
    with serving(tmp_path_factory.mktemp("serve")) as running:
        yield running
