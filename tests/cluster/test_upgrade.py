"""An upgrade from the last version without a control plane, whose gateway managed tenants."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.cluster import images
from tests.cluster.database import EGRESS, create_database
from tests.cluster.kubernetes import Kubernetes, Release, eventually
from tests.cluster.load import lossless
from tests.helm.tools import ROOT, Object
from tests.postgresql import PostgresServer

COMMIT = "1cf99d3e6edf7c6f13f71aeca47ec7dba25c867a"
PATHS = (
    ".dockerignore",
    "LICENSE",
    "embedded",
    "engine",
    "gateway",
    "helm",
    "model_repository",
    "pyproject.toml",
    "python_backend",
    "requirements",
    "wanneng",
)
IMAGES = "localhost/wanneng-before"
KINDS = (
    "deployments",
    "jobs",
    "networkpolicies",
    "poddisruptionbudgets",
    "secrets",
    "serviceaccounts",
    "services",
)
TEXTS = [f"第{number}次来电，要求退款" for number in range(40)]


@pytest.fixture(scope="module")
def before(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the images and the chart were made of at that commit."""
    if subprocess.run(["git", "cat-file", "-e", COMMIT], check=False, cwd=ROOT, capture_output=True).returncode:
        pytest.skip(f"commit {COMMIT[:7]} is missing; run git fetch --unshallow")
    folder = tmp_path_factory.mktemp("before")
    archive = folder / "archive.tar"
    subprocess.run(["git", "archive", f"--output={archive}", COMMIT, *PATHS], check=True, cwd=ROOT)
    subprocess.run(["tar", "--extract", f"--file={archive}"], check=True, cwd=folder)
    archive.unlink()
    return folder


def manifests(release: Release) -> list[Object]:
    """Everything that the current revision has created, hooks included."""
    in_release = (release.name, "--namespace", release.namespace)
    texts = [release.kubernetes.helm("get", part, *in_release) for part in ("manifest", "hooks")]
    return [document for text in texts for document in yaml.safe_load_all(text) if document]


def orphans(release: Release) -> set[tuple[str, str]]:
    """Kinds and names of objects in the namespace that belong to no manifest of the release."""
    known = {(o["kind"], o["metadata"]["name"]) for o in manifests(release)}
    ours = ("--selector", "app.kubernetes.io/managed-by=Helm")
    there = {(o["kind"], o["metadata"]["name"]) for kind in KINDS for o in release.objects(kind, *ours)}
    assert there & known
    return there - known


def test_without_a_database_the_generated_keys_are_kept(
    namespaced: Callable[[dict[str, Any]], Release], before: Path
) -> None:
    release = namespaced({"gateway": {"replicas": 0}, "pools": {"cpu": {"replicas": 0}}})
    release.install(chart=before / "helm/wanneng")
    key = release.key
    release.upgrade()
    assert release.key == key
    assert orphans(release) == set()
    listed = json.loads(release.kubernetes.helm("list", "-n", release.namespace, "-o", "json"))
    assert (listed[0]["status"], listed[0]["revision"]) == ("deployed", "2")


@pytest.fixture(scope="module")
def release(
    kubernetes: Kubernetes,
    postgresql: PostgresServer,
    namespaced: Callable[[dict[str, Any]], Release],
    before: Path,
) -> Release:
    """With a database, installed from the old chart and the old images. No worker takes batches yet."""
    assert kubernetes.own is not None
    images.load(kubernetes, kubernetes.own, before, images.NAMES, IMAGES, COMMIT)
    made = namespaced(
        {
            "database": {"url": create_database(postgresql, "upgrade")},
            "networkPolicies": {"egress": EGRESS},
            "images": {
                "gateway": {"repository": f"{IMAGES}-gateway"},
                "tritonCpu": {"repository": f"{IMAGES}-triton"},
            },
            "pools": {"cpu": {"replicas": 1}},
            "worker": {"replicas": 0},
        }
    )
    made.install("--wait", chart=before / "helm/wanneng")
    return made


def test_with_a_database_no_request_fails_and_nothing_is_lost(release: Release) -> None:
    """Tenants, keys, label sets and a queued batch are there afterwards; the new worker processes the batch."""
    api, admin_key = release.api, release.admin_key
    _, key = api.create_tenant(admin_key, "acme")
    api.call("PUT", "/v1/label-sets/tickets", key, {"labels": ["投诉", "咨询"]})
    batch_id = api.start_batch(key, TEXTS)
    tenants = api.call("GET", "/v1/tenants", admin_key)["tenants"]
    release.values = {
        "database": release.values["database"],
        "networkPolicies": {"egress": {"database": EGRESS}},
        "pools": release.values["pools"],
    }
    with lossless(release.address, key) as load:
        release.upgrade("--wait")
    assert load.connections > 0
    assert release.admin_key == admin_key
    assert len(release.secret(f"{release.name}-internal")["internal-key"]) == 64
    after = release.operators_api.call("GET", "/v1/tenants", admin_key)["tenants"]
    # Newer versions may add fields.
    assert [tenant | old for tenant, old in zip(after, tenants, strict=True)] == after
    assert set(api.classify(key, label_set="tickets")["labels"]) == {"投诉", "咨询"}
    batch = eventually("the batch is completed", lambda: api.completed_batch(key, batch_id))
    assert batch["request_counts"] == {"total": len(TEXTS), "completed": len(TEXTS), "failed": 0}


def test_no_object_of_the_old_chart_is_left_behind(release: Release) -> None:
    names = [deployment["metadata"]["name"] for deployment in release.objects("deployments")]
    assert sorted(names) == ["wanneng-control-plane", "wanneng-gateway", "wanneng-triton-cpu", "wanneng-worker"]
    assert orphans(release) == set()
    for deployment in release.objects("deployments"):
        for container in deployment["spec"]["template"]["spec"]["containers"]:
            assert not container["image"].startswith(IMAGES)
