"""Moves a release's pods off a node, or replaces one pod, within its disruption budgets."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from wanneng.cluster.kube import POOL, Cluster, Object, Refused
from wanneng.cluster.status import COMPONENTS, component, ready_replicas
from wanneng.errors import CommandError

POLL_S = 1.0


def drain(
    cluster: Cluster,
    target: str,
    *,
    timeout_s: float,
    now: Callable[[], float],
    sleep: Callable[[float], None],
    say: Callable[[str], None],
) -> None:
    """`target`, a node, gets no new pods and loses the release's; or `target`, a pod, is replaced.

    Each pod is evicted once the one before is replaced: once as many of its kind are ready as were before.
    `CommandError` when that is not done within `timeout_s`; what was moved by then stays moved.
    """
    deadline, last_reason = now() + timeout_s, ""
    leaving = _leaving_pods(cluster, target, say)
    ready_before = _ready_by_kind(cluster)
    evicted: list[Object] = []
    for number, pod in enumerate([*leaving, None], start=1):
        while (reason := _evict_or_wait(cluster, pod, evicted, ready_before)) is not None:
            if reason != last_reason:
                say(f"waiting: {reason}")
                last_reason = reason
            if now() >= deadline:
                raise CommandError(f"not done in time: {reason}; `wanneng cluster status` says what is in the way")
            sleep(POLL_S)
        if pod is not None:
            evicted.append(pod)
            say(f"{number} of {len(leaving)}: {_name(pod)} is evicted")
    say(f"{len(leaving)} pods were replaced")


def _leaving_pods(cluster: Cluster, target: str, say: Callable[[str], None]) -> Sequence[Object]:
    pods = [pod for pod in cluster.objects("pods") if component(pod) in COMPONENTS and not _is_ending(pod)]
    if target in {_name(node) for node in cluster.objects("nodes")}:
        cluster.cordon(target)
        say(f"{target} takes no new pods")
        return [pod for pod in pods if pod["spec"].get("nodeName") == target]
    named = [pod for pod in pods if _name(pod) == target]
    if not named:
        raise CommandError(f"{target} is neither a node nor a pod of this release")
    return named


def _evict_or_wait(
    cluster: Cluster, pod: Object | None, evicted: Sequence[Object], ready_before: Mapping[tuple[str, str], int]
) -> str | None:
    """Evict `pod` if those before it are replaced; otherwise what is to be waited for."""
    remaining = {_name(pod) for pod in cluster.objects("pods") if not _is_ending(pod)}
    ready = _ready_by_kind(cluster)
    for previous in evicted:
        kind = _kind(previous)
        if _name(previous) in remaining or ready.get(kind, 0) < ready_before.get(kind, 0):
            return f"{_name(previous)} is being replaced"
    if pod is not None:
        try:
            cluster.evict(_name(pod))
        except Refused as error:
            return str(error)
    return None


def _ready_by_kind(cluster: Cluster) -> dict[tuple[str, str], int]:
    return {_kind(deployment): ready_replicas(deployment) for deployment in cluster.objects("deployments")}


def _kind(item: Object) -> tuple[str, str]:
    """Component and pool: the same for pods and for the Deployment that creates them."""
    return component(item), str(item["metadata"]["labels"].get(POOL, ""))


def _is_ending(pod: Object) -> bool:
    return "deletionTimestamp" in pod["metadata"] or pod.get("status", {}).get("phase") == "Succeeded"


def _name(item: Object) -> str:
    return str(item["metadata"]["name"])
