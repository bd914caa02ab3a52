"""Values that are strings stay strings in the manifests, also those that YAML would read as another type."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest
import yaml

from tests.helm.tools import CHART, manifests

SCHEMA = json.loads((CHART / "values.schema.json").read_text(encoding="utf-8"))
STRING_TAG = "tag:yaml.org,2002:str"
DIGEST = "sha256:" + "0" * 64
EGRESS = {
    name: [{"ports": [{"port": 443}]}]
    for name in ("database", "redis", "collector", "webhook", "identityProvider", "storage")
}
NEEDED: dict[str, Any] = {
    "keySeed": "s" * 32,
    "monitoring": {"enabled": True, "scrapeAnnotations": True},
    "networkPolicies": {"enabled": True, "egress": EGRESS},
    "service": {"type": "LoadBalancer"},
    "ingress": {"enabled": True},
    "httpRoute": {"enabled": True, "parentRefs": [{"name": "gateway"}]},
    "autoscaling": {"provider": "keda"},
    "engines": {"volume": {"emptyDir": {}}},
    "pools": {"cpu": {"config": "local", "autoscaling": {"enabled": True}}},
}
"""What checks.yaml asks for where the strings are used."""
WITHOUT_DATABASE: dict[str, Any] = {"database": None, "controlPlane": {"oidc": None}}
OWN_TENANTS: dict[str, Any] = {"existingTenantsSecret": None, "testKeySecret": None}
BUILT: dict[str, Any] = {
    "engines": {"download": {"image": ""}},
    "pools": {"cpu": {"engine": "", "model": {"source": ""}}},
    "model": {"precision": "fp32"},
}
DOWNLOADED: dict[str, Any] = {
    "engines": {"download": {"command": ["download"]}},
    "pools": {"cpu": {"engineChecksum": DIGEST, "model": {"source": ""}}},
    "model": {"source": "", "precision": "fp32"},
}
ON_GPUS: dict[str, Any] = {
    "pools": {"cpu": {"config": "tensorrt-a10", "computeCapability": "8.6", "autoscaling": {"minReplicas": 2}}},
    "engines": {"build": {"enabled": True}},
}
OIDC = {
    "issuer": "https://login.example",
    "redirectUrls": ["https://c.example/console"],
    "scopes": ["openid"],
    "roles": {"admins": {"operator": True}},
}
CASES: dict[str, list[dict[str, Any]]] = {
    "tenants of the chart, engines built": [WITHOUT_DATABASE, OWN_TENANTS, BUILT],
    "tenants of a Secret, engines downloaded": [WITHOUT_DATABASE, DOWNLOADED],
    "a database, engines built for GPUs": [
        BUILT,
        ON_GPUS,
        {"database": {"url": None}, "controlPlane": {"oidc": OIDC}},
    ],
}


def filled(schema: dict[str, Any], text: str) -> Any:
    """Values with `text` wherever a string may be it; None where there is none."""
    if "$ref" in schema:
        schema = SCHEMA["$defs"][schema["$ref"].rpartition("/")[2]]
    if schema.get("type") == "string" and "enum" not in schema:
        fits = re.search(schema.get("pattern", ""), text) and schema.get("minLength", 0) <= len(text)
        return text if fits else None
    if schema.get("type") == "array":
        item = filled(schema.get("items", {}), text)
        return [item] if isinstance(item, str) else None
    values = {name: filled(each, text) for name, each in schema.get("properties", {}).items()}
    more = schema.get("additionalProperties")
    if isinstance(more, dict) and more.get("type") == "string" and "propertyNames" not in schema:
        values[text] = text
    return {name: value for name, value in values.items() if value is not None} or None


def merged(values: Any, changes: Any) -> Any:
    """`changes` win; None removes."""
    if not isinstance(values, dict) or not isinstance(changes, dict):
        return changes
    both = values | {name: merged(values.get(name), change) for name, change in changes.items()}
    return {name: value for name, value in both.items() if value is not None}


def mistaken(text: str, rendered: str) -> Iterator[str]:
    """The places of scalars with `text` that are something else than a string."""
    resolver = yaml.SafeLoader("")
    for event in yaml.parse(rendered):
        if isinstance(event, yaml.ScalarEvent) and text in re.split(r"[^\w.]", event.value):
            tag = resolver.resolve(yaml.ScalarNode, event.value, event.implicit)
            if tag != STRING_TAG and event.start_mark is not None:
                yield rendered.splitlines()[event.start_mark.line]


@pytest.mark.parametrize("text", ["123", "on"])
@pytest.mark.parametrize("case", CASES)
def test_a_string_of_the_values_is_a_string_in_the_manifests(case: str, text: str) -> None:
    values = filled(SCHEMA, text)
    values["pools"] = {"cpu": filled(SCHEMA["$defs"]["pool"], text)}
    values["tenants"] = [{"id": text, "name": text}]
    for changes in (NEEDED, *CASES[case]):
        values = merged(values, changes)
    values["pools"] = {"cpu": None, text: values["pools"]["cpu"]}
    rendered = manifests(values)
    assert text in rendered
    assert list(mistaken(text, rendered)) == []
