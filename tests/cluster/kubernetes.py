"""A real Kubernetes cluster, and releases of the chart on it."""

from __future__ import annotations

import base64
import json
import os
import socket
import subprocess
import time
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.cluster.api import Api
from tests.helm.tools import CHART, ROOT, Object, tool

TIMEOUT_S = 60.0
LONG_S = 300.0
CONNECT_S = 2.0
RESTRICTED = "pod-security.kubernetes.io/enforce=restricted"
OWNER = "wanneng.io/namespace"
"""Label of volumes, which have no namespace themselves."""


class CommandFailed(Exception):
    """The message is the command's output."""


@dataclass(frozen=True, slots=True)
class Kubernetes:
    """The cluster behind `environment`, which has KUBECONFIG."""

    environment: Mapping[str, str]
    own: Path | None
    """The script that runs the cluster, if it runs on this machine."""

    def run(self, *command: str, timeout_s: float = TIMEOUT_S, input_: str | None = None) -> str:
        done = subprocess.run(
            command,
            check=False,
            cwd=ROOT,
            env=dict(self.environment),
            input=input_,
            capture_output=True,
            text=True,
            timeout=timeout_s,
        )
        if done.returncode:
            raise CommandFailed(f"{' '.join(command[:4])}: {done.stdout}{done.stderr}")
        return done.stdout

    def kubectl(self, *arguments: str, timeout_s: float = TIMEOUT_S, input_: str | None = None) -> str:
        return self.run(tool("kubectl"), *arguments, timeout_s=timeout_s, input_=input_)

    def helm(self, *arguments: str, timeout_s: float = LONG_S) -> str:
        return self.run(tool("helm"), *arguments, timeout_s=timeout_s)

    def objects(self, kind: str, *arguments: str) -> list[Object]:
        items: list[Object] = json.loads(self.kubectl("get", kind, "-o", "json", *arguments))["items"]
        return items

    def apply(self, *objects: Object) -> None:
        self.kubectl("apply", "-f", "-", input_=json.dumps({"apiVersion": "v1", "kind": "List", "items": objects}))


@dataclass(slots=True)
class Release:
    """A release in a namespace of its own, which enforces the Pod Security Standard `restricted`."""

    kubernetes: Kubernetes
    namespace: str
    values: dict[str, Any]
    name: str = "wanneng"
    beneath: Path | None = None
    """A file of values that `values` complete or replace."""

    def create_namespace(self) -> None:
        self.kubernetes.kubectl("create", "namespace", self.namespace)
        self.kubernetes.kubectl("label", "namespace", self.namespace, RESTRICTED)

    def install(self, *options: str, chart: Path | str = CHART, timeout_s: float = LONG_S) -> None:
        self._helm("install", *options, chart=chart, timeout_s=timeout_s)

    def upgrade(self, *options: str, chart: Path | str = CHART, timeout_s: float = LONG_S) -> None:
        self._helm("upgrade", *options, chart=chart, timeout_s=timeout_s)

    def rendered(self) -> str:
        """The manifests as they are without access to the cluster, without hooks."""
        return self.kubernetes.helm(
            "template", self.name, str(CHART), *self._in_namespace_with_values(), "--no-hooks"
        )

    def _helm(self, verb: str, *options: str, chart: Path | str, timeout_s: float) -> None:
        arguments = (*self._in_namespace_with_values(), f"--timeout={timeout_s:.0f}s", *options)
        try:
            self.kubernetes.helm(verb, self.name, str(chart), *arguments, timeout_s=timeout_s + TIMEOUT_S)
        except CommandFailed as error:
            raise CommandFailed(f"{error}\n{self._termination_messages()}") from None
        if "--wait" in options:
            eventually("every Service leads to its Pods", self._services_lead_to_pods)

    def _in_namespace_with_values(self) -> list[str]:
        own = Path(f"/tmp/{self.namespace}-values.json")
        own.write_text(json.dumps(self.values), encoding="utf-8")
        files = [own] if self.beneath is None else [self.beneath, own]
        return [f"--namespace={self.namespace}", *(f"--values={path}" for path in files)]

    def _services_lead_to_pods(self) -> bool:
        """Helm waits for Pods only, and kube-proxy programs a Service some time later."""
        return all(
            is_open(service["spec"]["clusterIP"], port["port"])
            for service in self.objects("services")
            if service["spec"]["clusterIP"] != "None"
            for port in service["spec"]["ports"]
        )

    def _termination_messages(self) -> str:
        messages = []
        for pod in self.objects("pods"):
            for container in pod["status"].get("containerStatuses", []):
                ended = (
                    container["state"].get("terminated") or container.get("lastState", {}).get("terminated") or {}
                )
                messages.append(f"{pod['metadata']['name']}: {pod['status']['phase']} {ended.get('message', '')}")
        return "\n".join(messages)

    def delete(self) -> None:
        """Without waiting for it."""
        self.kubernetes.kubectl("delete", "namespace", self.namespace, "--wait=false")
        volumes = f"--selector={OWNER}={self.namespace}"
        self.kubernetes.kubectl("delete", "persistentvolumes", volumes, "--wait=false")

    def claim(self, folder: Path) -> None:
        """Create the claim `engines` on a folder of this machine, which is the cluster's only real node."""
        name = f"engines-{uuid.uuid4().hex[:8]}"
        size, modes = {"storage": "1Gi"}, ["ReadWriteMany"]
        volume = {
            "capacity": size,
            "accessModes": modes,
            "storageClassName": "",
            "hostPath": {"path": str(folder)},
            "claimRef": {"name": "engines", "namespace": self.namespace},
        }
        claim = {
            "accessModes": modes,
            "resources": {"requests": size},
            "storageClassName": "",
            "volumeName": name,
        }
        metadata = {"name": "engines", "namespace": self.namespace}
        self.kubernetes.apply(
            {
                "apiVersion": "v1",
                "kind": "PersistentVolume",
                "metadata": {"name": name, "labels": {OWNER: self.namespace}},
                "spec": volume,
            },
            {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": metadata, "spec": claim},
        )

    def objects(self, kind: str, *arguments: str) -> list[Object]:
        return self.kubernetes.objects(kind, "--namespace", self.namespace, *arguments)

    def kubectl(self, *arguments: str, timeout_s: float = TIMEOUT_S) -> str:
        return self.kubernetes.kubectl("--namespace", self.namespace, *arguments, timeout_s=timeout_s)

    def pods(self, component: str) -> list[Object]:
        """All but terminating ones."""
        pods = self.objects("pods", f"--selector=app.kubernetes.io/component={component}")
        return [pod for pod in pods if "deletionTimestamp" not in pod["metadata"]]

    def ready(self, component: str) -> list[str]:
        """Names of the ready Pods."""
        return [
            pod["metadata"]["name"]
            for pod in self.pods(component)
            for condition in pod["status"].get("conditions", ())
            if (condition["type"], condition["status"]) == ("Ready", "True")
        ]

    def secret(self, name: str) -> dict[str, str]:
        data = json.loads(self.kubectl("get", "secret", name, "-o", "json"))["data"]
        return {key: base64.b64decode(value).decode() for key, value in data.items()}

    @property
    def key(self) -> str:
        """The API key of the default tenant, without a database."""
        return self.secret(f"{self.name}-tenants")["default"]

    @property
    def admin_key(self) -> str:
        """With a database."""
        return self.secret(f"{self.name}-admin")["admin-key"]

    @property
    def address(self) -> str:
        """The gateway's Service, which this machine reaches."""
        return self._cluster_ip(self.name)

    @property
    def api(self) -> Api:
        return Api(self.address)

    @property
    def operators_api(self) -> Api:
        """Tenants."""
        return Api(f"{self._cluster_ip(f'{self.name}-internal')}:8090")

    def gateways(self, port: int = 8080) -> list[Api]:
        """Each gateway by its own address; 8090 is the port of metrics and tenants."""
        return [Api(f"{pod['status']['podIP']}:{port}") for pod in self.pods("gateway")]

    def _cluster_ip(self, service: str) -> str:
        return str(json.loads(self.kubectl("get", "service", service, "-o", "json"))["spec"]["clusterIP"])

    def classify(self, key: str, **fields: object) -> dict[str, Any]:
        return self.api.classify(key, **fields)

    def wanneng(self, *arguments: str, timeout_s: float = LONG_S) -> tuple[int, str]:
        """Exit code and output of `wanneng cluster …`."""
        command = [str(ROOT / ".venv/bin/wanneng"), "cluster", *arguments]
        done = subprocess.run(
            command,
            check=False,
            cwd=ROOT,
            env=dict(self.kubernetes.environment),
            capture_output=True,
            text=True,
            timeout=timeout_s,
        )
        return done.returncode, done.stdout + done.stderr


def is_open(address: str, port: int) -> bool:
    with socket.socket() as probe:
        probe.settimeout(CONNECT_S)
        return probe.connect_ex((address, port)) == 0


def eventually(what: str, check: Callable[[], Any], timeout_s: float = 120.0) -> Any:
    """The first true result of `check`, which is called twice a second."""
    ends = time.monotonic() + timeout_s
    while not (result := check()):
        assert time.monotonic() < ends, f"not within {timeout_s:.0f} s: {what}"
        time.sleep(0.5)
    return result


def exports(script: Path) -> dict[str, str]:
    """The environment that `cluster env` prints."""
    lines = subprocess.run([str(script), "env"], check=True, capture_output=True, text=True).stdout.splitlines()
    pairs = dict(line.removeprefix("export ").split("=", 1) for line in lines)
    return {name: value.replace("$PATH", os.environ["PATH"]) for name, value in pairs.items()}
