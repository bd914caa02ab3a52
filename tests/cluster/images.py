"""Builds images from a checkout and loads them into this machine's cluster."""

from __future__ import annotations

import hashlib
import subprocess
from pathlib import Path

from tests.cluster.kubernetes import Kubernetes
from tests.helm.tools import ROOT

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


def load_checkout(cluster: Kubernetes, script: Path) -> None:
    """The images of this checkout, unless the cluster has them."""
    load(cluster, script, ROOT, NAMES, PREFIX, _digest_of_sources())


def load(cluster: Kubernetes, script: Path, root: Path, names: tuple[str, ...], prefix: str, digest: str) -> None:
    """The images `<prefix>-<name>` of the checkout in `root`, unless those of `digest` have been loaded."""
    stamp = Path(cluster.environment["KUBECONFIG"]).parent / f"{prefix.rpartition('/')[2]}-images"
    if stamp.exists() and stamp.read_text() == digest:
        return
    cluster.run(str(script), "base", timeout_s=BASE_S)
    cluster.run("env", f"IMAGE_PREFIX={prefix}", str(root / "helm/docker/build.sh"), *names, timeout_s=BUILD_S)
    for name in names:
        archive = stamp.with_name(f"{name}.tar")
        archive.unlink(missing_ok=True)
        image = f"{prefix}-{name}:{VERSION}"
        save = ("podman", "save", "--quiet", "--format=docker-archive", f"--output={archive}", image)
        cluster.run(*save, timeout_s=LOAD_S)
        cluster.run(str(script), "load", str(archive), timeout_s=LOAD_S)
        archive.unlink()
    stamp.write_text(digest)


def _digest_of_sources() -> str:
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard", *SOURCES],
        check=True,
        cwd=ROOT,
        capture_output=True,
        text=True,
    ).stdout
    digest = hashlib.sha256()
    for name in sorted(filter(None, listed.split("\0"))):
        if (ROOT / name).is_file():
            digest.update(name.encode() + b"\0" + (ROOT / name).read_bytes())
    return digest.hexdigest()
