"""The cluster of KUBECONFIG, or a real one that is started on this machine, and the releases that tests share."""

from __future__ import annotations

import os
import subprocess
import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from tests.cluster import documentation, images
from tests.cluster.database import EGRESS, NODE, PODS, create_database
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


@pytest.fixture(scope="session")
def postgresql(kubernetes: Kubernetes) -> Iterator[PostgresServer]:
    if kubernetes.own is None:
        pytest.skip("Pods of another cluster cannot reach a database on this machine")
    with postgresql_server(NODE, PODS) as server:
        yield server


@pytest.fixture(scope="session")
def database_release(kubernetes: Kubernetes, postgresql: PostgresServer) -> Iterator[Release]:
    """Both planes, two Pods each, and a pool that scales when Prometheus runs."""
    release = Release(
        kubernetes,
        f"wn-{uuid.uuid4().hex[:8]}",
        {
            "database": {"url": create_database(postgresql, "planes")},
            "networkPolicies": {"egress": {"database": EGRESS}},
            "monitoring": {"enabled": True, "interval": "2s", "dashboard": {"enabled": True}},
            # The load of test_monitoring.py must queue until there are more Pods, instead of being refused.
            "gateway": {"settings": {"WANNENG_MAX_QUEUE_DELAY_S": 30}},
            "pools": {
                "cpu": {
                    "engineThreads": 1,
                    "autoscaling": {
                        "enabled": True,
                        "minReplicas": 1,
                        "maxReplicas": 3,
                        "pairsPerReplica": 16,
                        "scaleDownSeconds": 5,
                    },
                }
            },
        },
    )
    release.create_namespace()
    try:
        release.install("--wait")
        yield release
    finally:
        release.delete()
