"""The cluster of KUBECONFIG, or a real one that starts on this machine; skipped where there is neither."""

from __future__ import annotations

import os
import subprocess
import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from tests.cluster.kubernetes import IMAGES, Kubernetes, Release, exports, image_sources
from tests.helm.tools import ROOT, tool

SCRIPT = ROOT.parent / "shared/cluster/cluster"
BUILD_S = 3600
VERSION = "0.1.0"

Install = Callable[..., Release]


@pytest.fixture(scope="session")
def kubernetes() -> Iterator[Kubernetes]:
    """With the images of this checkout, simulated nodes of GPUs, and the definitions of optional objects."""
    if "KUBECONFIG" in os.environ and Path(os.environ["KUBECONFIG"]).exists():
        script = SCRIPT if SCRIPT.exists() and exports(SCRIPT)["KUBECONFIG"] == os.environ["KUBECONFIG"] else None
        environment = dict(os.environ) | (exports(SCRIPT) if script else {})
        cluster = Kubernetes(environment, script)
    elif SCRIPT.exists() and os.geteuid() == 0:
        subprocess.run([SCRIPT, "up"], check=True, timeout=BUILD_S, stdout=subprocess.DEVNULL)
        cluster = Kubernetes(dict(os.environ) | exports(SCRIPT), SCRIPT)
    else:
        pytest.skip("no cluster: KUBECONFIG names none, and ../shared/cluster cannot be started here")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PATH", cluster.environment["PATH"])
        tool("helm")
        tool("kubectl")
        if cluster.own is not None:
            for part in ("crds", "gpus"):
                cluster.run(str(cluster.own), part, timeout_s=600)
            _load_images(cluster, cluster.own)
        yield cluster


def _load_images(cluster: Kubernetes, script: Path) -> None:
    """Build and load the images of this checkout, unless the cluster has them."""
    sources = image_sources()
    stamp = Path(cluster.environment["KUBECONFIG"]).parent / "wanneng-images"
    if stamp.exists() and stamp.read_text() == sources:
        return
    cluster.run(str(script), "base", timeout_s=900)
    cluster.run("helm/docker/build.sh", *IMAGES, timeout_s=1800)
    for name in IMAGES:
        archive = stamp.with_name(f"{name}.tar")
        archive.unlink(missing_ok=True)
        image = f"localhost/wanneng-{name}:{VERSION}"
        cluster.run(
            "podman", "save", "--quiet", "--format=docker-archive", f"--output={archive}", image, timeout_s=600
        )
        cluster.run(str(script), "load", str(archive), timeout_s=600)
        archive.unlink()
    stamp.write_text(sources)


@pytest.fixture(scope="module")
def namespaced(kubernetes: Kubernetes) -> Iterator[Callable[[dict[str, Any]], Release]]:
    """Releases in namespaces of their own, not installed yet; their namespaces go when the module ends."""
    with ExitStack() as stack:

        def make(values: dict[str, Any]) -> Release:
            release = Release(kubernetes, f"wn-{uuid.uuid4().hex[:8]}", values)
            release.create_namespace()
            stack.callback(release.delete)
            return release

        yield make
