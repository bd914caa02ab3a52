"""Which connections the network policies allow."""

from __future__ import annotations

from typing import Any

import pytest

from tests.helm.tools import CHART, Object, find, render

DATABASE = CHART / "ci/database.yaml"
PROMETHEUS = {"namespaceSelector": {}, "podSelector": {"matchLabels": {"app.kubernetes.io/name": "prometheus"}}}


def policy(objects: list[Object], component: str) -> dict[str, Any]:
    spec: dict[str, Any] = find(objects, "NetworkPolicy", f"w-{component}")["spec"]
    assert spec["policyTypes"] == ["Ingress", "Egress"]
    return spec


def components(peers: list[Object]) -> list[str]:
    """Components of this release and namespace."""
    assert all(peer.keys() == {"podSelector"} for peer in peers)
    labels = [peer["podSelector"]["matchLabels"] for peer in peers]
    assert all(each["app.kubernetes.io/instance"] == "w" for each in labels)
    return [each["app.kubernetes.io/component"] for each in labels]


def egress(objects: list[Object], component: str) -> list[tuple[str, int]]:
    """Where `component` may connect to besides DNS: a component or a namespace, and a port."""
    dns, *rules = policy(objects, component)["egress"]
    assert {port["port"] for port in dns["ports"]} == {53}
    allowed = []
    for rule in rules:
        (peer,), (port,) = rule["to"], rule["ports"]
        if "namespaceSelector" in peer:
            target = peer["namespaceSelector"]["matchLabels"]["kubernetes.io/metadata.name"]
        else:
            (target,) = components([peer])
        allowed.append((target, port["port"]))
    return allowed


def test_only_gateways_and_prometheus_connect_to_triton_which_connects_to_nothing() -> None:
    triton = policy(render(None, DATABASE), "triton")
    assert "egress" not in triton, "an empty list would differ from what the API server stores"
    inference, metrics = triton["ingress"]
    assert inference["ports"] == [{"port": 8000}]
    assert components(inference["from"]) == ["gateway"]
    assert metrics == {"from": [PROMETHEUS], "ports": [{"port": 8002}]}


def test_only_gateways_and_prometheus_connect_to_the_control_plane() -> None:
    calls, metrics = policy(render(None, DATABASE), "control-plane")["ingress"]
    assert calls["ports"] == [{"port": 8081}]
    assert components(calls["from"]) == ["gateway"]
    assert metrics == {"from": [PROMETHEUS], "ports": [{"port": 8082}]}


def test_without_prometheus_nothing_but_gateways_connects_to_triton_and_the_control_plane() -> None:
    """An empty `from` would allow everybody."""
    objects = render({"networkPolicies": {"prometheusFrom": []}}, DATABASE)
    for component, port in (("triton", 8000), ("control-plane", 8081)):
        (rule,) = policy(objects, component)["ingress"]
        assert rule["ports"] == [{"port": port}]
        assert components(rule["from"]) == ["gateway"]


@pytest.mark.parametrize(
    ("component", "allowed"),
    [
        ("gateway", [("triton", 8000), ("control-plane", 8081), ("databases", 5432), ("databases", 6379)]),
        ("control-plane", [("gateway", 8090), ("databases", 5432)]),
        ("worker", [("gateway", 8080), ("databases", 5432)]),
        ("migration", [("databases", 5432)]),
    ],
)
def test_each_component_connects_only_to_what_it_needs(component: str, allowed: list[tuple[str, int]]) -> None:
    """Redis, on port 6379, is for gateways alone."""
    assert egress(render(None, DATABASE), component) == allowed


def test_both_planes_and_the_worker_connect_to_the_collector() -> None:
    rule = {
        "to": [{"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "tracing"}}}],
        "ports": [{"port": 4318}],
    }
    objects = render({"networkPolicies": {"egress": {"collector": [rule]}}}, DATABASE)
    for component in ("gateway", "control-plane", "worker"):
        assert ("tracing", 4318) in egress(objects, component)
    assert ("tracing", 4318) not in egress(objects, "migration")


def test_without_a_database_a_gateway_connects_to_triton_alone() -> None:
    assert egress(render(), "gateway") == [("triton", 8000)]


def test_nothing_but_prometheus_connects_to_the_worker_and_nothing_to_the_migration() -> None:
    objects = render(None, DATABASE)
    assert policy(objects, "worker")["ingress"] == [{"from": [PROMETHEUS], "ports": [{"port": 8091}]}]
    assert "ingress" not in policy(objects, "migration")
    without = render({"networkPolicies": {"prometheusFrom": []}}, DATABASE)
    assert "ingress" not in policy(without, "worker")


CLIENTS = {"ipBlock": {"cidr": "10.0.0.0/8"}}
OPERATORS = {"podSelector": {"matchLabels": {"role": "operator"}}}


@pytest.mark.parametrize(("files", "own"), [((), ["test"]), ((DATABASE,), ["test", "worker"])])
def test_clients_of_the_gateway_can_be_restricted(files: tuple[Any, ...], own: list[str]) -> None:
    """Its own Pods keep access; a Pod that calls itself Prometheus has none."""
    calls, _ = policy(render({"networkPolicies": {"gatewayFrom": [CLIENTS]}}, *files), "gateway")["ingress"]
    assert calls["ports"] == [{"port": 8080}]
    clients, *others = calls["from"]
    assert clients == CLIENTS
    assert components(others) == own


def test_without_restriction_everybody_may_call_the_gateway() -> None:
    calls, _ = policy(render(), "gateway")["ingress"]
    assert calls == {"ports": [{"port": 8080}]}


def test_only_prometheus_operators_and_the_control_plane_connect_to_the_internal_port() -> None:
    objects = render({"networkPolicies": {"operatorsFrom": [OPERATORS]}}, DATABASE)
    _, internal = policy(objects, "gateway")["ingress"]
    assert internal["ports"] == [{"port": 8090}]
    prometheus, operators, *others = internal["from"]
    assert (prometheus, operators) == (PROMETHEUS, OPERATORS)
    assert components(others) == ["test", "control-plane"]


def test_without_peers_nothing_but_helms_test_connects_to_the_internal_port() -> None:
    """An empty `from` would allow everybody."""
    _, internal = policy(render({"networkPolicies": {"prometheusFrom": []}}), "gateway")["ingress"]
    assert components(internal["from"]) == ["test"]
