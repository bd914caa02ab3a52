"""The chart with a database: migration before the first pod, the whole tenant API, batches, kept secrets."""

from __future__ import annotations

import http.client
import json
import subprocess
from collections.abc import Callable, Iterator
from contextlib import closing
from typing import Any

import pytest

from tests.cluster.kubernetes import TIMEOUT_S, Kubernetes, Release, eventually
from tests.postgresql import postgresql_server

NODE = "10.244.0.1"
"""This machine, as pods of its own cluster reach it."""
PODS = "10.244.0.0/16"
JSON = "application/json"


@pytest.fixture(scope="module")
def database(kubernetes: Kubernetes) -> Iterator[str]:
    if kubernetes.own is None:
        pytest.skip("pods of another cluster do not reach a database on this machine")
    with postgresql_server(NODE, PODS) as server:
        yield f"{server.url}/postgres"


@pytest.fixture(scope="module")
def release(namespaced: Callable[[dict[str, Any]], Release], database: str) -> Release:
    values = {
        "database": {"url": database},
        "networkPolicies": {"egress": [{"to": [{"ipBlock": {"cidr": f"{NODE}/32"}}]}]},
        "gateway": {"settings": {"WANNENG_PAIRS_PER_MINUTE": "100000"}},
        "pools": {"cpu": {"replicas": 1}},
    }
    made = namespaced(values)
    made.install("--wait")
    return made


def call(
    release: Release, method: str, path: str, key: str, body: Any = None, kind: str = "application/json"
) -> Any:
    data = body if isinstance(body, bytes) or body is None else json.dumps(body).encode()
    with closing(http.client.HTTPConnection(release.address, timeout=TIMEOUT_S)) as connection:
        connection.request(method, path, data, {"Authorization": f"Bearer {key}", "Content-Type": kind})
        answer = connection.getresponse()
        said = answer.read()
    assert answer.status < 300, said
    return json.loads(said) if said.startswith((b"{", b"[")) and b"\n{" not in said else said


def test_helms_test_makes_a_tenant_of_its_own_and_removes_it(release: Release) -> None:
    said = release.kubernetes.helm("test", release.name, "--namespace", release.namespace, "--logs")
    assert "Phase:          Succeeded" in said
    admin = release.secret(f"{release.name}-admin")["admin-key"]
    assert call(release, "GET", "/v1/tenants", admin)["tenants"] == []


def test_a_tenant_is_made_and_its_batch_is_answered_by_the_worker(release: Release) -> None:
    admin = release.secret(f"{release.name}-admin")["admin-key"]
    tenant = call(release, "POST", "/v1/tenants", admin, {"name": "acme"})["id"]
    key = call(release, "POST", f"/v1/tenants/{tenant}/keys", admin, {})["key"]
    line = {
        "custom_id": "1",
        "method": "POST",
        "url": "/v1/classify",
        "body": {"text": "要求退款", "labels": "投诉,咨询"},
    }
    boundary = "batchlines"
    form = (
        f'--{boundary}\r\nContent-Disposition: form-data; name="purpose"\r\n\r\nbatch\r\n'
        f'--{boundary}\r\nContent-Disposition: form-data; name="file"; filename="lines.jsonl"\r\n\r\n'
        f"{json.dumps(line)}\n\r\n--{boundary}--\r\n"
    ).encode()
    file = call(release, "POST", "/v1/files", key, form, f"multipart/form-data; boundary={boundary}")["id"]
    batch = call(
        release,
        "POST",
        "/v1/batches",
        key,
        {"input_file_id": file, "endpoint": "/v1/classify", "completion_window": "24h"},
    )["id"]

    def done() -> Any:
        found = call(release, "GET", f"/v1/batches/{batch}", key)
        return found if found["status"] == "completed" else None

    assert eventually("the batch is answered", done)["request_counts"]["completed"] == 1


def test_an_upgrade_keeps_the_operators_key_and_the_tenants(release: Release) -> None:
    admin = release.secret(f"{release.name}-admin")["admin-key"]
    tenants = call(release, "GET", "/v1/tenants", admin)["tenants"]
    release.upgrade("--wait")
    assert release.secret(f"{release.name}-admin")["admin-key"] == admin
    assert call(release, "GET", "/v1/tenants", admin)["tenants"] == tenants


def test_the_databases_url_is_in_secrets_alone(release: Release, database: str) -> None:
    said = subprocess.run(
        ["kubectl", "get", "all", "-n", release.namespace, "-o", "yaml"],
        check=True,
        env=dict(release.kubernetes.environment),
        capture_output=True,
        text=True,
    ).stdout
    assert database not in said
    assert f"{release.name}-migration" not in release.kubectl("get", "secrets", "-o", "name")
