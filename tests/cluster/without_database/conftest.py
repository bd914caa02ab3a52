"""A release without a database, which this folder's tests share.

It is deleted after the folder, since a node with two cores has no room for those of both folders.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.cluster import documentation
from tests.cluster.kubernetes import Kubernetes, Release


@pytest.fixture(scope="package")
def documented(kubernetes: Kubernetes, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Release, str]]:
    """The release that the commands of docs/kubernetes.md install, without any values, and their output."""
    release = Release(kubernetes, documentation.NAMESPACE, {})
    name = release.namespace
    kubernetes.kubectl("delete", "namespace", name, "--ignore-not-found", "--timeout=120s", timeout_s=130)
    release.create_namespace()
    try:
        yield release, documentation.run_commands(kubernetes, tmp_path_factory.mktemp("documented"))
    finally:
        release.delete()


@pytest.fixture(scope="package")
def release(documented: tuple[Release, str]) -> Release:
    return documented[0]
