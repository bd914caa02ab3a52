"""Options of Pods, Services and other objects that charts of this kind have, each at every place that has it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests.helm.tools import CHART, Object, find, pod_of, render

DATABASE = CHART / "ci/database.yaml"
GPUS = CHART / "ci/gpus.yaml"
DEPLOYMENTS = {"w-gateway", "w-control-plane", "w-worker", "w-triton-cpu"}
VOLUME, MOUNT = {"name": "ca", "configMap": {"name": "ca"}}, {"name": "ca", "mountPath": "/ca"}
SIDECAR = {"name": "proxy", "image": "proxy:1"}
VARIABLE = {"name": "TZ", "value": "Asia/Shanghai"}


def workloads(values: dict[str, Any], *files: Any) -> list[Object]:
    """Deployments and Jobs."""
    return [o for o in render(values, *(files or (DATABASE,))) if o["kind"] in ("Deployment", "Job")]


def main(workload: Object) -> Object:
    container: Object = pod_of(workload)["containers"][0]
    return container


PRESENT: dict[str, tuple[Any, Callable[[Object], bool]]] = {
    # The value of the option, and whether a workload has it.
    "annotations": (
        {"mesh": "on"},
        lambda w: w["spec"]["template"]["metadata"]["annotations"].get("mesh") == "on",
    ),
    "labels": ({"team": "nlp"}, lambda w: w["spec"]["template"]["metadata"]["labels"].get("team") == "nlp"),
    "extraEnv": ([VARIABLE], lambda w: VARIABLE in main(w)["env"]),
    "extraVolumes": ([VOLUME], lambda w: VOLUME in pod_of(w)["volumes"]),
    "extraVolumeMounts": ([MOUNT], lambda w: MOUNT in main(w)["volumeMounts"]),
    "runtimeClassName": ("gvisor", lambda w: pod_of(w)["runtimeClassName"] == "gvisor"),
    "priorityClassName": ("high", lambda w: pod_of(w)["priorityClassName"] == "high"),
    "schedulerName": ("volcano", lambda w: pod_of(w)["schedulerName"] == "volcano"),
    "securityContext": (
        {"runAsUser": None, "runAsGroup": None, "supplementalGroups": [7]},
        lambda w: (
            pod_of(w)["securityContext"].items() >= {"runAsNonRoot": True, "supplementalGroups": [7]}.items()
            and "runAsUser" not in pod_of(w)["securityContext"]
        ),
    ),
}


@pytest.mark.parametrize("option", PRESENT)
def test_an_option_of_pods_reaches_every_deployment_and_job(option: str) -> None:
    value, has_it = PRESENT[option]
    for files in (DATABASE, GPUS):
        found = workloads({"pod": {option: value}}, files)
        assert {o["kind"] for o in found} == {"Deployment", "Job"}
        assert [o["metadata"]["name"] for o in found if not has_it(o)] == []


def test_a_sidecar_runs_beside_every_server_and_no_job() -> None:
    for workload in workloads({"pod": {"extraContainers": [SIDECAR]}}):
        assert (SIDECAR in pod_of(workload)["containers"]) == (workload["kind"] == "Deployment")
        assert main(workload) != SIDECAR, "`kubectl logs` shows the first container"


@pytest.mark.parametrize(
    ("values", "names"),
    [
        ({"gateway": {"pod": {"labels": {"a": "b"}}}}, {"w-gateway"}),
        ({"controlPlane": {"pod": {"labels": {"a": "b"}}}}, {"w-control-plane", "w-migration"}),
        ({"worker": {"pod": {"labels": {"a": "b"}}}}, {"w-worker"}),
        ({"poolDefaults": {"pod": {"labels": {"a": "b"}}}}, {"w-triton-cpu"}),
        ({"pools": {"cpu": {"pod": {"labels": {"a": "b"}}}}}, {"w-triton-cpu"}),
    ],
)
def test_a_component_has_options_of_its_own(values: dict[str, Any], names: set[str]) -> None:
    def labels(workload: Object) -> dict[str, str]:
        found: dict[str, str] = workload["spec"]["template"]["metadata"]["labels"]
        return found

    found = workloads({"pod": {"labels": {"a": "default", "c": "d"}}} | values)
    assert {o["metadata"]["name"] for o in found if labels(o)["a"] == "b"} == names
    assert all(labels(o)["c"] == "d" for o in found)


def test_the_labels_by_which_pods_are_selected_cannot_be_replaced() -> None:
    name = "app.kubernetes.io/component"
    for workload in workloads({"pod": {"labels": {name: "mine"}}}):
        assert workload["spec"]["template"]["metadata"]["labels"][name] != "mine"


def test_an_annotation_of_the_charts_own_is_there_once_and_wins() -> None:
    mine = dict.fromkeys(("karpenter.sh/do-not-disrupt", "wanneng.io/secrets", "helm.sh/hook"), "mine")
    for files in (DATABASE, GPUS):
        objects = render({"pod": {"annotations": mine}}, files)
        rendered = [o["spec"]["template"]["metadata"] for o in objects if o["kind"] == "Job"]
        assert {o["annotations"]["karpenter.sh/do-not-disrupt"] for o in rendered} == {"true"}
        assert find(objects, "Pod", "w-test")["metadata"]["annotations"]["helm.sh/hook"] == "test"
        gateway = find(objects, "Deployment", "w-gateway")["spec"]["template"]["metadata"]["annotations"]
        assert gateway["wanneng.io/secrets"] != "mine"


def test_the_pod_of_helm_test_has_labels_and_annotations_too() -> None:
    options = {"labels": {"team": "nlp"}, "annotations": {"mesh": "off"}}
    metadata = find(render({"pod": options}), "Pod", "w-test")["metadata"]
    assert metadata["labels"].items() >= {"team": "nlp", "app.kubernetes.io/component": "test"}.items()
    assert metadata["annotations"].items() >= {"mesh": "off", "helm.sh/hook": "test"}.items()


@pytest.mark.parametrize("option", ["annotations", "labels", "securityContext", "extraEnv", "extraVolumes"])
def test_an_option_of_pods_may_be_removed(option: str) -> None:
    for workload in workloads({"pod": {option: None}}):
        assert pod_of(workload)["securityContext"]["runAsNonRoot"] is True


def test_pods_can_be_scraped_by_annotation() -> None:
    ports = {}
    for workload in workloads({"monitoring": {"scrapeAnnotations": True}}):
        annotations = workload["spec"]["template"]["metadata"].get("annotations", {})
        if workload["kind"] == "Job":
            assert "prometheus.io/scrape" not in annotations
            continue
        assert (annotations["prometheus.io/scrape"], annotations["prometheus.io/path"]) == ("true", "/metrics")
        declared = [port["containerPort"] for port in main(workload)["ports"]]
        assert int(annotations["prometheus.io/port"]) in declared
        ports[workload["metadata"]["name"]] = annotations["prometheus.io/port"]
    assert ports.keys() == DEPLOYMENTS
    assert "prometheus.io" not in str(workloads({}))


def test_an_image_may_be_named_by_its_digest() -> None:
    digest = f"sha256:{'0' * 64}"
    (gateway,) = [
        o for o in workloads({"images": {"gateway": {"digest": digest}}}) if "gateway" in o["metadata"]["name"]
    ]
    assert main(gateway)["image"] == f"localhost/wanneng-gateway@{digest}"


@pytest.mark.parametrize(
    ("value", "name", "rendered"),
    [
        ({"type": "LoadBalancer", "loadBalancerClass": "example/nlb"}, "loadBalancerClass", "example/nlb"),
        (
            {"type": "LoadBalancer", "loadBalancerSourceRanges": ["10.0.0.0/8"]},
            "loadBalancerSourceRanges",
            ["10.0.0.0/8"],
        ),
        ({"type": "NodePort", "externalTrafficPolicy": "Local"}, "externalTrafficPolicy", "Local"),
        ({"trafficDistribution": "PreferClose"}, "trafficDistribution", "PreferClose"),
    ],
)
def test_options_of_the_service(value: dict[str, Any], name: str, rendered: Any) -> None:
    assert find(render({"service": value}), "Service", "w")["spec"][name] == rendered
    assert name not in find(render(), "Service", "w")["spec"]


def test_the_port_on_the_nodes_can_be_chosen() -> None:
    (port,) = find(render({"service": {"type": "NodePort", "nodePort": 30080}}), "Service", "w")["spec"]["ports"]
    assert port == {"name": "http", "port": 80, "targetPort": "http", "nodePort": 30080}
    assert "nodePort" not in find(render(), "Service", "w")["spec"]["ports"][0]


@pytest.mark.parametrize("component", ["gateway", "control-plane", "triton"])
def test_service_accounts_have_annotations(component: str) -> None:
    role = {"eks.amazonaws.com/role-arn": "arn:aws:iam::1:role/w"}
    values = {"serviceAccounts": {name: {"annotations": role} for name in ("gateway", "controlPlane", "triton")}}
    account = find(render(values, DATABASE), "ServiceAccount", f"w-{component}")
    assert account["metadata"]["annotations"] == role


def test_other_objects_are_created_with_the_release() -> None:
    extra = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "{{ .Release.Name }}-extra"}}
    assert find(render({"extraObjects": [extra]}), "ConfigMap", "w-extra") == extra | {
        "metadata": {"name": "w-extra"}
    }


def test_dns_is_reached_at_any_pod_and_at_the_cache_of_the_node() -> None:
    """NodeLocal DNSCache listens on a link-local address of the node, which belongs to no Pod."""
    policies = [o for o in render(None, DATABASE) if o["kind"] == "NetworkPolicy" and "egress" in o["spec"]]
    assert policies
    for each in policies:
        dns = each["spec"]["egress"][0]
        assert dns["to"] == [{"namespaceSelector": {}}, {"ipBlock": {"cidr": "169.254.20.10/32"}}]
    chosen = [{"ipBlock": {"cidr": "10.96.0.10/32"}}]
    (policy,) = [
        o
        for o in render({"networkPolicies": {"dns": chosen}})
        if o["metadata"]["name"] == "w-gateway" and o["kind"] == "NetworkPolicy"
    ]
    assert policy["spec"]["egress"][0]["to"] == chosen


@pytest.mark.parametrize(
    ("first", "second", "same"),
    [("1.2.3", "1.2.4", True), ("1.2.3", "1.3.0", False), ("v1.2.3", "v1.2.9", True), ("dev-a", "dev-b", False)],
)
def test_a_patch_release_of_an_image_builds_no_new_engines(first: str, second: str, same: bool) -> None:
    def jobs(tag: str) -> set[str]:
        values = {"images": {name: {"tag": tag} for name in ("tritonCpu", "tritonGpu")}}
        return {o["metadata"]["name"] for o in render(values, GPUS) if o["kind"] == "Job"}

    assert (jobs(first) == jobs(second)) is same
