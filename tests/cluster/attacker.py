"""Pods that attack a release from inside its cluster."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from benchmarks.attack_job import Job, encode_job
from tests.cluster.kubernetes import Kubernetes
from tests.helm.tools import ROOT

FOLDER = "/attacks"
MODULES = (
    "benchmarks/attack_connections.py",
    "benchmarks/attack_job.py",
    "benchmarks/attacks.py",
    "tests/cluster/asking.py",
    "tests/e2e/strangers.py",
)
START_S, LONG_S = 120, 180


@dataclass(frozen=True, slots=True)
class Attacker:
    """A Pod that has Python and the attacks, and belongs to no release."""

    kubernetes: Kubernetes
    namespace: str
    name: str

    def start(self, image: str, labels: Mapping[str, str]) -> None:
        """Create it and wait until it runs."""
        sources = {path.replace("/", "."): (ROOT / path).read_text(encoding="utf-8") for path in MODULES}
        metadata = {"name": self.name, "namespace": self.namespace}
        container = {
            "name": "attacker",
            "image": image,
            "imagePullPolicy": "IfNotPresent",
            "command": ["python3", "-c", "import time; time.sleep(86400)"],
            "workingDir": FOLDER,
            # On a node with two cores, little may be taken from those who are attacked.
            "resources": {"requests": {"cpu": "50m"}, "limits": {"cpu": "500m", "memory": "512Mi"}},
            "volumeMounts": [{"name": "attacks", "mountPath": FOLDER}],
            "securityContext": {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}},
        }
        items = [{"key": path.replace("/", "."), "path": path} for path in MODULES]
        spec = {
            "automountServiceAccountToken": False,
            "terminationGracePeriodSeconds": 0,
            "securityContext": {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}},
            "containers": [container],
            "volumes": [{"name": "attacks", "configMap": {"name": self.name, "items": items}}],
        }
        self.kubernetes.apply(
            {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": sources},
            {"apiVersion": "v1", "kind": "Pod", "metadata": metadata | {"labels": dict(labels)}, "spec": spec},
        )
        self._kubectl("wait", "--for=condition=Ready", f"pod/{self.name}", f"--timeout={START_S}s")

    def delete(self) -> None:
        self._kubectl("delete", f"pod/{self.name}", f"configmap/{self.name}", "--wait=false")

    def attack(self, job: Job) -> dict[str, int]:
        """How many of its requests had which outcome."""
        outcomes: dict[str, int] = json.loads(self._run("benchmarks.attacks", encode_job(job).decode()))
        return outcomes

    def ask(self, host: str, port: int, calls: Sequence[str | tuple[str, str, str]]) -> list[str]:
        """The answers to HTTP requests (method, target, headers), or to gRPC calls; empty without a connection."""
        answers: list[str] = json.loads(self._run("tests.cluster.asking", json.dumps([host, port, calls])))
        return answers

    def _run(self, module: str, input_: str) -> str:
        return self._kubectl("exec", "-i", self.name, "--", "python3", "-m", module, input_=input_)

    def _kubectl(self, *arguments: str, **options: Any) -> str:
        return self.kubernetes.kubectl("--namespace", self.namespace, *arguments, timeout_s=LONG_S, **options)
