"""Pools on simulated nodes with A10 and A100 GPUs: scheduling, evictions, drains and the loss of a node.

Simulated Pods are ready at once and never respond, so these tests also show how the gateway treats such Pods.
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
BUILDS = "wanneng-test-builds"
"""A priority class."""
NO_GPU_S = 15
RENEWAL_S = 15.0


@pytest.fixture(scope="module")
def heartbeats(kubernetes: Kubernetes, own_cluster: None) -> Iterator[None]:
    """Renews the leases of the simulated nodes, as a kubelet does.

    Otherwise Kubernetes considers a node lost after a minute, and its Pods not ready. A disruption budget does not
    protect those.
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
    """ci/gpus.yaml. The build Jobs run on simulated nodes, too, where every Job succeeds."""
    values = yaml.safe_load((CHART / "ci/gpus.yaml").read_text(encoding="utf-8"))
    release = namespaced(values | {"gateway": {"replicas": 1}})
    release.claim(tmp_path_factory.mktemp("engines"))
    release.install()
    eventually("every Pod has a node", lambda: (placed(release, "a10") + placed(release, "a100")).total() == 10)
    return release


@pytest.fixture(autouse=True)
def restored_nodes(kubernetes: Kubernetes) -> Iterator[None]:
    """Restores the nodes after each test."""
    yield
    assert kubernetes.own is not None
    kubernetes.run(str(kubernetes.own), "gpus")
    for node in GPUS:
        kubernetes.kubectl("uncordon", node)


@pytest.fixture(scope="module", autouse=True)
def own_cluster(kubernetes: Kubernetes) -> None:
    if kubernetes.own is None:
        pytest.skip("simulated nodes require a cluster on this machine")


def pods(release: Release, pool: str) -> list[Object]:
    """All but terminating ones, which may be evicted again regardless of the budget."""
    return [
        pod
        for pod in release.pods("triton")
        if pod["metadata"]["labels"]["wanneng.io/pool"] == pool and "deletionTimestamp" not in pod["metadata"]
    ]


def placed(release: Release, pool: str) -> Counter[str]:
    """Number of Pods by node, without unscheduled ones."""
    nodes = (pod["spec"].get("nodeName") for pod in pods(release, pool))
    return Counter(node for node in nodes if node is not None)


def test_pods_are_spread_over_the_nodes_of_their_pool_with_one_gpu_each(release: Release) -> None:
    assert placed(release, "a10") == {"a10-1": 2, "a10-2": 2}
    assert placed(release, "a100") == {"a100-1": 3, "a100-2": 3}
    for pod in release.pods("triton"):
        (container,) = pod["spec"]["containers"]
        assert container["resources"]["limits"]["nvidia.com/gpu"] == "1"


def test_an_engine_is_built_for_each_architecture_on_its_own_nodes(release: Release) -> None:
    jobs = release.objects("jobs")
    assert len(jobs) == 2
    nodes = {pod["spec"]["nodeName"].rpartition("-")[0] for pod in release.objects("pods") if is_engine(pod)}
    assert nodes == {"a10", "a100"}


def is_engine(pod: Object) -> bool:
    return bool(pod["metadata"]["labels"]["app.kubernetes.io/component"] == "engine")


def test_status_reports_ready_pods_that_do_not_respond(release: Release) -> None:

    def report() -> str | None:
        _, output = release.wanneng("status", release.name, "-n", release.namespace)
        return output if "pool a10: 4 of 4 replicas do not answer the gateway" in output else None

    output = eventually("the gateway has noticed", report)
    assert "pool a100: 6 of 6 replicas do not answer the gateway" in output
    assert "pool a100: no replica answers" in output


def test_status_explains_why_a_pod_cannot_be_scheduled(release: Release) -> None:
    """There are nine Pods for eight GPUs."""
    deployment = f"{release.name}-triton-a10"
    release.kubectl("scale", "deployment", deployment, "--replicas=9")
    try:
        eventually(
            "eight have a node", lambda: placed(release, "a10").total() == 8 and len(pods(release, "a10")) == 9
        )
        assert placed(release, "a10") == {"a10-1": 4, "a10-2": 4}

        def report() -> str | None:
            code, output = release.wanneng("status", release.name, "-n", release.namespace)
            return output if code == 1 and "cannot be placed" in output else None

        (line,) = [row for row in eventually("status says so", report).splitlines() if "cannot be placed" in row]
        assert f"{deployment}-" in line
        assert "Insufficient nvidia.com/gpu" in line
    finally:
        release.kubectl("scale", "deployment", deployment, "--replicas=4")
        eventually("four are left", lambda: len(pods(release, "a10")) == 4)


def test_evictions_beyond_the_disruption_budget_are_rejected(release: Release) -> None:
    """The API server rejects another eviction while a replacement cannot be scheduled."""
    for node in ("a100-1", "a100-2"):
        release.kubernetes.kubectl("cordon", node)
    for _ in range(6):
        eventually("the budget allows one", lambda: allowed(release, "a100") == 1)
        evict(release, placed_pods(release, "a100")[0])
        eventually("the scheduler has tried to place the replacement", lambda: scheduled(release, "a100"))
        # The scheduler may have placed it before it noticed the cordon.
        if len(placed_pods(release, "a100")) == 5:
            break
    assert allowed(release, "a100") == 0
    with pytest.raises(CommandFailed, match="disruption budget"):
        evict(release, placed_pods(release, "a100")[0])


def placed_pods(release: Release, pool: str) -> list[str]:
    return [pod["metadata"]["name"] for pod in pods(release, pool) if "nodeName" in pod["spec"]]


def scheduled(release: Release, pool: str) -> bool:
    """Whether the scheduler has tried to place all six Pods."""
    current = pods(release, pool)
    unschedulable = [
        pod
        for pod in current
        for condition in pod["status"].get("conditions", ())
        if condition["type"] == "PodScheduled" and condition["status"] == "False"
    ]
    return len(current) == 6 == len(unschedulable) + len(placed_pods(release, pool))


def evict(release: Release, pod: str) -> None:
    path = f"/api/v1/namespaces/{release.namespace}/pods/{pod}/eviction"
    body = f'{{"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {{"name": "{pod}"}}}}'
    release.kubernetes.kubectl("create", "--raw", path, "-f", "-", input_=body)


def allowed(release: Release, pool: str) -> int:
    budgets = release.objects("poddisruptionbudgets")
    (budget,) = [budget for budget in budgets if budget["metadata"]["name"].endswith(f"-{pool}")]
    return int(budget["status"]["disruptionsAllowed"])


def test_draining_a_node_moves_its_pods(release: Release) -> None:
    eventually("every Pod has a node", lambda: placed(release, "a10").total() == 4)
    assert placed(release, "a10")["a10-1"] > 0

    code, output = release.wanneng("drain", "a10-1", release.name, "-n", release.namespace, "--timeout-s", "90")
    assert code == 0, output
    assert "a10-1 takes no new pods" in output
    assert placed(release, "a10") == {"a10-2": 4}


def test_the_pods_of_a_lost_node_are_replaced(release: Release) -> None:
    eventually("every Pod has a node", lambda: placed(release, "a100").total() == 6)
    release.kubernetes.kubectl("delete", "node", "a100-1")
    eventually("all are on the remaining node", lambda: placed(release, "a100") == {"a100-2": 6}, 180)


def test_a_build_borrows_a_gpu_where_all_are_in_use_and_gives_it_back(release: Release) -> None:
    """16 Pods have the 16 A100s. Without a priority class the build waits until the upgrade fails."""
    engines, pools = release.values["engines"], release.values["pools"]
    release.values |= {"pools": pools | {"a100": pools["a100"] | {"replicas": 16}}}
    release.upgrade()
    eventually("every A100 is in use", lambda: placed(release, "a100") == {"a100-1": 8, "a100-2": 8})
    release.values |= {"model": release.values["model"] | {"source": "sources/next"}}
    with pytest.raises(CommandFailed, match=r"timed out|deadline exceeded"):
        release.upgrade(timeout_s=NO_GPU_S)

    priority_class = {
        "apiVersion": "scheduling.k8s.io/v1",
        "kind": "PriorityClass",
        "metadata": {"name": BUILDS},
        "value": 1000,
    }
    release.kubernetes.apply(priority_class)
    try:
        release.values |= {"engines": engines | {"build": {"priorityClassName": BUILDS}}}
        release.upgrade()
        (evicted,) = release.objects("events", "--field-selector=reason=Preempted")
        assert f"{release.name}-triton-a100-" in evicted["involvedObject"]["name"]
        engine = next(o for o in release.objects("deployments") if o["metadata"]["name"].endswith("-triton-a100"))
        assert engine["status"]["replicas"] >= 15
        eventually("every A100 is in use again", lambda: placed(release, "a100") == {"a100-1": 8, "a100-2": 8})
    finally:
        release.kubernetes.kubectl("delete", "priorityclass", BUILDS)
