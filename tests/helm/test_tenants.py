"""Without a database: tenants from the values, with generated API keys."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping
from pathlib import Path

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


SEED = "0123456789abcdef" * 4


def secrets(values: Mapping[str, object], *files: Path) -> dict[str, dict[str, str]]:
    objects = render(values, *files)
    return {o["metadata"]["name"]: decoded(o) for o in objects if o["kind"] == "Secret"}


def test_with_a_seed_every_rendering_has_the_same_keys() -> None:
    """Where manifests are rendered without access to the cluster, the chart cannot find the existing ones."""
    tenants = {"keySeed": SEED, "tenants": [{"id": "a"}, {"id": "b"}]}
    first = secrets(tenants)
    assert first == secrets(tenants)
    keys = [first["w-tenants"][name] for name in ("a", "b")]
    assert all(KEY.fullmatch(key) for key in keys)
    assert keys[0] != keys[1]
    with_database = secrets({"keySeed": SEED}, CHART / "ci/database.yaml")
    assert with_database == secrets({"keySeed": SEED}, CHART / "ci/database.yaml")
    assert with_database["w-admin"]["admin-key"] != with_database["w-internal"]["internal-key"]
    assert SEED not in str((first, with_database))


def test_another_seed_or_release_has_other_keys() -> None:
    first = secrets({"keySeed": SEED})["w-tenants"]["default"]
    assert secrets({"keySeed": SEED[::-1]})["w-tenants"]["default"] != first
    assert secrets({"keySeed": SEED, "fullnameOverride": "x"})["x-tenants"]["default"] != first


def test_helm_never_deletes_a_secret_with_a_generated_key() -> None:
    """Not even when a failed upgrade or an uninstall removes it from the release."""
    for files in ((), (CHART / "ci/database.yaml",)):
        objects = render(None, *files)
        of_keys = ("w-tenants", "w-admin", "w-internal")
        generated = [o for o in objects if o["kind"] == "Secret" and o["metadata"]["name"] in of_keys]
        assert generated
        for secret in generated:
            assert secret["metadata"]["annotations"]["helm.sh/resource-policy"] == "keep"


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
