"""Moves a release's pods off a node, or one pod, within its disruption budgets. Prints nothing."""

from __future__ import annotations

from collections.abc import Callable

from wanneng.cluster.kube import Cluster, Object, Refused
from wanneng.cluster.status import component
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

    Each goes when the one before is replaced. `CommandError` when that is not done within `timeout_s`; what was
    moved by then stays moved.
    """
    ends = now() + timeout_s
    pods = [pod for pod in cluster.objects("pods") if component(pod) in MOVABLE and not _is_ending(pod)]
    if target in {node["metadata"]["name"] for node in cluster.objects("nodes")}:
        cluster.cordon(target)
        say(f"{target} takes no new pods")
        leaving = [_name(pod) for pod in pods if pod["spec"].get("nodeName") == target]
    else:
        leaving = [_name(pod) for pod in pods if _name(pod) == target]
        if not leaving:
            raise CommandError(f"{target} is neither a node nor a pod of this release")
    for place, pod in enumerate(leaving, start=1):
        say(f"{place} of {len(leaving)}: {pod}")
        told = ""
        while True:
            try:
                waiting = f"{pod} is being replaced" if not _settled(cluster, leaving[: place - 1]) else ""
                if not waiting:
                    cluster.evict(pod)
                    break
            except Refused as error:
                waiting = str(error)
            if waiting != told:
                say(f"waiting: {waiting}")
                told = waiting
            _wait(ends, now, sleep, waiting)
    while not _settled(cluster, leaving):
        _wait(ends, now, sleep, "the last one's replacement is not ready")
    say(f"{len(leaving)} pods were replaced")


def _settled(cluster: Cluster, gone: list[str]) -> bool:
    """Whether those are gone and every Deployment has the pods that it wants."""
    left = {_name(pod) for pod in cluster.objects("pods") if not _is_ending(pod)}
    ready = all(
        one.get("status", {}).get("readyReplicas", 0) >= one["spec"].get("replicas", 1)
        for one in cluster.objects("deployments")
    )
    return not left.intersection(gone) and (ready or not gone)


def _wait(ends: float, now: Callable[[], float], sleep: Callable[[float], None], waiting: str) -> None:
    if now() >= ends:
        raise CommandError(f"not done in time: {waiting}; `wanneng cluster status` says what is in the way")
    sleep(POLL_S)


def _is_ending(pod: Object) -> bool:
    return "deletionTimestamp" in pod["metadata"] or pod.get("status", {}).get("phase") == "Succeeded"


def _name(pod: Object) -> str:
    return str(pod["metadata"]["name"])
