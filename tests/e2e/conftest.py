from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.e2e.server import Server, serving


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """`wanneng serve` with the embedded model, shared by the tests that do not harm it."""
    with serving(tmp_path_factory.mktemp("serve")) as running:
        yield running


@pytest.fixture(scope="session")
def padded_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """The same with length buckets, the way of TensorRT."""
    with serving(tmp_path_factory.mktemp("padded"), config_name="local-padded") as running:
        yield running
