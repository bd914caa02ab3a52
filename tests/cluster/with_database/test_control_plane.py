"""A release with a database: both planes, the worker, and what gateways do while the control plane is away."""

from __future__ import annotations

import http.client
import json
import time

import pytest
from alembic.script import ScriptDirectory

from stores.revisions import MIGRATIONS
from tests.cluster.api import Api
from tests.cluster.kubernetes import Release, eventually
from tests.cluster.load import lossless

ACTS_WITHIN_S = 6.0
"""WANNENG_KEY_CACHE_TTL_S, and a second for the request."""
OVERLAP_S = 2.0
"""Shorter than that: a gateway must not trust a key until it reads its record again."""
REPLICAS = 2
REVISION = """
import sqlalchemy as sa
from alembic import op

revision = "next"
down_revision = compatible_with = "{newest}"


def upgrade() -> None:
    op.add_column("tenants", sa.Column("of_the_next_release", sa.String(8)))
"""


@pytest.fixture(scope="module")
def key(release: Release) -> str:
    """An API key of a tenant."""
    return release.operators_api.create_tenant(release.admin_key, "acme")[1]


def test_helms_test_creates_a_tenant_and_deletes_it(release: Release) -> None:
    before = release.operators_api.call("GET", "/v1/tenants", release.admin_key)["tenants"]
    output = release.kubernetes.helm("test", release.name, "--namespace", release.namespace, "--logs")
    assert "Phase:          Succeeded" in output
    assert release.operators_api.call("GET", "/v1/tenants", release.admin_key)["tenants"] == before


def test_both_planes_run(release: Release) -> None:
    assert len(release.ready("gateway")) == len(release.ready("control-plane")) == REPLICAS
    assert len(release.ready("worker")) == 1
    for pod in release.pods("control-plane"):
        control_plane = Api(f"{pod['status']['podIP']}:8081")
        assert control_plane.request("GET", "/livez").status == http.client.OK
        assert control_plane.request("GET", "/readyz").status == http.client.OK
    _, output = release.wanneng("status", release.name, "-n", release.namespace)
    assert "2 of 2 gateways ready, 2 of 2 control planes ready, 1 of 1 workers ready" in output


def test_every_gateway_serves_the_page_and_at_the_internal_port_the_tenant_api(release: Release) -> None:
    for gateway, operators in zip(release.gateways(), release.gateways(8090), strict=True):
        page = gateway.request("GET", "/")
        assert page.status == http.client.OK
        assert page.headers["content-type"].startswith("text/html")
        assert operators.request("GET", "/v1/tenants").status == http.client.UNAUTHORIZED
        assert operators.request("GET", "/v1/tenants", release.admin_key).status == http.client.OK
        assert "wanneng_ready 1.0" in operators.request("GET", "/metrics").body
        for path in ("/v1/tenants", "/metrics"):
            assert gateway.request("GET", path, release.admin_key).status == http.client.NOT_FOUND
        assert operators.request("GET", "/v1/label-sets", release.admin_key).status == http.client.NOT_FOUND


def test_the_worker_processes_a_batch(release: Release, key: str) -> None:
    batch_id = release.api.start_batch(key, ["要求退款", "几点开门"])
    batch = eventually("the batch is completed", lambda: release.api.completed_batch(key, batch_id))
    assert batch["request_counts"] == {"total": 2, "completed": 2, "failed": 0}


def labels_of(gateway: Api, key: str) -> set[str]:
    return set(gateway.classify(key, label_set="tickets")["labels"])


def test_a_changed_label_set_acts_in_every_gateway(release: Release, key: str) -> None:
    """At once in the gateway that forwarded the change, and in the others once they have read it again."""
    first, *others = release.gateways()
    assert len(others) == REPLICAS - 1
    before, after = {"投诉", "咨询"}, {"投诉", "建议"}
    first.call("PUT", "/v1/label-sets/tickets", key, {"labels": sorted(before)})
    assert all(labels_of(gateway, key) == before for gateway in (first, *others))
    seen = {"If-Match": '"1"'}
    first.call("PUT", "/v1/label-sets/tickets", key, {"labels": sorted(after)}, headers=seen)
    assert labels_of(first, key) == after
    eventually("it acts", lambda: all(labels_of(gateway, key) == after for gateway in others), ACTS_WITHIN_S)


def status_of(gateway: Api, method: str, path: str, key: str) -> int:
    return gateway.request(method, path, key, {} if method == "POST" else None).status


def test_a_revoked_key_is_rejected_by_every_gateway(release: Release) -> None:
    tenant_id, key = release.operators_api.create_tenant(release.admin_key, "globex")
    first, *others = release.gateways()
    assert all(gateway.classify(key) for gateway in (first, *others))
    public_id = key.split("_")[1]
    release.gateways(8090)[0].call("DELETE", f"/v1/tenants/{tenant_id}/keys/{public_id}", release.admin_key)

    def is_rejected(gateway: Api) -> bool:
        return status_of(gateway, "POST", "/v1/classify", key) == http.client.UNAUTHORIZED

    assert is_rejected(first)
    eventually("it is rejected", lambda: all(is_rejected(gateway) for gateway in others), ACTS_WITHIN_S)


def test_a_replaced_key_ends_on_time_at_every_gateway(release: Release) -> None:
    """Though each of them trusts what it has read for longer than the two keys overlap."""
    tenant_id, key = release.operators_api.create_tenant(release.admin_key, "initech")
    assert all(gateway.classify(key) for gateway in release.gateways())
    path, body = f"/v1/tenants/{tenant_id}/keys/{key.split('_')[1]}/rotate", {"overlap_s": OVERLAP_S}
    new = release.gateways(8090)[0].call("POST", path, release.admin_key, body)["key"]

    def statuses(given: str) -> set[int]:
        return {status_of(gateway, "GET", "/v1/models", given) for gateway in release.gateways()}

    assert statuses(key) == statuses(new) == {http.client.OK}
    # A request in between would have the record read again.
    time.sleep(OVERLAP_S + 1.0)
    assert (statuses(key), statuses(new)) == ({http.client.UNAUTHORIZED}, {http.client.OK})


def test_deleting_every_control_plane_pod_fails_no_classification(release: Release, key: str) -> None:
    before = set(release.ready("control-plane"))
    with lossless(release.address, key):
        release.kubectl("delete", "pods", "--wait=false", *before)
        eventually("all Pods are replaced", lambda: len(set(release.ready("control-plane")) - before) == REPLICAS)


def test_without_a_control_plane_gateways_classify_and_ask_callers_of_the_rest_to_retry(
    release: Release, key: str
) -> None:
    deployment = ("deployment", f"{release.name}-control-plane")
    with lossless(release.address, key):
        release.kubectl("scale", *deployment, "--replicas=0")
        try:
            eventually("no Pod is left", lambda: not release.objects("pods", *selector("control-plane")))
            for gateway in release.gateways():
                response = gateway.request("GET", "/v1/label-sets", key)
                assert response.status == http.client.SERVICE_UNAVAILABLE, response
                assert response.body["code"] == "control_plane_unavailable"
                assert int(response.headers["retry-after"]) > 0
                assert labels_of(gateway, key) == {"投诉", "建议"}
        finally:
            release.kubectl("scale", *deployment, f"--replicas={REPLICAS}")
        eventually("all Pods are back", lambda: len(release.ready("control-plane")) == REPLICAS)
        forwarded = [http.client.OK] * REPLICAS
        eventually(
            "requests are forwarded again",
            lambda: (
                [status_of(gateway, "GET", "/v1/label-sets", key) for gateway in release.gateways()] == forwarded
            ),
        )


def selector(component: str) -> tuple[str, str]:
    return "--selector", f"app.kubernetes.io/component={component}"


def test_an_upgrade_keeps_the_keys_and_the_tenants(release: Release) -> None:
    def kept() -> tuple[object, ...]:
        internal_key = release.secret(f"{release.name}-internal")
        return (
            release.admin_key,
            internal_key,
            release.operators_api.call("GET", "/v1/tenants", release.admin_key)["tenants"],
        )

    before = kept()
    pods = {pod["metadata"]["uid"] for pod in release.objects("pods", *selector("gateway"))}
    release.upgrade("--wait")
    assert kept() == before
    assert {pod["metadata"]["uid"] for pod in release.objects("pods", *selector("gateway"))} == pods


def test_batches_that_no_worker_answers_are_a_problem(release: Release, key: str) -> None:
    release.kubectl("scale", "deployment", f"{release.name}-worker", "--replicas=0")
    try:
        batch_id = release.api.start_batch(key, ["要求退款"])

        def problem() -> bool:
            _, output = release.wanneng("status", release.name, "-n", release.namespace)
            return "1 batches wait and no worker runs: set worker.replicas" in output

        eventually("status says so", problem)
    finally:
        release.kubectl("scale", "deployment", f"{release.name}-worker", "--replicas=1")
    eventually("the batch is completed", lambda: release.api.completed_batch(key, batch_id))


def test_an_upgrade_across_a_migration_and_back_fails_no_request(release: Release, key: str) -> None:
    """Gateways of this release start on the database of the next one, which `helm rollback` leaves as it is."""
    cluster, values = release.kubernetes, release.values
    newest = ScriptDirectory(str(MIGRATIONS)).get_current_head()
    metadata = {"name": "next-release", "namespace": release.namespace}
    data = {"next.py": REVISION.format(newest=newest)}
    cluster.apply({"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": data})
    path = "/opt/wanneng/stores/migrations/versions/next.py"
    has_revision = {
        "pod": {
            "extraVolumes": [{"name": "next", "configMap": {"name": "next-release"}}],
            "extraVolumeMounts": [{"name": "next", "mountPath": path, "subPath": "next.py"}],
        }
    }
    in_release = (release.name, "--namespace", release.namespace)
    revision = str(json.loads(cluster.helm("list", "-n", release.namespace, "-o", "json"))[0]["revision"])
    with lossless(release.address, key):
        release.values = values | {
            name: values.get(name, {}) | has_revision for name in ("gateway", "controlPlane", "worker")
        }
        release.upgrade("--wait")
        cluster.helm("rollback", *in_release, revision, "--wait", "--timeout=180s")
    for pod in release.ready("gateway"):
        log = release.kubectl("logs", pod)
        assert "at revision next of a newer release, with which this one works" in log
    release.values = values
    release.upgrade("--wait")
    assert release.classify(key)["labels"]


def test_the_connection_url_is_in_secrets_only(release: Release) -> None:
    url = release.values["database"]["url"]
    assert url not in release.kubectl("get", "all", "-o", "yaml")
    assert url in release.secret(f"{release.name}-database").values()
    assert f"{release.name}-migration" not in release.kubectl("get", "secrets", "-o", "name")
