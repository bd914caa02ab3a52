"""docs/kubernetes.md on a real cluster: its commands, and the role that it defines."""

from __future__ import annotations

import json
from pathlib import Path

import yaml

from tests.cluster.documentation import blocks
from tests.cluster.kubernetes import Kubernetes, Release, eventually


def test_the_commands_run_from_top_to_bottom(documented: tuple[Release, str]) -> None:
    output = documented[1]
    assert "\n".join(blocks("sh")).count("wanneng cluster") >= 5
    assert '"labels":["投诉"' in output
    assert "✓ all is well" in output
    assert "1 of 1 texts keep their best label" in output


def test_the_role_is_enough_for_everything_but_drain(
    kubernetes: Kubernetes, release: Release, tmp_path: Path
) -> None:
    (role,) = [yaml.safe_load(block) for block in blocks("yaml") if "kind: Role" in block]
    account = {"kind": "ServiceAccount", "name": "viewer", "namespace": release.namespace}
    role["metadata"]["namespace"] = release.namespace
    kubernetes.apply(
        role,
        {
            "apiVersion": "v1",
            "kind": "ServiceAccount",
            "metadata": {"name": "viewer", "namespace": release.namespace},
        },
        {
            "apiVersion": "rbac.authorization.k8s.io/v1",
            "kind": "RoleBinding",
            "metadata": {"name": "viewer", "namespace": release.namespace},
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": role["metadata"]["name"]},
            "subjects": [account],
        },
    )
    config = json.loads(kubernetes.kubectl("config", "view", "--raw", "-o", "json"))
    config["users"][0]["user"] = {"token": release.kubectl("create", "token", "viewer").strip()}
    (tmp_path / "config").write_text(json.dumps(config), encoding="utf-8")
    environment = dict(kubernetes.environment) | {"KUBECONFIG": str(tmp_path / "config")}
    viewer = Release(Kubernetes(environment, None), release.namespace, {})
    arguments = (release.name, "-n", release.namespace)

    def is_well() -> bool:
        code, output = viewer.wanneng("status", *arguments)
        assert "cannot be read" not in output, output
        return code == 0

    eventually("status finds no problem", is_well)
    assert viewer.wanneng("engines", *arguments)[0] == 0
    code, output = viewer.wanneng("logs", *arguments)
    assert (code, "request_id" in output) == (0, True)
    victim = release.pods("triton")[0]["metadata"]["name"]
    code, output = viewer.wanneng("drain", victim, *arguments)
    assert (code, "cannot be read" in output) == (1, True)
