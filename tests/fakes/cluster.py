"""A release as an API server would show it, in memory. Evicted pods are replaced at the next look."""

from __future__ import annotations

from dataclasses import dataclass, field

from wanneng.cluster.kube import Object, Refused
from wanneng.errors import CommandError


@dataclass
class FakeCluster:
    """`held`: pods that a disruption budget does not let go, and how often it refuses yet."""

    pods: list[Object] = field(default_factory=list)
    deployments: list[Object] = field(default_factory=list)
    nodes: list[str] = field(default_factory=list)
    held: dict[str, int] = field(default_factory=dict)
    replaces: bool = True
    cordoned: list[str] = field(default_factory=list)
    evicted: list[str] = field(default_factory=list)

    def objects(self, kind: str) -> list[Object]:
        if kind == "nodes":
            return [{"metadata": {"name": name}} for name in self.nodes]
        if kind == "deployments" and self.replaces:
            for one in self.deployments:
                one["status"]["readyReplicas"] = one["spec"]["replicas"]
        return list({"pods": self.pods, "deployments": self.deployments}.get(kind, []))

    def metrics(self, pod: str, port: int) -> str:
        return ""

    def logs(self, pod: str, container: str, since_s: int) -> str:
        return ""

    def evict(self, pod: str) -> None:
        if self.held.get(pod, 0) > 0:
            self.held[pod] -= 1
            raise Refused(f"a disruption budget does not let {pod} go at present")
        if pod not in {one["metadata"]["name"] for one in self.pods}:
            raise CommandError(f"{pod} is not there")
        self.evicted.append(pod)
        gone = next(one for one in self.pods if one["metadata"]["name"] == pod)
        self.pods.remove(gone)
        for one in self.deployments:
            if one["metadata"]["labels"].items() <= gone["metadata"]["labels"].items():
                one["status"]["readyReplicas"] -= 1

    def cordon(self, node: str) -> None:
        self.cordoned.append(node)
