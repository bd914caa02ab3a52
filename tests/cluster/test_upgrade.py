"""An upgrade from the last version without a control plane, with a database."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.cluster.database import EGRESS, create_database
from tests.cluster.kubernetes import Release, eventually
from tests.cluster.load import lossless
from tests.cluster.old_version import IMAGES, orphans
from tests.postgresql import PostgresServer

TEXTS = [f"第{number}次来电，要求退款" for number in range(40)]


@pytest.fixture(scope="module")
def release(
    postgresql: PostgresServer,
    namespaced: Callable[[dict[str, Any]], Release],
    before: Path,
) -> Release:
    """With a database, installed from the old chart and the old images. No worker takes batches yet."""
    made = namespaced(
        {
            "database": {"url": create_database(postgresql, "upgrade")},
            "networkPolicies": {"egress": EGRESS},
            "images": {
                "gateway": {"repository": f"{IMAGES}-gateway"},
                "tritonCpu": {"repository": f"{IMAGES}-triton"},
            },
            "pools": {"cpu": {"replicas": 1}},
            "worker": {"replicas": 0},
        }
    )
    made.install("--wait", chart=before / "helm/wanneng")
    return made


def test_with_a_database_no_request_fails_and_nothing_is_lost(release: Release) -> None:
    """Tenants, keys, label sets and a queued batch are there afterwards; the new worker processes the batch."""
    api, admin_key = release.api, release.admin_key
    _, key = api.create_tenant(admin_key, "acme")
    api.call("PUT", "/v1/label-sets/tickets", key, {"labels": ["投诉", "咨询"]})
    batch_id = api.start_batch(key, TEXTS)
    tenants = api.call("GET", "/v1/tenants", admin_key)["tenants"]
    release.values = {
        "database": release.values["database"],
        "networkPolicies": {"egress": {"database": EGRESS}},
        "pools": release.values["pools"],
    }
    with lossless(release.address, key) as load:
        release.upgrade("--wait")
    assert load.connections > 0
    assert release.admin_key == admin_key
    assert len(release.secret(f"{release.name}-internal")["internal-key"]) == 64
    after = release.operators_api.call("GET", "/v1/tenants", admin_key)["tenants"]
    # Newer versions may add fields.
    assert [tenant | old for tenant, old in zip(after, tenants, strict=True)] == after
    assert set(api.classify(key, label_set="tickets")["labels"]) == {"投诉", "咨询"}
    batch = eventually("the batch is completed", lambda: api.completed_batch(key, batch_id))
    assert batch["request_counts"] == {"total": len(TEXTS), "completed": len(TEXTS), "failed": 0}


def test_no_object_of_the_old_chart_is_left_behind(release: Release) -> None:
    names = [deployment["metadata"]["name"] for deployment in release.objects("deployments")]
    assert sorted(names) == ["wanneng-control-plane", "wanneng-gateway", "wanneng-triton-cpu", "wanneng-worker"]
    assert orphans(release) == set()
    for deployment in release.objects("deployments"):
        for container in deployment["spec"]["template"]["spec"]["containers"]:
            assert not container["image"].startswith(IMAGES)
