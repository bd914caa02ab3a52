"""Every example of the chart is accepted by a real API server, and its pods by pod security `restricted`."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.cluster.kubernetes import CommandFailed, Kubernetes, Release
from tests.helm.tools import CHART, EXAMPLES, Object, pod_of, rendered


@pytest.fixture(scope="module")
def release(namespaced: Callable[[dict[str, Any]], Release]) -> Release:
    """A namespace where pods must be `restricted`; nothing is installed in it."""
    return namespaced({})


@pytest.fixture(params=EXAMPLES, ids=lambda path: path.stem)
def example(request: pytest.FixtureRequest) -> Path:
    return Path(request.param)


def test_the_api_server_accepts_every_object(example: Path, release: Release) -> None:
    """Optional ones too: the definitions of KEDA, the Prometheus operator and the Gateway API are there."""
    objects = [one for one in rendered(None, example) if one["kind"] != "Pod"]
    for one in objects:
        one["metadata"]["namespace"] = release.namespace
    # Not as YAML, of which PyYAML and Kubernetes know two versions: `n` is a text to one, false to the other.
    text = json.dumps({"apiVersion": "v1", "kind": "List", "items": objects})
    said = release.kubernetes.kubectl(
        "apply", "--dry-run=server", "--validate=strict", "-n", release.namespace, "-f", "-", input_=text
    )
    assert said.count("(server dry run)") == len(objects)


def test_helm_itself_installs_it_on_the_server_without_lasting(example: Path, release: Release) -> None:
    release.kubernetes.helm(
        "install",
        example.stem,
        str(CHART),
        "--namespace",
        release.namespace,
        "--values",
        str(example),
        "--dry-run=server",
    )
    assert release.objects("deployments") == []


def as_pods(objects: list[Object], namespace: str) -> list[Object]:
    makers = [one for one in objects if one["kind"] in ("Deployment", "Job", "Pod")]
    return [
        {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": one["metadata"]["name"], "namespace": namespace},
            # Accounts and classes of priority are the release's and the cluster's own.
            "spec": {k: v for k, v in pod_of(one).items() if k not in ("serviceAccountName", "priorityClassName")}
            | {"restartPolicy": "Never"},
        }
        for one in makers
    ]


def test_a_namespace_that_enforces_restricted_pods_takes_every_pod(
    example: Path, release: Release, kubernetes: Kubernetes
) -> None:
    pods = as_pods(rendered(None, example), release.namespace)
    assert pods
    create(kubernetes, pods)


def test_it_would_not_take_one_that_is_less_restricted(release: Release, kubernetes: Kubernetes) -> None:
    """Admission is on: the test above says something."""
    pod = as_pods(rendered(), release.namespace)[0]
    del pod["spec"]["containers"][0]["securityContext"]["capabilities"]
    with pytest.raises(CommandFailed, match='violates PodSecurity "restricted'):
        create(kubernetes, [pod])


def create(kubernetes: Kubernetes, pods: list[Object]) -> None:
    listed = json.dumps({"apiVersion": "v1", "kind": "List", "items": pods})
    kubernetes.kubectl("create", "--dry-run=server", "-f", "-", input_=listed)
