"""values.yaml, its schema, the table in the README and the lists in files/ agree, with each other and the code."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest
import yaml
from msgspec import Struct

from control_plane.settings import Settings as ControlPlaneSettings
from control_plane.settings import WorkerSettings
from gateway.settings import Settings as GatewaySettings
from stores.api_keys import KEY_ID
from stores.label_sets import MAX_VERSION, NAME
from stores.tenants import SCOPES
from stores.tenants_file import parser
from tests.helm.tools import CHART, ROOT, helm, refusal, variables
from web.metrics import SECONDS

VALUES = yaml.safe_load((CHART / "values.yaml").read_text(encoding="utf-8"))
SCHEMA = json.loads((CHART / "values.schema.json").read_text(encoding="utf-8"))
CONFIGS = yaml.safe_load((CHART / "files/configs.yaml").read_text(encoding="utf-8"))
SETTINGS = yaml.safe_load((CHART / "files/settings.yaml").read_text(encoding="utf-8"))
MODELS = ROOT / "model_repository"
HELMS_OWN = {"global"}
"""Helm adds it to the values of every chart."""


def resolved(schema: dict[str, Any]) -> dict[str, Any]:
    if "$ref" in schema:
        return dict(SCHEMA["$defs"][schema["$ref"].rpartition("/")[2]])
    return schema


def differences(values: Any, schema: dict[str, Any], path: str = "") -> Iterator[str]:
    schema = resolved(schema)
    if not isinstance(values, dict) or "properties" not in schema:
        return
    properties = schema["properties"]
    if schema.get("additionalProperties") is not False:
        yield f"{path} allows unknown values"
    for name in values.keys() ^ (properties.keys() - HELMS_OWN):
        # The defaults have no `claims`, and a component has no additions to its Pods.
        if not path.endswith("resources") and not (path.endswith(".pod") and path != ".pod"):
            yield f"{path}.{name} is in one of the two only"
    for name in values.keys() & properties.keys():
        yield from differences(values[name], properties[name], f"{path}.{name}")


def test_the_schema_has_the_same_values_as_the_defaults() -> None:
    assert list(differences(VALUES, SCHEMA)) == []


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"replicas": 3}, "replicas"),
        ({"gateway": {"replica": 3}}, "replica"),
        ({"pools": {"cpu": {"gpu": 1}}}, "gpu"),
        ({"pools": {"CPU": {}}}, "CPU"),
        ({"pools": {"cpu": {"weight": 0}}}, "weight"),
        ({"pools": {"cpu": {"rollout": "fast"}}}, "rollout"),
        ({"model": {"source": "/abs"}}, "source"),
        ({"model": {"source": "../out"}}, "source"),
        ({"model": {"precision": "int4"}}, "precision"),
        ({"tenants": [{"name": "no id"}]}, "id"),
        ({"tenants": [{"id": "a", "keys": [{"id": "x", "sha256": "y"}]}]}, "keys"),
        ({"tenants": [{"id": "a", "label_sets": [{"name": "Tickets", "labels": ["x"]}]}]}, "name"),
        ({"tenants": [{"id": "a", "label_sets": [{"name": "t", "labels": ["x", "x"]}]}]}, "labels"),
        ({"monitoring": {"latencySeconds": 0.25}}, "latencySeconds"),
        ({"gateway": {"settings": {"PATH": "x"}}}, "PATH"),
        ({"controlPlane": {"settings": {"PATH": "x"}}}, "PATH"),
        ({"controlPlane": {"settings": {"WANNENG_MAX_FILE_BYTES": []}}}, "WANNENG_MAX_FILE_BYTES"),
        ({"controlPlane": {"autoscaling": {"enabled": True}}}, "autoscaling"),
        ({"controlPlane": {"replicas": -1}}, "replicas"),
        ({"controlPlane": {"drainSeconds": 0}}, "drainSeconds"),
        ({"internalKeySecret": "name"}, "internalKeySecret"),
        ({"networkPolicies": {"egress": []}}, "egress"),
        ({"networkPolicies": {"egress": {"smtp": []}}}, "smtp"),
        ({"service": {"type": "ExternalName"}}, "type"),
    ],
)
def test_invalid_values_are_rejected_by_name(values: dict[str, Any], words: str) -> None:
    message = refusal(values)
    assert "values don't meet the specifications" in message
    assert words in message


def test_the_schema_of_tenants_is_that_of_the_tenants_file() -> None:
    tenant = SCHEMA["properties"]["tenants"]["items"]["properties"]
    assert tenant.keys() == set(parser._Tenant.__struct_fields__)
    assert tenant["quota"]["properties"].keys() == set(parser._Quota.__struct_fields__)
    key, label_set = (tenant[name]["items"]["properties"] for name in ("keys", "label_sets"))
    assert key.keys() == set(parser._Key.__struct_fields__)
    assert label_set.keys() == set(parser._LabelSet.__struct_fields__)
    assert set(key["scopes"]["items"]["enum"]) == set(SCOPES)
    assert tenant["id"]["pattern"] == f"^{parser.TENANT_ID.pattern}$"
    assert key["id"]["pattern"] == f"^{KEY_ID.pattern}$"
    assert label_set["name"]["pattern"] == f"^{NAME.pattern}$"
    assert (label_set["version"]["minimum"], label_set["version"]["maximum"]) == (1, MAX_VERSION)


def test_latency_objectives_are_bounds_of_the_histogram() -> None:
    allowed = SCHEMA["properties"]["monitoring"]["properties"]["latencySeconds"]["enum"]
    assert set(allowed) <= set(SECONDS)


def test_the_settings_that_the_values_accept_are_those_of_the_processes() -> None:
    """All but those that the chart sets itself, and the one that is for a single machine."""
    set_by_the_chart = {
        "gateway": {"HOST", "PORT", "INTERNAL_PORT", "TRITON_URL", "LENGTH_BUCKETS", "TENANTS_FILE", "DRAIN_S"}
        | {"DATABASE_URL", "REDIS_URL", "CONTROL_PLANE_URL", "INTERNAL_KEY", "SAME_USER"},
        "controlPlane": {
            "CONTROL_PLANE_HOST",
            "CONTROL_PLANE_PORT",
            "CONTROL_PLANE_INTERNAL_PORT",
            "GATEWAY_METRICS_URL",
            "SAME_USER",
            "DATABASE_URL",
            "ADMIN_KEY",
            "DRAIN_S",
        }
        | {"INTERNAL_KEY", "OIDC_ISSUER", "OIDC_CLIENT_ID", "OIDC_CLIENT_SECRET", "OIDC_REDIRECT_URLS"}
        | {"OIDC_SCOPES", "OIDC_CLAIM", "OIDC_ROLES", "OIDC_SESSION_S"},
        "worker": {"WORKER_PORT", "DATABASE_URL", "GATEWAY_URL", "INTERNAL_KEY", "SAME_USER"}
        | {"BUDGET_WEBHOOK_SECRET"},
    }
    read: dict[str, type[Struct]] = {
        "gateway": GatewaySettings,
        "controlPlane": ControlPlaneSettings,
        "worker": WorkerSettings,
    }
    for process, settings in read.items():
        expected = variables(settings) - {f"WANNENG_{name}" for name in set_by_the_chart[process]}
        assert set(SETTINGS[process]) == expected, process


def test_every_hardware_configuration_is_known_to_the_chart_with_its_buckets() -> None:
    buckets: dict[str, set[int]] = {}
    for path in MODELS.glob("structbert*/configs/*.pbtxt"):
        bucket = path.parts[-3].partition("_s")[2]
        buckets.setdefault(path.stem, set()).update({int(bucket)} if bucket else set())
    # Tests on a CPU how TensorRT is served, more slowly than `local`.
    del buckets["local-padded"]
    assert {name: set(facts["buckets"]) for name, facts in CONFIGS.items()} == buckets


@pytest.mark.parametrize("name", CONFIGS)
def test_the_facts_about_a_configuration_match_its_file(name: str) -> None:
    facts = CONFIGS[name]
    (path, *_) = sorted(MODELS.glob(f"structbert*/configs/{name}.pbtxt"))
    text = path.read_text(encoding="utf-8")
    backend = re.search(r'^backend: "(\w+)"', text, re.MULTILINE)
    assert backend is not None
    assert facts["gpu"] == ("KIND_GPU" in text)
    assert facts["image"] == ("tritonCpu" if backend[1] == "python" else "tritonGpu")
    assert (facts["target"] == "tensorrt") == (backend[1] == "tensorrt")
    assert (facts["front"] == "ragged") == (backend[1] == "onnxruntime")


def test_the_precisions_of_a_configuration_can_be_built() -> None:
    recipe = (ROOT / "engine/recipe.py").read_text(encoding="utf-8")
    definition = re.search(r"PRECISIONS = (\{.*?\})\n", recipe, re.DOTALL)
    assert definition is not None
    precisions = yaml.safe_load(re.sub(r"\(|\)", lambda m: "[" if m[0] == "(" else "]", definition[1]))
    for name, facts in CONFIGS.items():
        # w8 engines are not built on a cluster, and OpenVINO runs the others: the CPU image alone has either.
        excluded = {"w8", "bf16", "int8"} if facts["image"] != "tritonCpu" else set()
        assert set(facts["precisions"]) == set(precisions[facts["target"]]) - excluded, name


def test_the_table_in_the_readme_is_up_to_date() -> None:
    done = subprocess.run(
        [sys.executable, "helm/readme.py", "--check"], check=False, cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr


def test_every_value_is_documented() -> None:
    done = subprocess.run(
        [sys.executable, "helm/readme.py", "--undocumented"], check=True, cwd=ROOT, capture_output=True, text=True
    )
    assert done.stdout == ""


def test_an_old_kubernetes_is_rejected() -> None:
    done = helm("template", "w", str(CHART), "--kube-version", "1.29.0")
    assert done.returncode != 0
    assert "1.30" in done.stderr
