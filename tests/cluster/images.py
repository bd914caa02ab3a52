"""Builds images from a checkout and loads them into this machine's cluster."""

from __future__ import annotations

import hashlib
import tempfile
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


def load_checkout(cluster: Kubernetes, script: Path) -> None:
    """The images of this checkout, unless the cluster has them."""
    load(cluster, script, ROOT, NAMES, PREFIX, _digest_of_sources())


def load_next(cluster: Kubernetes, script: Path, prefix: str, newest: str) -> None:
    """`<prefix>-gateway`: the image of this checkout with one more revision of the database, after `newest`."""
    base = f"{PREFIX}-gateway:{VERSION}"
    revision = f"""
import sqlalchemy as sa
from alembic import op

revision = "next"
down_revision = "{newest}"
compatible_with = "{newest}"


def upgrade() -> None:
    op.add_column("tenants", sa.Column("of_the_next_release", sa.String(8)))
"""
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "next.py").write_text(revision, encoding="utf-8")
        (Path(folder) / "Containerfile").write_text(
            f"FROM {base}\nCOPY --chmod=644 next.py /opt/wanneng/stores/migrations/versions/\n", encoding="utf-8"
        )
        cluster.run(
            "podman", "build", "--quiet", "--tag", f"{prefix}-gateway:{VERSION}", folder, timeout_s=BUILD_S
        )
    _hand_over(cluster, script, f"{prefix}-gateway:{VERSION}", Path(cluster.environment["KUBECONFIG"]).parent)


def load(cluster: Kubernetes, script: Path, root: Path, names: tuple[str, ...], prefix: str, digest: str) -> None:
    """The images `<prefix>-<name>` of the checkout in `root`, unless those of `digest` have been loaded."""
    stamp = Path(cluster.environment["KUBECONFIG"]).parent / f"{prefix.rpartition('/')[2]}-images"
    if stamp.exists() and stamp.read_text() == digest:
        return
    cluster.run(str(script), "base", timeout_s=BASE_S)
    cluster.run(
        "env",
        f"IMAGE_PREFIX={prefix}",
        f"EMBEDDED={EMBEDDED}",
        str(root / "helm/docker/build.sh"),
        *names,
        timeout_s=BUILD_S,
    )
    for name in names:
        _hand_over(cluster, script, f"{prefix}-{name}:{VERSION}", stamp.parent)
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
