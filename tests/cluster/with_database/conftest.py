"""A release with a database, which this folder's tests share.

It is deleted after the folder, since a node with two cores has no room for those of both folders.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterator

import pytest

from tests.cluster.database import EGRESS, create_database
from tests.cluster.kubernetes import Kubernetes, Release
from tests.postgresql import PostgresServer


@pytest.fixture(scope="package")
def release(kubernetes: Kubernetes, postgresql: PostgresServer) -> Iterator[Release]:
    """Both planes, two Pods each, and a pool that scales when Prometheus runs."""
    release = Release(
        kubernetes,
        f"wn-{uuid.uuid4().hex[:8]}",
        {
            "database": {"url": create_database(postgresql, "planes")},
            "networkPolicies": {"egress": {"database": EGRESS}},
            "monitoring": {"enabled": True, "interval": "2s", "dashboard": {"enabled": True}},
            # The load of test_monitoring.py must queue until there are more Pods, instead of being refused.
            "gateway": {"settings": {"WANNENG_MAX_QUEUE_DELAY_S": 30}},
            "pools": {
                "cpu": {
                    "engineThreads": 1,
                    # There is room for three, and for a small release beside them.
                    "resources": {"requests": {"cpu": "200m"}},
                    "autoscaling": {
                        "enabled": True,
                        "minReplicas": 1,
                        "maxReplicas": 3,
                        "pairsPerReplica": 16,
                        "scaleDownSeconds": 5,
                    },
                }
            },
        },
    )
    release.create_namespace()
    try:
        release.install("--wait")
        yield release
    finally:
        release.delete()
