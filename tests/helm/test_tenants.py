"""Without a database: tenants from the values, with generated API keys."""

from __future__ import annotations

import base64
import hashlib

from gateway.settings import Settings
from stores.api_keys import KEY
from stores.tenants_file.parser import TenantsFileContent
from tests.helm.tools import CHART, Object, containers, environment, find, names, pod_of, render


def decoded(secret: Object) -> dict[str, str]:
    return {name: base64.b64decode(value).decode() for name, value in secret["data"].items()}


def helm_test(objects: list[Object]) -> Object:
    (pod,) = [o for o in objects if o["kind"] == "Pod"]
    return pod


def test_a_key_is_generated_for_each_tenant_without_keys() -> None:
    objects = render(None, CHART / "ci/tenants-file.yaml")
    secret = decoded(find(objects, "Secret", "w-tenants"))
    assert secret.keys() == {"tenants.yaml", "globex"}, "acme brings a key of its own"
    assert KEY.fullmatch(secret["globex"])
    content = TenantsFileContent(secret["tenants.yaml"].encode(), Settings())
    assert content.tenants.keys() == {"acme", "globex"}
    (key,) = [key for key in content.keys.values() if key.tenant_id == "globex"]
    assert key.digest == hashlib.sha256(secret["globex"].encode()).hexdigest()
    assert key.id == secret["globex"].split("_")[1]
    assert ("acme", "tickets", 1) in content.label_sets
    assert secret["globex"] not in secret["tenants.yaml"]


def test_tenants_and_their_label_sets_say_what_special_tokens_are() -> None:
    label_set = {"name": "tickets", "labels": ["投诉"], "special_tokens": "model"}
    objects = render({"tenants": [{"id": "acme", "special_tokens": "text", "label_sets": [label_set]}]})
    content = TenantsFileContent(
        decoded(find(objects, "Secret", "w-tenants"))["tenants.yaml"].encode(), Settings()
    )
    assert content.tenants["acme"].special_tokens == "text"
    assert content.label_sets["acme", "tickets", 1].content.special_tokens == "model"


def test_the_gateway_mounts_the_digests_of_the_keys_and_no_key() -> None:
    gateway = find(render(), "Deployment", "w-gateway")
    (volume,) = [volume for volume in pod_of(gateway)["volumes"] if volume["name"] == "tenants"]
    assert volume["secret"] == {
        "secretName": "w-tenants",
        "items": [{"key": "tenants.yaml", "path": "tenants.yaml"}],
    }
    assert environment(containers(gateway)[0])["WANNENG_TENANTS_FILE"] == "/etc/wanneng/tenants.yaml"


def test_an_existing_secret_replaces_the_tenants() -> None:
    objects = render({"existingTenantsSecret": "mine"})
    assert "w-tenants" not in names(objects, "Secret")
    gateway = find(objects, "Deployment", "w-gateway")
    (volume,) = [volume for volume in pod_of(gateway)["volumes"] if volume["name"] == "tenants"]
    assert volume["secret"]["secretName"] == "mine"
    assert "KEY" not in environment(containers(helm_test(objects))[0])


def test_helms_test_uses_a_generated_key_or_the_one_that_is_named() -> None:
    def key(values: dict[str, object]) -> Object | None:
        source: Object | None = environment(containers(helm_test(render(values)))[0]).get("KEY")
        return source

    keys = [{"id": "4f1c0a9b7d2e", "sha256": "0" * 64}]
    assert key({}) == {"secretKeyRef": {"name": "w-tenants", "key": "default"}}
    tenants = [{"id": "a", "keys": keys}, {"id": "b"}]
    assert key({"tenants": tenants}) == {"secretKeyRef": {"name": "w-tenants", "key": "b"}}
    assert key({"tenants": tenants[:1]}) is None
    assert key({"testKeySecret": {"name": "mine"}}) == {"secretKeyRef": {"name": "mine", "key": "key"}}
