"""Values that contradict each other are rejected with a message that says how to fix them."""

from __future__ import annotations

from typing import Any

import pytest

from tests.helm.test_triton import INT8
from tests.helm.tools import CHART, refusal, render

KEY = {"id": "4f1c0a9b7d2e", "sha256": "0" * 64}
TICKETS = {"name": "tickets", "labels": ["投诉"]}
HOME = {"pod": {"extraEnv": [{"name": "HOME", "value": "/"}]}}
SUM = f"sha256:{'0' * 64}"


def downloaded(engines: dict[str, Any]) -> dict[str, Any]:
    """A pool that names its engine, with its checksum."""
    return {
        "engines": {"volume": {"emptyDir": {}}, **engines},
        "pools": {"cpu": {"engine": "a", "engineChecksum": SUM}},
    }


FP32 = {"source": "a", "precision": "fp32"}
REFUSED: list[tuple[dict[str, Any], str]] = [
    ({"pools": {"cpu": None}}, "pools: at least one pool is required"),
    ({"pools": {"cpu": {"config": "h100"}}}, "pools.cpu.config: unknown configuration h100; use one of local"),
    (
        {"pools": {"a10": {"config": "onnx-cuda"}}},
        "pools.a10.config: onnx-cuda cannot run the embedded model; set model.source",
    ),
    (
        {**INT8, "pools": {"a10": {"config": "onnx-cuda"}}},
        "pools.a10.config: onnx-cuda supports fp16, fp32 but model.precision is int8",
    ),
    (
        {**INT8, "model": {"source": "a", "precision": "bf16"}, "pools": {"cpu": {"config": "onnx-cpu"}}},
        "pools.cpu.config: onnx-cpu supports fp32 but model.precision is bf16",
    ),
    (
        {**INT8, "model": {"source": "a", "precision": "fp16"}},
        "pools.cpu.config: local supports fp32, bf16, int8 but model.precision is fp16",
    ),
    (
        {**INT8, "model": FP32, "pools": {"z": {"config": "tensorrt-a10", "computeCapability": "8.6"}}},
        "pools.z.config: tensorrt-a10 and the configuration of pool cpu have different length buckets",
    ),
    (
        {**INT8, "model": {"source": "a", "precision": "fp16"}, "pools": {"cpu": {"config": "tensorrt-a10"}}},
        "pools.cpu.computeCapability: required for TensorRT",
    ),
    (
        {"model": {"source": "sources/a"}},
        "engines.volume: required, because model.source and engine of a pool are paths on this volume",
    ),
    (
        {**INT8, "model": FP32, "engines": {**INT8["engines"], "keep": 3}, "pools": {"z": {"config": "onnx-cpu"}}},
        "engines.keep: 3 is less than 4; the release builds 2 engines",
    ),
    (
        {
            "model": {"source": "a", "precision": "fp16"},
            "engines": {**INT8["engines"], "build": {"priorityClassName": "engine-builds"}},
            "pools": {"cpu": {"config": "tensorrt-a10", "computeCapability": "8.6", "replicas": 1}},
        },
        "engines.build.priorityClassName: a build could take the GPU of the release's only Pod, in pool cpu",
    ),
    (
        {"pools": {"cpu": {"engine": "plans/x"}, "z": {}}, "engines": {"volume": {"emptyDir": {}}}},
        "pools.z.engine: required, because another pool names its engine",
    ),
    (
        {"networkPolicies": {"enabled": False}},
        "networkPolicies: the Triton of pool cpu has published vulnerabilities",
    ),
    ({"pools": {"cpu": {"autoscaling": {"enabled": True}}}}, "set monitoring.enabled to true"),
    (
        {"monitoring": {"enabled": True}, "pools": {"cpu": {"autoscaling": {"enabled": True, "minReplicas": 9}}}},
        "pools.cpu.autoscaling: minReplicas is greater than maxReplicas",
    ),
    (
        {
            "monitoring": {"enabled": True},
            "autoscaling": {"provider": "keda"},
            "pools": {"cpu": {"autoscaling": {"enabled": True}}},
        },
        "autoscaling.prometheusUrl: required for KEDA",
    ),
    (
        {"monitoring": {"enabled": True}, "pools": {"cpu": {"autoscaling": {"enabled": True, "minReplicas": 0}}}},
        "pools.cpu.autoscaling.minReplicas: 0 needs KEDA",
    ),
    (
        {
            "monitoring": {"enabled": True},
            "autoscaling": {"provider": "keda", "prometheusUrl": "http://p"},
            "pools": {"cpu": {"autoscaling": {"enabled": True, "minReplicas": 0}}, "z": {}},
        },
        "pools.z.autoscaling: keeps Pods that answer every request",
    ),
    (
        {"gateway": {"autoscaling": {"enabled": True, "minReplicas": 99}}},
        "gateway.autoscaling: minReplicas is greater than maxReplicas",
    ),
    (
        {"gateway": {"autoscaling": {"enabled": True, "requestsPerReplica": 40}}},
        "gateway.autoscaling.requestsPerReplica: requires the recording rules",
    ),
    (
        {"pools": {"cpu": {"engineChecksum": SUM}}},
        "pools.cpu.engineChecksum: is that of an engine that was built before",
    ),
    (
        {"engines": {"download": {"image": "aws", "command": ["x"]}}},
        "engines.download: pools.cpu needs engine and engineChecksum",
    ),
    (
        downloaded(engines={"download": {"image": "aws"}}),
        "engines.download.command: required",
    ),
    (
        downloaded(engines={"download": {"image": "aws", "command": ["x"]}}),
        "networkPolicies.egress.storage: the network policies block",
    ),
    ({"database": {"url": "sqlite:///data/wanneng.db"}}, "database.url: SQLite cannot be shared between Pods"),
    ({"database": {"url": "mysql://host/db"}}, "database.url: must start with postgresql://"),
    (
        {"database": {"url": "postgresql://h/d", "existingSecret": {"name": "pg"}}},
        "database: url and existingSecret are mutually exclusive",
    ),
    (
        {"redis": {"url": "redis://h", "existingSecret": {"name": "r"}}},
        "redis: url and existingSecret are mutually exclusive",
    ),
    ({"database": {"url": "postgresql://h/d"}}, "networkPolicies.egress.database: the network policies block"),
    ({"redis": {"url": "redis://h"}}, "networkPolicies.egress.redis: the network policies block"),
    (
        {"gateway": {"settings": {"WANNENG_OTLP_ENDPOINT": "http://c:4318"}}},
        "networkPolicies.egress.collector: the network policies block",
    ),
    (
        {"controlPlane": {"settings": {"WANNENG_BUDGET_WEBHOOK_URL": "https://a.example"}}},
        "worker.budgetWebhookSecret: alerts for WANNENG_BUDGET_WEBHOOK_URL are signed",
    ),
    (
        {
            "controlPlane": {"settings": {"WANNENG_BUDGET_WEBHOOK_URL": "https://a.example"}},
            "worker": {"budgetWebhookSecret": {"name": "mine"}},
        },
        "networkPolicies.egress.webhook: the network policies block",
    ),
    (
        {"controlPlane": {"oidc": {"issuer": "https://login.example"}}},
        "controlPlane.oidc: there is no console to sign in to without a database",
    ),
    (
        {"controlPlane": {"oidc": {"issuer": "https://login.example"}}, "database": {"url": "postgresql://h/d"}},
        "controlPlane.oidc: the issuer needs a clientId, redirectUrls and roles",
    ),
    (
        {
            "controlPlane": {
                "oidc": {
                    "issuer": "https://login.example",
                    "clientId": "console",
                    "redirectUrls": ["https://c.example/console"],
                    "roles": {"admins": {"operator": True}},
                }
            },
            "database": {"url": "postgresql://h/d"},
            "networkPolicies": {"egress": {"database": [{}]}},
        },
        "networkPolicies.egress.identityProvider: the network policies block",
    ),
    (
        {"gateway": {"settings": {"WANNENG_PORT": 1}}},
        "gateway.settings.WANNENG_PORT: the gateway has no such setting, or the chart sets it itself",
    ),
    (
        {"gateway": {"settings": {"WANNENG_BATCH_LINES_AT_ONCE": 4}}},
        "gateway.settings.WANNENG_BATCH_LINES_AT_ONCE: this is a setting of the control plane",
    ),
    (
        {"controlPlane": {"settings": {"WANNENG_ADMIN_KEY": "x"}}},
        "controlPlane.settings.WANNENG_ADMIN_KEY: the control plane has no such setting, or the chart sets it",
    ),
    (
        {"controlPlane": {"settings": {"WANNENG_CACHE_BYTES": 1}}},
        "controlPlane.settings.WANNENG_CACHE_BYTES: this is a setting of the gateway",
    ),
    (
        {"pod": {"extraEnv": [{"name": "WANNENG_PORT", "value": "1"}]}},
        "pod.extraEnv: the chart sets WANNENG_PORT itself; `settings` of the gateway",
    ),
    *(
        (part, f"{where}.pod.extraEnv: the chart sets HOME itself")
        for where, part in (
            ("gateway", {"gateway": HOME}),
            ("controlPlane", {"controlPlane": HOME}),
            ("worker", {"worker": HOME}),
            ("poolDefaults", {"poolDefaults": HOME}),
            ("pools.cpu", {"pools": {"cpu": HOME}}),
        )
    ),
    ({"service": {"nodePort": 30080}}, "service.nodePort: a Service of type ClusterIP cannot have one"),
    ({"service": {"externalTrafficPolicy": "Local"}}, "set service.type to NodePort or LoadBalancer, or remove"),
    (
        {"service": {"type": "NodePort", "loadBalancerClass": "example/nlb"}},
        "service.loadBalancerClass: a Service of type NodePort cannot have one; set service.type to LoadBalancer",
    ),
    (
        {"service": {"loadBalancerSourceRanges": ["10.0.0.0/8"]}},
        "service.loadBalancerSourceRanges: a Service of type ClusterIP cannot have one",
    ),
    ({"ingress": {"enabled": True}}, "ingress.hosts: at least one host is required"),
    ({"httpRoute": {"enabled": True}}, "httpRoute.parentRefs: at least one Gateway is required"),
    ({"tenants": []}, "tenants: at least one tenant is required without a database"),
    ({"keySeed": "short"}, "keySeed: at least 32 characters are required"),
    ({"tenants": [{"id": "a"}, {"id": "b"}, {"id": "a"}]}, "tenants: the id a is declared twice"),
    ({"tenants": [{"id": "a", "name": "b"}, {"id": "b"}]}, "tenants: a and b have the same name, b"),
    (
        {"tenants": [{"id": "a", "keys": [KEY]}, {"id": "b", "keys": [KEY]}]},
        "tenants: the key 4f1c0a9b7d2e is declared for a and for b",
    ),
    (
        {"tenants": [{"id": "a", "label_sets": [TICKETS, {**TICKETS, "version": 1}]}]},
        "tenants: a declares the label set tickets, version 1, twice",
    ),
]


@pytest.mark.parametrize(("values", "words"), REFUSED, ids=[words for _, words in REFUSED])
def test_contradictory_values_are_rejected(values: dict[str, Any], words: str) -> None:
    assert words in refusal(values)


def test_the_same_label_set_may_have_several_versions_and_belong_to_several_tenants() -> None:
    second = {**TICKETS, "version": 2}
    render({"tenants": [{"id": name, "label_sets": [TICKETS, second]} for name in ("a", "b")]})


def test_every_message_is_tested() -> None:
    """That of a missing Secret needs a cluster: tests/cluster/without_database/test_release.py."""
    text = (CHART / "templates/checks.yaml").read_text(encoding="utf-8")
    assert text.count("{{- fail ") <= len(REFUSED)
