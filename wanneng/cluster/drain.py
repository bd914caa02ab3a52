"""Moves a release's pods off a node, or one pod, within its disruption budgets. Prints nothing."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from wanneng.cluster.kube import POOL, Cluster, Object, Refused
from wanneng.cluster.status import component, ready_replicas
from wanneng.errors import CommandError

POLL_S = 1.0
MOVABLE = frozenset({"gateway", "triton", "worker"})


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

    Each goes when the one before is replaced: when as many of its kind are ready as were before. `CommandError`
    when that is not done within `timeout_s`; what was moved by then stays moved.
    """
    ends, told = now() + timeout_s, ""
    leaving = _leaving(cluster, target, say)
    before = {_kind(one): ready_replicas(one) for one in cluster.objects("deployments")}
    gone: list[Object] = []
    for place, pod in enumerate([*leaving, None], start=1):
        while (waiting := _step(cluster, pod, gone, before)) is not None:
            if waiting != told:
                say(f"waiting: {waiting}")
                told = waiting
            if now() >= ends:
                raise CommandError(
                    f"not done in time: {waiting}; `wanneng cluster status` says what is in the way"
                )
            sleep(POLL_S)
        if pod is not None:
            gone.append(pod)
            say(f"{place} of {len(leaving)}: {_name(pod)} goes")
    say(f"{len(leaving)} pods were replaced")


def _leaving(cluster: Cluster, target: str, say: Callable[[str], None]) -> Sequence[Object]:
    pods = [pod for pod in cluster.objects("pods") if component(pod) in MOVABLE and not _is_ending(pod)]
    if target in {_name(node) for node in cluster.objects("nodes")}:
        cluster.cordon(target)
        say(f"{target} takes no new pods")
        return [pod for pod in pods if pod["spec"].get("nodeName") == target]
    found = [pod for pod in pods if _name(pod) == target]
    if not found:
        raise CommandError(f"{target} is neither a node nor a pod of this release")
    return found


def _step(
    cluster: Cluster, pod: Object | None, gone: Sequence[Object], before: Mapping[tuple[str, str], int]
) -> str | None:
    """Evict `pod` if those that are gone are replaced; otherwise what is to be waited for."""
    left = {_name(one) for one in cluster.objects("pods") if not _is_ending(one)}
    ready = {_kind(one): ready_replicas(one) for one in cluster.objects("deployments")}
    for one in gone:
        if _name(one) in left or ready.get(_kind(one), 0) < before.get(_kind(one), 0):
            return f"{_name(one)} is being replaced"
    if pod is not None:
        try:
            cluster.evict(_name(pod))
        except Refused as error:
            return str(error)
    return None


def _kind(one: Object) -> tuple[str, str]:
    """Pods and the Deployment that makes them have it in common."""
    return component(one), str(one["metadata"]["labels"].get(POOL, ""))


def _is_ending(pod: Object) -> bool:
    return "deletionTimestamp" in pod["metadata"] or pod.get("status", {}).get("phase") == "Succeeded"


def _name(one: Object) -> str:
    return str(one["metadata"]["name"])
