"""From a release's objects to its status: components, pools, engines, and each problem in one sentence."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime

from wanneng.cluster.gateway_metrics import NO_BATCHES, Batches, GatewayMetrics
from wanneng.cluster.jobs import job_problems, running_jobs
from wanneng.cluster.kube import COMPONENT, POOL, Object
from wanneng.cluster.messages import shortened
from wanneng.cluster.pods import Events, pod_problem

GATEWAY, CONTROL_PLANE, WORKER, TRITON = "gateway", "control-plane", "worker", "triton"
"""Values of the label `COMPONENT`: what a release runs all the time."""
COMPONENTS = (GATEWAY, CONTROL_PLANE, WORKER, TRITON)
ENGINE = "wanneng.io/engine"
GPU = "nvidia.com/"


@dataclass(frozen=True, slots=True)
class Replicas:
    """Of a component."""

    ready: int
    desired: int


@dataclass(frozen=True, slots=True)
class Pool:
    """Triton pods that are alike."""

    name: str
    ready: int
    desired: int
    gpus: int
    """Of all its pods; 0 on CPUs."""
    nodes: tuple[str, ...]
    engine: str
    """Folder that its pods load."""
    bounds: tuple[int, int] | None
    """Replicas that autoscaling may choose; None without it."""


@dataclass(frozen=True, slots=True)
class Status:
    version: str
    gateways: Replicas
    control_planes: Replicas | None
    """None where a file declares the tenants; so are workers."""
    workers: Replicas | None
    pools: tuple[Pool, ...]
    metrics: GatewayMetrics
    problems: tuple[str, ...]
    """Empty when all is well."""
    running_jobs: tuple[str, ...] = ()
    """What an install or upgrade waits for, in a sentence each."""


def status_of(
    deployments: Sequence[Object],
    pods: Sequence[Object],
    jobs: Sequence[Object],
    scalers: Sequence[Object],
    metrics: GatewayMetrics,
    *,
    now: datetime,
    events: Sequence[Object] = (),
    batches: Batches = NO_BATCHES,
) -> Status:
    """Lists as the API gives them, for one release; `events` may be those of the whole namespace."""
    recent = Events(events, now)
    own = [deployment for deployment in deployments if component(deployment) in COMPONENTS]
    pools = tuple(_pool(item, pods, scalers) for item in sorted(_of(TRITON, own), key=_pool_name))
    versions = {item["metadata"]["labels"].get("app.kubernetes.io/version", "?") for item in deployments}
    problems = [
        *_pod_problems(pods, recent),
        *job_problems(jobs, pods, own, recent),
        *_missing_pods(own, pods),
        *_batch_problems(_of(WORKER, own), batches),
        *_metric_problems(pools, metrics, bool(_of(GATEWAY, own))),
        *_scaling_problems(scalers),
    ]
    return Status(
        ", ".join(sorted(versions)),
        _replicas(_of(GATEWAY, own)) or Replicas(0, 0),
        _replicas(_of(CONTROL_PLANE, own)),
        _replicas(_of(WORKER, own)),
        pools,
        metrics,
        tuple(dict.fromkeys(problems)),
        tuple(running_jobs(jobs, now)),
    )


def component(item: Object) -> str:
    return str(item["metadata"].get("labels", {}).get(COMPONENT, ""))


def ready_replicas(deployment: Object) -> int:
    return int(deployment.get("status", {}).get("readyReplicas", 0))


def _of(name: str, deployments: Sequence[Object]) -> list[Object]:
    return [deployment for deployment in deployments if component(deployment) == name]


def _replicas(deployments: Sequence[Object]) -> Replicas | None:
    if not deployments:
        return None
    return Replicas(sum(map(ready_replicas, deployments)), sum(map(_desired_replicas, deployments)))


def _desired_replicas(deployment: Object) -> int:
    return int(deployment["spec"].get("replicas", 1))


def _pool(deployment: Object, pods: Sequence[Object], scalers: Sequence[Object]) -> Pool:
    name = _pool_name(deployment)
    own_pods = [pod for pod in pods if pod["metadata"].get("labels", {}).get(POOL) == name]
    limits = deployment["spec"]["template"]["spec"]["containers"][0].get("resources", {}).get("limits", {})
    gpus = sum(int(count) for resource, count in limits.items() if resource.startswith(GPU))
    bounds = [
        (scaler["spec"].get("minReplicas", 1), scaler["spec"]["maxReplicas"])
        for scaler in scalers
        if scaler["spec"]["scaleTargetRef"]["name"] == deployment["metadata"]["name"]
    ]
    return Pool(
        name,
        ready_replicas(deployment),
        _desired_replicas(deployment),
        gpus * len(own_pods),
        tuple(sorted({pod["spec"].get("nodeName", "") for pod in own_pods} - {""})),
        deployment["metadata"].get("annotations", {}).get(ENGINE, "?"),
        bounds[0] if bounds else None,
    )


def _pool_name(deployment: Object) -> str:
    return str(deployment["metadata"]["labels"].get(POOL, ""))


def _pod_problems(pods: Sequence[Object], events: Events) -> Iterator[str]:
    for pod in pods:
        if component(pod) in COMPONENTS:
            problem = pod_problem(pod, events)
            if problem is not None:
                yield problem


def _missing_pods(deployments: Sequence[Object], pods: Sequence[Object]) -> Iterator[str]:
    """Pods that were never created: a quota or an admission controller refuses them."""
    for deployment in deployments:
        for condition in deployment.get("status", {}).get("conditions", ()):
            if condition["type"] == "ReplicaFailure" and condition["status"] == "True":
                yield f"{deployment['metadata']['name']} cannot create its pods: {shortened(condition['message'])}"
    if not deployments:
        yield "there is no such release here; `helm list` shows the releases"
    elif not pods:
        yield "the release has no pod"


def _batch_problems(workers: Sequence[Object], batches: Batches) -> Iterator[str]:
    workers_ready = sum(map(ready_replicas, workers))
    if workers and batches.unfinished and not workers_ready:
        scaled = all(_desired_replicas(worker) == 0 for worker in workers)
        way_out = "set worker.replicas" if scaled else "none of its pods is ready"
        yield f"{batches.unfinished} batches wait and no worker runs: {way_out}"


def _metric_problems(pools: Sequence[Pool], metrics: GatewayMetrics, has_gateways: bool) -> Iterator[str]:
    if has_gateways and not metrics.answering:
        yield "no gateway's metrics can be read, so queues and engines are unknown"
        return
    for pool in pools:
        answering, ejected = metrics.replicas.get(pool.name, (0, 0))
        if ejected:
            yield f"pool {pool.name}: {ejected} of {answering + ejected} replicas do not answer the gateway"
        if pool.desired and not answering:
            yield f"pool {pool.name}: no replica answers"
    engines = frozenset[str]().union(*metrics.engines.values())
    if len(engines) > 1:
        yield f"{len(engines)} engines answer ({', '.join(sorted(engines))}): a rollout is in progress, or stuck"
    if metrics.without_redis:
        yield f"{metrics.without_redis} gateways do not reach Redis and share neither pairs nor quotas"
    if metrics.invalid_tenants_files:
        yield f"{metrics.invalid_tenants_files} gateways have an invalid tenants file and keep the last valid one"


def _scaling_problems(scalers: Sequence[Object]) -> Iterator[str]:
    for scaler in scalers:
        for condition in scaler.get("status", {}).get("conditions", ()):
            name = scaler["spec"]["scaleTargetRef"]["name"]
            if condition["type"] == "ScalingLimited" and condition.get("reason") == "TooManyReplicas":
                max_replicas = scaler["spec"]["maxReplicas"]
                yield f"{name} would scale beyond maxReplicas ({max_replicas}): raise it, or accept the queue"
            # KEDA starts the first replica of a pool that is scaled to zero.
            at_zero = condition.get("reason") == "ScalingDisabled"
            if condition["type"] == "ScalingActive" and condition["status"] == "False" and not at_zero:
                yield f"{name} cannot be scaled: {shortened(condition.get('message', ''))}"
