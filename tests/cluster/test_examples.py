"""A real API server accepts every example in ci/, and its Pods in a namespace that enforces `restricted`."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.cluster.kubernetes import CommandFailed, Kubernetes, Release
from tests.helm.tools import CHART, EXAMPLES, Object, pod_of, render


@pytest.fixture(scope="module")
def release(namespaced: Callable[[dict[str, Any]], Release]) -> Release:
    """A namespace that enforces the Pod Security Standard `restricted`; nothing is installed in it."""
    return namespaced({})


@pytest.fixture(params=EXAMPLES, ids=lambda path: path.stem)
def example(request: pytest.FixtureRequest) -> Path:
    return Path(request.param)


def test_the_api_server_accepts_every_object(example: Path, release: Release) -> None:
    """Including objects of KEDA, the Prometheus Operator and the Gateway API, whose definitions are installed."""
    objects = [o for o in render(None, example) if o["kind"] != "Pod"]
    for manifest in objects:
        manifest["metadata"]["namespace"] = release.namespace
    # JSON, because YAML is ambiguous: `n` is a string in PyYAML and false in Kubernetes.
    text = json.dumps({"apiVersion": "v1", "kind": "List", "items": objects})
    output = release.kubernetes.kubectl(
        "apply", "--dry-run=server", "--validate=strict", "-n", release.namespace, "-f", "-", input_=text
    )
    assert output.count("(server dry run)") == len(objects)


def test_helm_installs_it_in_a_dry_run(example: Path, release: Release) -> None:
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
    workloads = [o for o in objects if o["kind"] in ("Deployment", "Job", "Pod")]
    return [
        {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": workload["metadata"]["name"], "namespace": namespace},
            # Neither the service accounts nor the priority classes exist here.
            "spec": {
                name: value
                for name, value in pod_of(workload).items()
                if name not in ("serviceAccountName", "priorityClassName")
            }
            | {"restartPolicy": "Never"},
        }
        for workload in workloads
    ]


def test_a_namespace_that_enforces_restricted_pods_admits_every_pod(
    example: Path, release: Release, kubernetes: Kubernetes
) -> None:
    pods = as_pods(render(None, example), release.namespace)
    assert pods
    create(kubernetes, pods)


def test_it_rejects_a_less_restricted_pod(release: Release, kubernetes: Kubernetes) -> None:
    """Otherwise the test above would prove nothing."""
    pod = as_pods(render(), release.namespace)[0]
    del pod["spec"]["containers"][0]["securityContext"]["capabilities"]
    with pytest.raises(CommandFailed, match='violates PodSecurity "restricted'):
        create(kubernetes, [pod])


def create(kubernetes: Kubernetes, pods: list[Object]) -> None:
    manifests = json.dumps({"apiVersion": "v1", "kind": "List", "items": pods})
    kubernetes.kubectl("create", "--dry-run=server", "-f", "-", input_=manifests)
