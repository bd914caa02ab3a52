"""Pools on simulated nodes of A10 and A100 GPUs: where pods land, what a drain may do, what a lost node costs.

Simulated pods are ready at once and answer nobody, so what the gateway makes of such pods is seen as well.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
import yaml

from tests.cluster.kubernetes import CommandFailed, Kubernetes, Release, eventually
from tests.helm.tools import CHART, Object

GPUS = {"a10-1": 4, "a10-2": 4, "a100-1": 8, "a100-2": 8}
RENEWAL_S = 15.0


@pytest.fixture(scope="module")
def heartbeats(kubernetes: Kubernetes, own_cluster: None) -> Iterator[None]:
    """Leases of the simulated nodes, renewed as kubelets would.

    Without them Kubernetes takes a node for lost every minute, and its pods are never ready again: those a budget
    lets go, however many they are.
    """
    ended = threading.Event()

    def renew() -> None:
        while not ended.wait(RENEWAL_S):
            kubernetes.apply(*map(lease, GPUS))

    kubernetes.apply(*map(lease, GPUS))
    thread = threading.Thread(target=renew)
    thread.start()
    try:
        eventually("the nodes are ready", lambda: GPUS.keys() <= set(ready_nodes(kubernetes)))
        yield
    finally:
        ended.set()
        thread.join()
        kubernetes.kubectl("delete", "--namespace=kube-node-lease", "lease", *GPUS)


def lease(node: str) -> Object:
    now = datetime.now(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
    return {
        "apiVersion": "coordination.k8s.io/v1",
        "kind": "Lease",
        "metadata": {"name": node, "namespace": "kube-node-lease"},
        "spec": {"holderIdentity": node, "leaseDurationSeconds": 40, "renewTime": now},
    }


def ready_nodes(kubernetes: Kubernetes) -> list[str]:
    return [
        node["metadata"]["name"]
        for node in kubernetes.objects("nodes")
        for condition in node["status"]["conditions"]
        if condition["type"] == "Ready" and condition["status"] == "True"
    ]


@pytest.fixture(scope="module")
def release(
    heartbeats: None,
    namespaced: Callable[[dict[str, Any]], Release],
    tmp_path_factory: pytest.TempPathFactory,
) -> Release:
    """As ci/gpus.yaml; the jobs of engines run on simulated nodes too, where everything succeeds."""
    values = yaml.safe_load((CHART / "ci/gpus.yaml").read_text(encoding="utf-8"))
    made = namespaced(values | {"gateway": {"replicas": 1}})
    made.claim(tmp_path_factory.mktemp("engines"))
    made.install()
    eventually("every pod has a node", lambda: (placed(made, "a10") + placed(made, "a100")).total() == 10)
    return made


@pytest.fixture(autouse=True)
def whole(kubernetes: Kubernetes) -> Iterator[None]:
    """Every test leaves the nodes as it found them."""
    yield
    assert kubernetes.own is not None
    kubernetes.run(str(kubernetes.own), "gpus")
    for node in GPUS:
        kubernetes.kubectl("uncordon", node)


@pytest.fixture(scope="module", autouse=True)
def own_cluster(kubernetes: Kubernetes) -> None:
    if kubernetes.own is None:
        pytest.skip("nodes can only be simulated on this machine's cluster")


def pods(release: Release, pool: str) -> list[Object]:
    """Those that stay: one that is being deleted may be evicted again, whatever the budget says."""
    return [
        pod
        for pod in release.pods("triton")
        if pod["metadata"]["labels"]["wanneng.io/pool"] == pool and "deletionTimestamp" not in pod["metadata"]
    ]


def placed(release: Release, pool: str) -> Counter[str]:
    """Pods by node, without those that have none."""
    nodes = (pod["spec"].get("nodeName") for pod in pods(release, pool))
    return Counter(node for node in nodes if node is not None)


def test_each_pools_pods_are_on_their_nodes_alone_one_for_each_gpu_and_spread(release: Release) -> None:
    assert placed(release, "a10") == {"a10-1": 2, "a10-2": 2}
    assert placed(release, "a100") == {"a100-1": 3, "a100-2": 3}
    for pod in release.pods("triton"):
        (container,) = pod["spec"]["containers"]
        assert container["resources"]["limits"]["nvidia.com/gpu"] == "1"


def test_an_engine_was_built_for_each_architecture_on_its_own_nodes(release: Release) -> None:
    jobs = release.objects("jobs")
    assert len(jobs) == 2
    nodes = {pod["spec"]["nodeName"].rpartition("-")[0] for pod in release.objects("pods") if is_engine(pod)}
    assert nodes == {"a10", "a100"}


def is_engine(pod: Object) -> bool:
    return bool(pod["metadata"]["labels"]["app.kubernetes.io/component"] == "engine")


def test_replicas_that_do_not_answer_are_told_by_the_gateway(release: Release) -> None:
    """Simulated pods are ready to Kubernetes, and nobody to the gateway."""

    def told() -> str | None:
        _, said = release.wanneng("status", release.name, "-n", release.namespace)
        return said if "pool a10: 4 of 4 replicas do not answer the gateway" in said else None

    said = eventually("the gateway has found out", told)
    assert "pool a100: 6 of 6 replicas do not answer the gateway" in said
    assert "pool a100: no replica answers" in said


def test_what_has_no_room_is_explained(release: Release) -> None:
    """Nine pods of one GPU each for eight GPUs."""
    deployment = f"{release.name}-triton-a10"
    release.kubectl("scale", "deployment", deployment, "--replicas=9")
    try:
        eventually(
            "eight have a node", lambda: placed(release, "a10").total() == 8 and len(pods(release, "a10")) == 9
        )
        assert placed(release, "a10") == {"a10-1": 4, "a10-2": 4}

        def told() -> str | None:
            code, said = release.wanneng("status", release.name, "-n", release.namespace)
            return said if code == 1 and "cannot be placed" in said else None

        (line,) = [one for one in eventually("status tells", told).splitlines() if "cannot be placed" in one]
        assert f"{deployment}-" in line
        assert "Insufficient nvidia.com/gpu" in line
    finally:
        release.kubectl("scale", "deployment", deployment, "--replicas=4")
        eventually("four are left", lambda: len(pods(release, "a10")) == 4)


def test_no_more_pods_leave_at_once_than_the_budget_allows(release: Release) -> None:
    """The API server itself refuses the second eviction while the first one's replacement has no room."""
    for node in ("a100-1", "a100-2"):
        release.kubernetes.kubectl("cordon", node)
    for _ in range(6):
        eventually("one may leave", lambda: allowed(release, "a100") == 1)
        evict(release, placed_pods(release, "a100")[0])
        eventually("the replacement has a node, or is told that there is none", lambda: decided(release, "a100"))
        # The scheduler learns of a cordon a moment after it is made, and may have placed this one.
        if len(placed_pods(release, "a100")) == 5:
            break
    assert allowed(release, "a100") == 0
    with pytest.raises(CommandFailed, match="disruption budget"):
        evict(release, placed_pods(release, "a100")[0])


def placed_pods(release: Release, pool: str) -> list[str]:
    return [pod["metadata"]["name"] for pod in pods(release, pool) if "nodeName" in pod["spec"]]


def decided(release: Release, pool: str) -> bool:
    """Whether all six pods are there, and each has a node or the scheduler's word that there is none."""
    found = pods(release, pool)
    refused = [
        pod
        for pod in found
        for condition in pod["status"].get("conditions", ())
        if condition["type"] == "PodScheduled" and condition["status"] == "False"
    ]
    return len(found) == 6 == len(refused) + len(placed_pods(release, pool))


def evict(release: Release, pod: str) -> None:
    path = f"/api/v1/namespaces/{release.namespace}/pods/{pod}/eviction"
    body = f'{{"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {{"name": "{pod}"}}}}'
    release.kubernetes.kubectl("create", "--raw", path, "-f", "-", input_=body)


def allowed(release: Release, pool: str) -> int:
    (budget,) = [
        one for one in release.objects("poddisruptionbudgets") if one["metadata"]["name"].endswith(f"-{pool}")
    ]
    return int(budget["status"]["disruptionsAllowed"])


def test_a_drain_moves_a_nodes_pods_one_after_another(release: Release) -> None:
    eventually("every pod is placed", lambda: placed(release, "a10").total() == 4)
    assert placed(release, "a10")["a10-1"] > 0

    code, said = release.wanneng("drain", "a10-1", release.name, "-n", release.namespace, "--timeout-s", "90")
    assert code == 0, said
    assert "a10-1 takes no new pods" in said
    assert placed(release, "a10") == {"a10-2": 4}


def test_a_node_that_is_taken_away_is_replaced(release: Release) -> None:
    eventually("every pod is placed", lambda: placed(release, "a100").total() == 6)
    release.kubernetes.kubectl("delete", "node", "a100-1")
    eventually("all are on the node that is left", lambda: placed(release, "a100") == {"a100-2": 6}, 180)
