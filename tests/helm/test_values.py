"""values.yaml, its schema, its table in the README and the facts about configs say the same."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest
import yaml

from tests.helm.tools import CHART, ROOT, helm, refusal

VALUES = yaml.safe_load((CHART / "values.yaml").read_text(encoding="utf-8"))
SCHEMA = json.loads((CHART / "values.schema.json").read_text(encoding="utf-8"))
CONFIGS = yaml.safe_load((CHART / "files/configs.yaml").read_text(encoding="utf-8"))
MODELS = ROOT / "model_repository"
FREE = {"global"}
"""Helm's own, which no chart lists."""


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
        yield f"{path} allows what nobody knows"
    for name in values.keys() ^ (properties.keys() - FREE):
        # Parts of a container's resources may be left out.
        if not path.endswith("resources"):
            yield f"{path}.{name} is in one of the two alone"
    for name in values.keys() & properties.keys():
        yield from differences(values[name], properties[name], f"{path}.{name}")


def test_the_schema_knows_every_value_and_no_other() -> None:
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
        ({"monitoring": {"latencySeconds": 0.25}}, "latencySeconds"),
        ({"gateway": {"settings": {"PATH": "x"}}}, "PATH"),
        ({"service": {"type": "ExternalName"}}, "type"),
    ],
)
def test_what_the_schema_does_not_know_is_refused_by_name(values: dict[str, Any], words: str) -> None:
    said = refusal(values)
    assert "values don't meet the specifications" in said
    assert words in said


def test_latency_bounds_are_those_of_the_histogram() -> None:
    from gateway.telemetry import SECONDS

    allowed = SCHEMA["properties"]["monitoring"]["properties"]["latencySeconds"]["enum"]
    assert set(allowed) <= set(SECONDS)


def test_every_hardware_config_is_known_to_the_chart_with_its_buckets() -> None:
    there: dict[str, set[int]] = {}
    for path in MODELS.glob("structbert*/configs/*.pbtxt"):
        bucket = path.parts[-3].partition("_s")[2]
        there.setdefault(path.stem, set()).update({int(bucket)} if bucket else set())
    assert {name: set(facts["buckets"]) for name, facts in CONFIGS.items()} == there


@pytest.mark.parametrize("name", CONFIGS)
def test_a_configs_facts_are_those_of_its_file(name: str) -> None:
    facts = CONFIGS[name]
    (path, *_) = sorted(MODELS.glob(f"structbert*/configs/{name}.pbtxt"))
    text = path.read_text(encoding="utf-8")
    backend = re.search(r'^backend: "(\w+)"', text, re.MULTILINE)
    assert backend is not None
    assert facts["gpu"] == ("KIND_GPU" in text)
    assert facts["image"] == ("tritonCpu" if backend[1] == "python" else "tritonGpu")
    assert (facts["target"] == "tensorrt") == (backend[1] == "tensorrt")
    assert (facts["front"] == "ragged") == (backend[1] == "onnxruntime")


def test_the_precisions_of_a_config_are_those_that_can_be_built() -> None:
    recipe = (ROOT / "engine/recipe.py").read_text(encoding="utf-8")
    found = re.search(r"PRECISIONS = (\{.*?\})\n", recipe, re.DOTALL)
    assert found is not None
    precisions = yaml.safe_load(re.sub(r"\(|\)", lambda m: "[" if m[0] == "(" else "]", found[1]))
    for name, facts in CONFIGS.items():
        # Rounded weights are built from a snapshot, never on a cluster; the image brings the embedded ones.
        kept = {"w8"} if facts["image"] != "tritonCpu" else set()
        assert set(facts["precisions"]) == set(precisions[facts["target"]]) - kept, name


def test_the_table_of_values_is_the_one_that_the_values_make() -> None:
    made = subprocess.run(
        [sys.executable, "helm/readme.py", "--check"], check=False, cwd=ROOT, capture_output=True, text=True
    )
    assert made.returncode == 0, made.stderr


def test_every_value_says_what_it_means() -> None:
    made = subprocess.run(
        [sys.executable, "helm/readme.py", "--undocumented"], check=True, cwd=ROOT, capture_output=True, text=True
    )
    assert made.stdout == ""


def test_a_new_chart_says_which_kubernetes_it_needs() -> None:
    done = helm("template", "w", str(CHART), "--kube-version", "1.29.0")
    assert done.returncode != 0
    assert "1.30" in done.stderr
