"""Builds images from a checkout and loads them into this machine's cluster."""

from __future__ import annotations

import hashlib
import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tests.cluster.kubernetes import Kubernetes
from tests.git_files import ROOT, git_files

NAMES = ("gateway", "triton")
PREFIX, VERSION = "localhost/wanneng", "0.1.0"
BASE_S, BUILD_S, LOAD_S = 900, 1800, 600
SOURCES = (
    "control_plane",
    "embedded",
    "engine",
    "gateway",
    "logs",
    "model_repository",
    "python_backend",
    "requirements",
    "stores",
    "wanneng",
    "web",
    "helm/docker",
)

EMBEDDED = "embedded/tiny"
"""Of the image: the load of the tests is for a node with two cores, which other programs use too."""
ENGINE_ID = json.loads((ROOT / EMBEDDED / "engine.json").read_text(encoding="utf-8"))["engine_id"]


def load_checkout(cluster: Kubernetes, script: Path) -> None:
    """The images of this checkout, unless the cluster has them."""
    load(cluster, script, ROOT, PREFIX, _digest_of_sources())


def load(cluster: Kubernetes, script: Path, root: Path, prefix: str, digest: str) -> None:
    """The images `<prefix>-…` of the checkout in `root`, unless those of `digest` have been loaded."""
    stamp = Path(cluster.environment["KUBECONFIG"]).parent / f"{prefix.rpartition('/')[2]}-images"
    if stamp.exists() and stamp.read_text() == digest:
        return
    cluster.run(str(script), "base", timeout_s=BASE_S)
    cluster.run(
        "env",
        f"IMAGE_PREFIX={prefix}",
        f"EMBEDDED={EMBEDDED}",
        str(root / "helm/docker/build.sh"),
        *NAMES,
        timeout_s=BUILD_S,
    )
    with ThreadPoolExecutor() as pool:
        names = [f"{prefix}-{name}:{VERSION}" for name in NAMES]
        list(pool.map(lambda image: _hand_over(cluster, script, image, stamp.parent), names))
    stamp.write_text(digest)


def _hand_over(cluster: Kubernetes, script: Path, image: str, folder: Path) -> None:
    """From podman to the cluster, through an archive in `folder`."""
    archive = folder / f"{image.rpartition('/')[2].partition(':')[0]}.tar"
    archive.unlink(missing_ok=True)
    save = ("podman", "save", "--quiet", "--format=docker-archive", f"--output={archive}", image)
    cluster.run(*save, timeout_s=LOAD_S)
    cluster.run(str(script), "load", str(archive), timeout_s=LOAD_S)
    archive.unlink()


def _digest_of_sources() -> str:
    digest = hashlib.sha256()
    for name in git_files(*SOURCES):
        digest.update(name.encode() + b"\0" + (ROOT / name).read_bytes())
    return digest.hexdigest()
