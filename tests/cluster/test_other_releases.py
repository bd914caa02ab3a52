"""Small releases, one of each test: rendered elsewhere, uninstalled, unable to start, with a downloaded engine."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from tests.cluster import images
from tests.cluster.kubernetes import Release, eventually


def test_manifests_that_are_rendered_without_the_cluster_change_nothing_when_applied_again(
    namespaced: Callable[[dict[str, Any]], Release],
) -> None:
    """As Argo CD does it, with `keySeed`."""
    other = namespaced(
        {"keySeed": "0123456789abcdef" * 4, "gateway": {"replicas": 0}, "pools": {"cpu": {"replicas": 0}}}
    )

    def applied() -> dict[str, Any]:
        other.kubernetes.kubectl(
            *("apply", "--server-side", "--namespace", other.namespace, "-f", "-"), input_=other.rendered()
        )
        # The status of the others changes by itself.
        versions = {
            f"{kind}/{o['metadata']['name']}": o["metadata"][version]
            for kind, version in (
                ("secrets", "resourceVersion"),
                ("services", "resourceVersion"),
                ("networkpolicies", "resourceVersion"),
                ("deployments", "generation"),
                ("poddisruptionbudgets", "generation"),
            )
            for o in other.objects(kind)
        }
        assert "secrets/wanneng-tenants" in versions
        return versions

    assert applied() == applied()


def test_an_uninstall_leaves_the_generated_keys_alone(namespaced: Callable[[dict[str, Any]], Release]) -> None:
    other = namespaced({"gateway": {"replicas": 0}, "pools": {"cpu": {"replicas": 0}}})
    other.install()
    key = other.key
    uninstall(other)
    ours = ("--selector", f"app.kubernetes.io/instance={other.name}")
    kinds = (
        *("secrets", "deployments", "services", "serviceaccounts", "configmaps", "jobs", "pods"),
        *("networkpolicies", "poddisruptionbudgets", "horizontalpodautoscalers"),
    )

    def left() -> list[str]:
        return [o["metadata"]["name"] for kind in kinds for o in other.objects(kind, *ours)]

    eventually("nothing else is left", lambda: left() == [f"{other.name}-tenants"])
    other.install()
    assert other.key == key


def test_status_says_why_a_release_does_not_start(namespaced: Callable[[dict[str, Any]], Release]) -> None:
    """A Secret that cannot be mounted and an image whose name is no name: both show in no log."""
    other = namespaced(
        {
            "existingTenantsSecret": "missing",
            "gateway": {"replicas": 1},
            "images": {"tritonCpu": {"repository": "localhost/Upper"}},
            "pools": {"cpu": {"replicas": 1}},
        }
    )
    other.install()

    def is_told() -> bool:
        code, output = other.wanneng("status", other.name, "-n", other.namespace)
        return code == 1 and 'secret "missing" not found' in output and "InvalidImageName" in output

    try:
        eventually("status says why", is_told)
    finally:
        uninstall(other)


def test_a_pod_serves_the_engine_that_it_has_downloaded(namespaced: Callable[[dict[str, Any]], Release]) -> None:
    """The download is the image's own model; one with another checksum is never loaded, and status says why."""
    other = namespaced(
        {
            "model": {"precision": "fp32"},
            "engines": {
                "volume": {"emptyDir": {}},
                "download": {
                    "image": f"{images.PREFIX}-triton:{images.VERSION}",
                    "command": ["cp", "-r", "/opt/wanneng/embedded", "$(DOWNLOAD_FOLDER)"],
                },
            },
            "networkPolicies": {"egress": {"storage": [{"ports": [{"port": 443}]}]}},
            "gateway": {"replicas": 1},
            "pools": {"cpu": {"replicas": 1, "engine": "models/embedded", "engineChecksum": f"sha256:{'0' * 64}"}},
        }
    )
    other.install()

    def refused() -> str | None:
        code, output = other.wanneng("status", other.name, "-n", other.namespace)
        return output if code == 1 and "has the checksum sha256:" in output else None

    try:
        told = eventually("status says that another engine was expected", refused)
        (checksum,) = set(re.findall(r"has the checksum (sha256:\w{64})", told))
        other.values["pools"]["cpu"]["engineChecksum"] = checksum
        other.upgrade("--wait")
        assert other.classify(other.key)["model_version"] == images.ENGINE_ID
    finally:
        uninstall(other)


def uninstall(release: Release) -> None:
    """So that its Pods take nothing from the releases of later tests."""
    release.kubernetes.helm("uninstall", release.name, "--namespace", release.namespace)
