"""From a release's objects to its status: components, pools, engines, and each problem in one sentence."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from wanneng.cluster.gateway_metrics import GatewayMetrics
from wanneng.cluster.kube import COMPONENT, POOL, Object

GATEWAY, CONTROL_PLANE, WORKER, TRITON = "gateway", "control-plane", "worker", "triton"
"""Values of the label `COMPONENT`: what a release runs all the time."""
COMPONENTS = (GATEWAY, CONTROL_PLANE, WORKER, TRITON)
ENGINE = "wanneng.io/engine"
GPU = "nvidia.com/"
FAILING = frozenset({"ImagePullBackOff", "ErrImagePull", "CrashLoopBackOff", "CreateContainerConfigError"})
MAX_MESSAGE_CHARACTERS = 300


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


def status_of(
    deployments: Sequence[Object],
    pods: Sequence[Object],
    jobs: Sequence[Object],
    scalers: Sequence[Object],
    metrics: GatewayMetrics,
) -> Status:
    """Lists as the API gives them, for one release."""
    own = [deployment for deployment in deployments if component(deployment) in COMPONENTS]
    pools = tuple(_pool(item, pods, scalers) for item in sorted(_of(TRITON, own), key=_pool_name))
    versions = {item["metadata"]["labels"].get("app.kubernetes.io/version", "?") for item in deployments}
    problems = [
        *_pod_problems(pods),
        *_failed_jobs(jobs),
        *_missing_pods(own, pods),
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
    )


def component(item: Object) -> str:
    return str(item["metadata"].get("labels", {}).get(COMPONENT, ""))


def ready_replicas(deployment: Object) -> int:
    return int(deployment.get("status", {}).get("readyReplicas", 0))


def pod_problem(pod: Object) -> str | None:
    """Why a pod does not do its work, in the words of whoever stopped it; None when it does or is ending."""
    name, status = pod["metadata"]["name"], pod.get("status", {})
    if "deletionTimestamp" in pod["metadata"] or status.get("phase") == "Succeeded":
        return None
    for condition in status.get("conditions", ()):
        if condition["type"] == "PodScheduled" and condition["status"] == "False":
            return f"{name} cannot be placed: {_short(condition.get('message', ''))}"
    for container in (*status.get("initContainerStatuses", ()), *status.get("containerStatuses", ())):
        waiting = container.get("state", {}).get("waiting", {})
        ended = container.get("state", {}).get("terminated") or container.get("lastState", {}).get("terminated")
        if waiting.get("reason") in FAILING and not ended:
            return f"{name} cannot start: {waiting['reason']}: {_short(waiting.get('message', ''))}"
        if ended and ended.get("exitCode") and not container.get("ready"):
            message = _short(_last_message(ended.get("message", ""))) or "it left no message"
            return f"{name} ended with {ended['exitCode']} ({ended.get('reason', 'no reason')}): {message}"
    if any("running" in container.get("state", {}) for container in status.get("initContainerStatuses", ())):
        return f"{name} waits for its engine, which is not published yet"
    ready = [condition for condition in status.get("conditions", ()) if condition["type"] == "Ready"]
    if ready and ready[0]["status"] != "True":
        return f"{name} is starting, or does not answer its probe"
    return None


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


def _pod_problems(pods: Sequence[Object]) -> Iterator[str]:
    for pod in pods:
        if component(pod) in COMPONENTS:
            problem = pod_problem(pod)
            if problem is not None:
                yield problem


def _failed_jobs(jobs: Sequence[Object]) -> Iterator[str]:
    for job in jobs:
        for condition in job.get("status", {}).get("conditions", ()):
            if condition["type"] == "Failed" and condition["status"] == "True":
                yield (
                    f"the job {job['metadata']['name']} failed: {_short(condition.get('message', ''))}; "
                    f"`kubectl logs job/{job['metadata']['name']}` says why"
                )


def _missing_pods(deployments: Sequence[Object], pods: Sequence[Object]) -> Iterator[str]:
    """Pods that were never created: a quota or an admission controller refuses them."""
    for deployment in deployments:
        for condition in deployment.get("status", {}).get("conditions", ()):
            if condition["type"] == "ReplicaFailure" and condition["status"] == "True":
                yield f"{deployment['metadata']['name']} cannot create its pods: {_short(condition['message'])}"
    if not deployments:
        yield "there is no such release here; `helm list` shows the releases"
    elif not pods:
        yield "the release has no pod"


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
            if condition["type"] == "ScalingActive" and condition["status"] == "False":
                yield f"{name} cannot be scaled: {_short(condition.get('message', ''))}"


def _last_message(log: str) -> str:
    """The message of the last record where a container's last words are its log; otherwise what is there."""
    try:
        return str(json.loads(log.strip().splitlines()[-1])["message"])
    except (IndexError, KeyError, TypeError, ValueError):
        return log


def _short(message: str) -> str:
    return " ".join(message.split())[:MAX_MESSAGE_CHARACTERS].rstrip(".")
