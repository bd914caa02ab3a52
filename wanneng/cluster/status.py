"""From a release's objects to how it is: pools, engines, and what is wrong in sentences. Asks nobody."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from wanneng.cluster.gateways import Sight
from wanneng.cluster.kube import COMPONENT, POOL, Object

ENGINE = "wanneng.io/engine"
GPU = "nvidia.com/"
FAILING = frozenset({"ImagePullBackOff", "ErrImagePull", "CrashLoopBackOff", "CreateContainerConfigError"})
MESSAGE_CHARACTERS = 300


@dataclass(frozen=True, slots=True)
class Pool:
    """Pods that are alike."""

    name: str
    ready: int
    wanted: int
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
    gateways: tuple[int, int]
    """Ready and wanted."""
    pools: tuple[Pool, ...]
    sight: Sight
    problems: tuple[str, ...]
    """Empty when all is well."""


def status_of(
    deployments: Sequence[Object],
    pods: Sequence[Object],
    jobs: Sequence[Object],
    scalers: Sequence[Object],
    sight: Sight,
) -> Status:
    """Lists as the API gives them, for one release."""
    gateways = [one for one in deployments if component(one) == "gateway"]
    tritons = sorted((one for one in deployments if component(one) == "triton"), key=_pool_name)
    pools = tuple(_pool(one, pods, scalers) for one in tritons)
    versions = {one["metadata"]["labels"].get("app.kubernetes.io/version", "?") for one in deployments}
    problems = [
        *_troubles(pods),
        *_failed(jobs),
        *_missing([*gateways, *tritons], pods),
        *_seen(pools, sight, len(gateways)),
        *_capped(scalers),
    ]
    ready = sum(ready_replicas(one) for one in gateways)
    wanted = sum(one["spec"].get("replicas", 1) for one in gateways)
    return Status(", ".join(sorted(versions)), (ready, wanted), pools, sight, tuple(dict.fromkeys(problems)))


def component(one: Object) -> str:
    return str(one["metadata"].get("labels", {}).get(COMPONENT, ""))


def ready_replicas(deployment: Object) -> int:
    return int(deployment.get("status", {}).get("readyReplicas", 0))


def trouble(pod: Object) -> str | None:
    """Why a pod does not do its work, in the words of whoever stopped it; None when it does or is ending."""
    name, state = pod["metadata"]["name"], pod.get("status", {})
    if "deletionTimestamp" in pod["metadata"] or state.get("phase") == "Succeeded":
        return None
    for condition in state.get("conditions", ()):
        if condition["type"] == "PodScheduled" and condition["status"] == "False":
            return f"{name} cannot be placed: {_short(condition.get('message', ''))}"
    for container in (*state.get("initContainerStatuses", ()), *state.get("containerStatuses", ())):
        waiting = container.get("state", {}).get("waiting", {})
        ended = container.get("state", {}).get("terminated") or container.get("lastState", {}).get("terminated")
        if waiting.get("reason") in FAILING and not ended:
            return f"{name} cannot start: {waiting['reason']}: {_short(waiting.get('message', ''))}"
        if ended and ended.get("exitCode") and not container.get("ready"):
            said = _short(ended.get("message", "")) or "it said nothing"
            return f"{name} ended with {ended['exitCode']} ({ended.get('reason', 'no reason')}): {said}"
    waits = [one for one in state.get("initContainerStatuses", ()) if "running" in one.get("state", {})]
    if waits:
        return f"{name} waits for its engine, which nobody has published yet"
    ready = [one for one in state.get("conditions", ()) if one["type"] == "Ready"]
    if ready and ready[0]["status"] != "True":
        return f"{name} is starting, or does not answer its probe"
    return None


def _pool(deployment: Object, pods: Sequence[Object], scalers: Sequence[Object]) -> Pool:
    name = _pool_name(deployment)
    own = [pod for pod in pods if pod["metadata"].get("labels", {}).get(POOL) == name]
    template = deployment["spec"]["template"]["spec"]["containers"][0].get("resources", {}).get("limits", {})
    gpus = sum(int(count) for resource, count in template.items() if resource.startswith(GPU))
    bounds = [
        (one["spec"].get("minReplicas", 1), one["spec"]["maxReplicas"])
        for one in scalers
        if one["spec"]["scaleTargetRef"]["name"] == deployment["metadata"]["name"]
    ]
    return Pool(
        name,
        ready_replicas(deployment),
        deployment["spec"].get("replicas", 1),
        gpus * len(own),
        tuple(sorted({pod["spec"].get("nodeName", "") for pod in own} - {""})),
        deployment["metadata"].get("annotations", {}).get(ENGINE, "?"),
        bounds[0] if bounds else None,
    )


def _pool_name(deployment: Object) -> str:
    return str(deployment["metadata"]["labels"].get(POOL, ""))


def _troubles(pods: Sequence[Object]) -> Iterator[str]:
    for pod in pods:
        if component(pod) in ("gateway", "triton", "worker"):
            found = trouble(pod)
            if found is not None:
                yield found


def _failed(jobs: Sequence[Object]) -> Iterator[str]:
    for job in jobs:
        for condition in job.get("status", {}).get("conditions", ()):
            if condition["type"] == "Failed" and condition["status"] == "True":
                yield (
                    f"the job {job['metadata']['name']} failed: {_short(condition.get('message', ''))}; "
                    f"`kubectl logs job/{job['metadata']['name']}` says why"
                )


def _missing(deployments: Sequence[Object], pods: Sequence[Object]) -> Iterator[str]:
    """Pods that were never made: a quota or an admission stands in the way."""
    for deployment in deployments:
        for condition in deployment.get("status", {}).get("conditions", ()):
            if condition["type"] == "ReplicaFailure" and condition["status"] == "True":
                yield f"{deployment['metadata']['name']} cannot make its pods: {_short(condition['message'])}"
    if not deployments:
        yield "there is no such release here; `helm list` says which there are"
    elif not pods:
        yield "the release has no pod"


def _seen(pools: Sequence[Pool], sight: Sight, gateways: int) -> Iterator[str]:
    if gateways and not sight.answering:
        yield "no gateway's metrics can be read, so queues and engines are not known"
        return
    for pool in pools:
        answering, ejected = sight.replicas.get(pool.name, (0, 0))
        if ejected:
            yield f"pool {pool.name}: {ejected} of {answering + ejected} replicas do not answer the gateway"
        if pool.wanted and not answering:
            yield f"pool {pool.name}: no replica answers"
    engines = frozenset[str]().union(*sight.engines.values())
    if len(engines) > 1:
        yield f"{len(engines)} engines answer ({', '.join(sorted(engines))}): a roll-out goes on, or hangs"
    if sight.shared_down:
        yield f"{sight.shared_down} gateways do not reach Redis: pairs and quotas are shared no more"
    if sight.unsound:
        yield f"{sight.unsound} gateways cannot use the declared tenants and keep the last good ones"


def _capped(scalers: Sequence[Object]) -> Iterator[str]:
    for scaler in scalers:
        for condition in scaler.get("status", {}).get("conditions", ()):
            name = scaler["spec"]["scaleTargetRef"]["name"]
            if condition["type"] == "ScalingLimited" and condition.get("reason") == "TooManyReplicas":
                most = scaler["spec"]["maxReplicas"]
                yield f"{name} would scale beyond maxReplicas ({most}): raise it, or accept the queue"
            if condition["type"] == "ScalingActive" and condition["status"] == "False":
                yield f"{name} cannot be scaled: {_short(condition.get('message', ''))}"


def _short(message: str) -> str:
    return " ".join(message.split())[:MESSAGE_CHARACTERS].rstrip(".")
