"""The cluster of KUBECONFIG, or a real one that is started on this machine."""

from __future__ import annotations

import os
import subprocess
import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from tests.cluster import images
from tests.cluster.database import NODE, PODS
from tests.cluster.kubernetes import Kubernetes, Release, exports
from tests.helm.tools import ROOT, tool
from tests.postgresql import PostgresServer, postgresql_server

SCRIPT = ROOT.parent / "shared/cluster/cluster"
BUILD_S = 3600

NewRelease = Callable[[dict[str, Any]], Release]


@pytest.fixture(scope="session")
def kubernetes() -> Iterator[Kubernetes]:
    """With the images of this checkout, simulated GPU nodes, and the definitions of optional objects."""
    if "KUBECONFIG" in os.environ and Path(os.environ["KUBECONFIG"]).exists():
        script = SCRIPT if SCRIPT.exists() and exports(SCRIPT)["KUBECONFIG"] == os.environ["KUBECONFIG"] else None
        environment = dict(os.environ) | (exports(SCRIPT) if script else {})
        cluster = Kubernetes(environment, script)
    elif SCRIPT.exists() and os.geteuid() == 0:
        subprocess.run([SCRIPT, "up"], check=True, timeout=BUILD_S, stdout=subprocess.DEVNULL)
        cluster = Kubernetes(dict(os.environ) | exports(SCRIPT), SCRIPT)
    else:
        pytest.skip("KUBECONFIG names no cluster, and ../shared/cluster cannot be started on this machine")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PATH", cluster.environment["PATH"])
        tool("helm")
        tool("kubectl")
        if cluster.own is not None:
            for part in ("crds", "gpus"):
                cluster.run(str(cluster.own), part, timeout_s=600)
            images.load_checkout(cluster, cluster.own)
        yield cluster


@pytest.fixture(scope="module")
def namespaced(kubernetes: Kubernetes) -> Iterator[NewRelease]:
    """Creates a namespace for a release, which the test installs. The namespaces are deleted after the module."""
    with ExitStack() as stack:

        def create(values: dict[str, Any]) -> Release:
            release = Release(kubernetes, f"wn-{uuid.uuid4().hex[:8]}", values)
            release.create_namespace()
            stack.callback(release.delete)
            return release

        yield create


@pytest.fixture(scope="session")
def postgresql(kubernetes: Kubernetes) -> Iterator[PostgresServer]:
    if kubernetes.own is None:
        pytest.skip("Pods of another cluster cannot reach a database on this machine")
    with postgresql_server(NODE, PODS) as server:
        yield server
