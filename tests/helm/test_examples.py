"""Properties of every example in ci/: Pod security, network policies, and the layout of the templates."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

from tests.helm.tools import CHART, EXAMPLES, ROOT, Object, containers, helm, names, pod_of, render


@pytest.fixture(params=EXAMPLES, ids=lambda path: path.stem)
def example(request: pytest.FixtureRequest) -> Path:
    return Path(request.param)


def workloads(objects: list[Object]) -> list[Object]:
    return [o for o in objects if o["kind"] in ("Deployment", "Job", "Pod")]


def test_every_example_passes_lint(example: Path) -> None:
    done = helm("lint", "--strict", str(CHART), "--values", str(example))
    assert done.returncode == 0, done.stdout


def test_every_pod_is_restricted(example: Path) -> None:
    """Pod Security Standard `restricted`; also a read-only root file system, no API token and a memory limit."""
    objects = render(None, example)
    for workload in workloads(objects):
        pod = pod_of(workload)
        assert pod["automountServiceAccountToken"] is False
        assert pod["securityContext"]["runAsNonRoot"] is True
        assert pod["securityContext"]["runAsUser"] > 0
        assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        for container in containers(workload):
            assert container["securityContext"] == {
                "allowPrivilegeEscalation": False,
                "readOnlyRootFilesystem": True,
                "capabilities": {"drop": ["ALL"]},
            }
            assert container["resources"]["limits"]["memory"]
            assert container["resources"]["requests"]["cpu"]
    accounts = [o for o in objects if o["kind"] == "ServiceAccount"]
    assert accounts
    assert all(account["automountServiceAccountToken"] is False for account in accounts)


def test_every_service_account_that_a_deployment_uses_exists(example: Path) -> None:
    objects = render(None, example)
    used = {pod_of(o)["serviceAccountName"] for o in objects if o["kind"] == "Deployment"}
    assert used == set(names(objects, "ServiceAccount"))


def test_every_pod_except_helms_test_has_one_network_policy(example: Path) -> None:
    objects = render(None, example)
    selectors = [o["spec"]["podSelector"]["matchLabels"] for o in objects if o["kind"] == "NetworkPolicy"]
    for workload in workloads(objects):
        metadata = workload["metadata"] if workload["kind"] == "Pod" else workload["spec"]["template"]["metadata"]
        labels = metadata["labels"]
        matching = [selector for selector in selectors if selector.items() <= labels.items()]
        assert len(matching) == (0 if labels["app.kubernetes.io/component"] == "test" else 1)


def test_every_example_differs_from_the_defaults(example: Path) -> None:
    """An example whose values have no effect would demonstrate nothing."""
    if yaml.safe_load(example.read_text(encoding="utf-8")):
        generated = ("w-tenants", "w-admin", "w-internal")
        with_values, without_values = (
            [o for o in objects if o["metadata"]["name"] not in generated]
            for objects in (render(None, example), render())
        )
        assert with_values != without_values


def test_each_template_contains_one_kind_which_its_name_ends_with() -> None:
    for path in (CHART / "templates").glob("*.yaml"):
        text = path.read_text(encoding="utf-8")
        kinds = {line.removeprefix("kind: ") for line in text.splitlines() if line.startswith("kind: ")}
        if path.name not in ("checks.yaml", "extra-objects.yaml"):
            assert {kind.lower() for kind in kinds} == {path.stem.rpartition("-")[2]}, path.name


def test_network_policies_and_disruption_budgets_are_optional() -> None:
    off = {
        "networkPolicies": {"enabled": False, "trustedNetwork": True},
        "podDisruptionBudgets": {"enabled": False},
    }
    for files in ((), (CHART / "ci/database.yaml",)):
        objects = render(off, *files)
        assert names(objects, "NetworkPolicy") == names(objects, "PodDisruptionBudget") == []


def test_pods_are_spread_over_nodes_and_zones() -> None:
    for name in ("w-gateway", "w-control-plane", "w-triton-cpu"):
        (deployment,) = [
            o
            for o in render(None, CHART / "ci/database.yaml")
            if (o["kind"], o["metadata"]["name"]) == ("Deployment", name)
        ]
        constraints = pod_of(deployment)["topologySpreadConstraints"]
        assert [constraint["topologyKey"] for constraint in constraints] == [
            "kubernetes.io/hostname",
            "topology.kubernetes.io/zone",
        ]
        for constraint in constraints:
            assert constraint["labelSelector"]["matchLabels"] == deployment["spec"]["selector"]["matchLabels"]


PAGE = (ROOT / "docs/kubernetes.md").read_text(encoding="utf-8")
VALUES = yaml.safe_load((CHART / "values.yaml").read_text(encoding="utf-8"))
DOCUMENTED = [
    values
    for block in re.findall(r"^```yaml\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
    if isinstance(values := yaml.safe_load(block), dict) and values.keys() <= VALUES.keys()
]


@pytest.mark.parametrize("values", DOCUMENTED, ids="-".join)
def test_the_values_in_the_documentation_are_those_of_the_chart(values: Object) -> None:
    """A part of a file may lack what another part has, and nothing in it may be unknown."""
    if "model" in values and "volume" in values.get("engines", {}):
        assert render(values)
        return
    complete = {"model": {"source": "sources/a", "precision": "fp16"}, "engines": {"volume": {"emptyDir": {}}}}
    pools = {"cpu": None} if any("cuda" in str(pool) for pool in values.get("pools", {}).values()) else {}
    model = complete if pools else {}
    assert render({**model, **values, "pools": {**pools, **values.get("pools", {})}})
