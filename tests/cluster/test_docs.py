"""docs/kubernetes.md on a real cluster: its commands one after another, and the role that it gives."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from tests.cluster.kubernetes import LONG_S, Kubernetes, Release, eventually
from tests.e2e.server import free_ports
from tests.helm.tools import ROOT

PAGE = (ROOT / "docs/kubernetes.md").read_text(encoding="utf-8")
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
NAMESPACE, PORT = "wanneng", "18080"


@pytest.fixture(scope="module")
def release(kubernetes: Kubernetes) -> Iterator[Release]:
    """What the page's own commands make; gone afterwards."""
    yield Release(kubernetes, NAMESPACE, {})
    kubernetes.kubectl("delete", "namespace", NAMESPACE, "--ignore-not-found", "--timeout=120s", timeout_s=130)


def test_the_pages_commands_run_from_top_to_bottom(
    kubernetes: Kubernetes, release: Release, tmp_path: Path
) -> None:
    shell = "\n".join(block for kind, block in BLOCK.findall(PAGE) if kind == "sh")
    assert shell.count("wanneng cluster") >= 5
    environment = dict(kubernetes.environment) | {
        "PATH": f"{Path(sys.executable).parent}:{kubernetes.environment['PATH']}",
        "TMPDIR": str(tmp_path),
    }
    here = Kubernetes(environment, kubernetes.own)
    script = shell.replace(PORT, str(free_ports(1)[0]))
    said = here.run("bash", "-euo", "pipefail", "-c", script, timeout_s=LONG_S)
    assert '"labels":["投诉"' in said
    assert "✓ all is well" in said
    assert "1 of 1 texts keep their best label" in said


def test_the_pages_role_is_enough_to_look_after_a_release(
    kubernetes: Kubernetes, release: Release, tmp_path: Path
) -> None:
    """As an account with this role and nothing else."""
    (role,) = [
        yaml.safe_load(block) for kind, block in BLOCK.findall(PAGE) if kind == "yaml" and "kind: Role" in block
    ]
    account = {"kind": "ServiceAccount", "name": "viewer", "namespace": NAMESPACE}
    role["metadata"]["namespace"] = NAMESPACE
    kubernetes.apply(
        role,
        {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "viewer", "namespace": NAMESPACE}},
        {
            "apiVersion": "rbac.authorization.k8s.io/v1",
            "kind": "RoleBinding",
            "metadata": {"name": "viewer", "namespace": NAMESPACE},
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": role["metadata"]["name"]},
            "subjects": [account],
        },
    )
    config = json.loads(kubernetes.kubectl("config", "view", "--raw", "-o", "json"))
    config["users"][0]["user"] = {"token": release.kubectl("create", "token", "viewer").strip()}
    (tmp_path / "config").write_text(json.dumps(config), encoding="utf-8")
    viewer = Release(
        Kubernetes(dict(kubernetes.environment) | {"KUBECONFIG": str(tmp_path / "config")}, None), NAMESPACE, {}
    )

    def well() -> bool:
        code, said = viewer.wanneng("status", "wanneng", "-n", NAMESPACE)
        assert "cannot be read" not in said, said
        return code == 0

    eventually("status needs nothing more", well, 60)
    assert viewer.wanneng("engines", "wanneng", "-n", NAMESPACE)[0] == 0
    code, said = viewer.wanneng("logs", "wanneng", "-n", NAMESPACE)
    assert (code, "request_id" in said) == (0, True)
    victim = release.pods("triton")[0]["metadata"]["name"]
    code, said = viewer.wanneng("drain", victim, "wanneng", "-n", NAMESPACE)
    assert (code, "cannot be read" in said) == (1, True), "drain is for those who may move pods"
