"""Which Pods the network policies of a release admit, with selections made by the API server.

So it holds on clusters, too, whose network does not enforce policies.
"""

from __future__ import annotations

from typing import Any

from tests.cluster.kubernetes import Release
from tests.helm.tools import Object

Names = set[tuple[str, str]]
"""Namespaces and names of Pods."""


def admitted(release: Release, component: str, port: int) -> Names | None:
    """The Pods of all namespaces that may connect to this port of a component; None: everybody may."""
    rules = [
        rule
        for policy in release.objects("networkpolicies")
        if _selects(release, policy, component)
        for rule in policy["spec"].get("ingress", ())
        if port in [each["port"] for each in rule["ports"]]
    ]
    if any("from" not in rule for rule in rules):
        return None
    return {name for rule in rules for peer in rule["from"] for name in _peers(release, peer)}


def _selects(release: Release, policy: Object, component: str) -> bool:
    selected = release.objects("pods", *_selector(policy["spec"]["podSelector"]))
    return {pod["metadata"]["name"] for pod in release.pods(component)} <= {
        pod["metadata"]["name"] for pod in selected
    }


def _peers(release: Release, peer: dict[str, Any]) -> Names:
    """`ipBlock` is not known here."""
    assert peer.keys() <= {"podSelector", "namespaceSelector"}
    namespaces = {release.namespace}
    if "namespaceSelector" in peer:
        found = release.kubernetes.objects("namespaces", *_selector(peer["namespaceSelector"]))
        namespaces = {namespace["metadata"]["name"] for namespace in found}
    pods = release.kubernetes.objects("pods", "--all-namespaces", *_selector(peer.get("podSelector", {})))
    names = {(pod["metadata"]["namespace"], pod["metadata"]["name"]) for pod in pods}
    return {(namespace, name) for namespace, name in names if namespace in namespaces}


def _selector(selector: dict[str, Any]) -> tuple[str, ...]:
    assert selector.keys() <= {"matchLabels"}
    labels = ",".join(f"{name}={value}" for name, value in selector.get("matchLabels", {}).items())
    return ("--selector", labels) if labels else ()
