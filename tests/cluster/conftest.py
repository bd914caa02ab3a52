"""The cluster of KUBECONFIG, or a real one that is started on this machine."""

from __future__ import annotations

import fcntl
import os
import subprocess
import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest
from xdist.scheduler.loadscope import LoadScopeScheduling

from tests.cluster import images, old_version
from tests.cluster.database import NODE, PODS
from tests.cluster.kubernetes import Kubernetes, Release, exports
from tests.helm.tools import ROOT, tool
from tests.postgresql import PostgresServer, postgresql_server

SCRIPT = ROOT.parent / "shared/cluster/cluster"
SMALL = Path(__file__).with_name("small.yaml")
BUILD_S = 3600
BESIDE = (
    # It has the images of the old version built, which test_upgrade.py needs too, while the node has least to do.
    "test_upgrade_without_a_database.py",
    "test_examples.py",
    "test_gpus.py",
    "test_other_releases.py",
    "test_publication.py",
    "test_upgrade.py",
)
"""Modules with few Pods, in their order. `make cluster-test` runs them beside all others."""

NewRelease = Callable[[dict[str, Any]], Release]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=lambda item: BESIDE.index(item.path.name) if item.path.name in BESIDE else len(BESIDE))


class TwoAtOnce(LoadScopeScheduling):
    """The modules of `BESIDE` in one process and all others in another, for which the node has room one by one."""

    def _split_scope(self, nodeid: str) -> str:
        return "beside" if nodeid.partition("::")[0].rpartition("/")[2] in BESIDE else "on the node"


def pytest_xdist_make_scheduler(config: pytest.Config, log: object) -> LoadScopeScheduling:
    return TwoAtOnce(config, log)


@contextmanager
def alone(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """No other process of pytest-xdist is in such a block."""
    # The workers' own folders are in one of the run.
    with (tmp_path_factory.getbasetemp().parent / "cluster.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


@pytest.fixture(scope="session")
def kubernetes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kubernetes]:
    """With the images of this checkout, simulated GPU nodes, and the definitions of optional objects."""
    with pytest.MonkeyPatch.context() as patch:
        with alone(tmp_path_factory):
            cluster = started()
            patch.setenv("PATH", cluster.environment["PATH"])
            tool("helm")
            tool("kubectl")
            if cluster.own is not None:
                for part in ("crds", "gpus"):
                    cluster.run(str(cluster.own), part, timeout_s=600)
                images.load_checkout(cluster, cluster.own)
        yield cluster


def started() -> Kubernetes:
    if "KUBECONFIG" in os.environ and Path(os.environ["KUBECONFIG"]).exists():
        script = SCRIPT if SCRIPT.exists() and exports(SCRIPT)["KUBECONFIG"] == os.environ["KUBECONFIG"] else None
        return Kubernetes(dict(os.environ) | (exports(SCRIPT) if script else {}), script)
    if SCRIPT.exists() and os.geteuid() == 0:
        subprocess.run([SCRIPT, "up"], check=True, timeout=BUILD_S, stdout=subprocess.DEVNULL)
        return Kubernetes(dict(os.environ) | exports(SCRIPT), SCRIPT)
    pytest.skip("KUBECONFIG names no cluster, and ../shared/cluster cannot be started on this machine")


@pytest.fixture(scope="session")
def before(kubernetes: Kubernetes, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkout of the old version, whose images are in the cluster, if that is this machine's."""
    folder = tmp_path_factory.mktemp("before")
    old_version.check_out(folder)
    if kubernetes.own is not None:
        with alone(tmp_path_factory):
            images.load(kubernetes, kubernetes.own, folder, old_version.IMAGES, old_version.COMMIT)
    return folder


@pytest.fixture(scope="module")
def namespaced(kubernetes: Kubernetes) -> Iterator[NewRelease]:
    """Creates a namespace for a small release, which the test installs, and deletes it after the module."""
    with ExitStack() as stack:

        def create(values: dict[str, Any]) -> Release:
            release = Release(kubernetes, f"wn-{uuid.uuid4().hex[:8]}", values, beneath=SMALL)
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
