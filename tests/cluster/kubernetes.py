"""A real Kubernetes, and releases of the chart on it."""

from __future__ import annotations

import base64
import hashlib
import http.client
import json
import os
import subprocess
import time
from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.helm.tools import CHART, ROOT, Object, tool

TIMEOUT_S = 60.0
LONG_S = 300.0
IMAGES = ("gateway", "triton")
RESTRICTED = "pod-security.kubernetes.io/enforce=restricted"


class CommandFailed(Exception):
    """What it said is the message."""


@dataclass(frozen=True, slots=True)
class Kubernetes:
    """The cluster behind `environment`, which has KUBECONFIG."""

    environment: Mapping[str, str]
    own: Path | None
    """The script that runs the cluster, if it is this machine's."""

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
    """One release in a namespace of its own, where pod security `restricted` is enforced."""

    kubernetes: Kubernetes
    namespace: str
    values: dict[str, Any]
    name: str = "wanneng"

    def create_namespace(self) -> None:
        self.kubernetes.kubectl("create", "namespace", self.namespace)
        self.kubernetes.kubectl("label", "namespace", self.namespace, RESTRICTED)

    def install(self, *options: str, chart: Path = CHART, timeout_s: float = LONG_S) -> None:
        self._helm("install", *options, chart=chart, timeout_s=timeout_s)

    def upgrade(self, *options: str, chart: Path = CHART, timeout_s: float = LONG_S) -> None:
        self._helm("upgrade", *options, chart=chart, timeout_s=timeout_s)

    def _helm(self, verb: str, *options: str, chart: Path, timeout_s: float) -> None:
        path = Path(f"/tmp/{self.namespace}-values.json")
        path.write_text(json.dumps(self.values), encoding="utf-8")
        given = ("--namespace", self.namespace, "--values", str(path), f"--timeout={timeout_s:.0f}s", *options)
        try:
            self.kubernetes.helm(verb, self.name, str(chart), *given, timeout_s=timeout_s + TIMEOUT_S)
        except CommandFailed as error:
            raise CommandFailed(f"{error}\n{self._endings()}") from None

    def _endings(self) -> str:
        """What every container that ended badly said last."""
        said = []
        for pod in self.objects("pods"):
            for container in pod["status"].get("containerStatuses", []):
                ended = (
                    container["state"].get("terminated") or container.get("lastState", {}).get("terminated") or {}
                )
                said.append(f"{pod['metadata']['name']}: {pod['status']['phase']} {ended.get('message', '')}")
        return "\n".join(said)

    def delete(self) -> None:
        """All of it, as fast as the cluster does."""
        self.kubernetes.kubectl("delete", "namespace", self.namespace, "--wait=false")

    def claim(self, folder: Path) -> None:
        """The claim `engines` on a folder of this machine, which is the cluster's one real node."""
        name = f"engines-{self.namespace}"
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
            {"apiVersion": "v1", "kind": "PersistentVolume", "metadata": {"name": name}, "spec": volume},
            {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": metadata, "spec": claim},
        )

    def objects(self, kind: str, *arguments: str) -> list[Object]:
        return self.kubernetes.objects(kind, "--namespace", self.namespace, *arguments)

    def kubectl(self, *arguments: str, timeout_s: float = TIMEOUT_S) -> str:
        return self.kubernetes.kubectl("--namespace", self.namespace, *arguments, timeout_s=timeout_s)

    def pods(self, component: str) -> list[Object]:
        """Those that are not on their way out."""
        found = self.objects("pods", f"--selector=app.kubernetes.io/component={component}")
        return [pod for pod in found if "deletionTimestamp" not in pod["metadata"]]

    def secret(self, name: str) -> dict[str, str]:
        found = json.loads(self.kubectl("get", "secret", name, "-o", "json"))["data"]
        return {key: base64.b64decode(value).decode() for key, value in found.items()}

    @property
    def key(self) -> str:
        return self.secret(f"{self.name}-tenants")["default"]

    @property
    def address(self) -> str:
        """Of the gateways' Service, which this machine reaches."""
        return str(json.loads(self.kubectl("get", "service", self.name, "-o", "json"))["spec"]["clusterIP"])

    def classify(self, key: str, **more: object) -> dict[str, Any]:
        body = json.dumps({"text": "这个手机质量太差，要求退款", "labels": "投诉,咨询,建议", **more})
        headers = {"Authorization": f"Bearer {key}", "Cache-Control": "no-cache"}
        with closing(http.client.HTTPConnection(self.address, timeout=TIMEOUT_S)) as connection:
            connection.request("POST", "/v1/classify", body, headers)
            answer = connection.getresponse()
            found: dict[str, Any] = json.loads(answer.read())
        assert answer.status == http.client.OK, found
        return found

    def wanneng(self, *arguments: str, timeout_s: float = LONG_S) -> tuple[int, str]:
        """`wanneng cluster …` on this release: exit code, and all that it printed."""
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


def eventually(what: str, check: Callable[[], Any], timeout_s: float = 120.0) -> Any:
    """What `check` returns once it is true."""
    ends = time.monotonic() + timeout_s
    while not (found := check()):
        assert time.monotonic() < ends, f"not within {timeout_s:.0f} s: {what}"
        time.sleep(0.5)
    return found


def image_sources() -> str:
    """SHA-256 of everything that goes into the images."""
    paths = (
        "embedded",
        "engine",
        "gateway",
        "model_repository",
        "python_backend",
        "requirements",
        "wanneng",
        "helm/docker",
    )
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard", *paths],
        check=True,
        cwd=ROOT,
        capture_output=True,
        text=True,
    ).stdout
    digest = hashlib.sha256()
    for name in sorted(filter(None, listed.split("\0"))):
        if (ROOT / name).is_file():
            digest.update(name.encode() + b"\0" + (ROOT / name).read_bytes())
    return digest.hexdigest()


def exports(script: Path) -> dict[str, str]:
    """The environment that `cluster env` prints."""
    lines = subprocess.run([str(script), "env"], check=True, capture_output=True, text=True).stdout.splitlines()
    pairs = dict(line.removeprefix("export ").split("=", 1) for line in lines)
    return {name: value.replace("$PATH", os.environ["PATH"]) for name, value in pairs.items()}
