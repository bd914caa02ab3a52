"""The last version without a control plane, whose gateway managed tenants."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
import yaml

from tests.cluster.kubernetes import Release
from tests.helm.tools import ROOT, Object

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


def check_out(folder: Path) -> None:
    """What its images and its chart were made of."""
    if subprocess.run(["git", "cat-file", "-e", COMMIT], check=False, cwd=ROOT, capture_output=True).returncode:
        pytest.skip(f"commit {COMMIT[:7]} is missing; run git fetch --unshallow")
    archive = folder / "archive.tar"
    subprocess.run(["git", "archive", f"--output={archive}", COMMIT, *PATHS], check=True, cwd=ROOT)
    subprocess.run(["tar", "--extract", f"--file={archive}"], check=True, cwd=folder)
    archive.unlink()


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
