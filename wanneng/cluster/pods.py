"""Why a pod does not do its work, from its status and the events about it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta

from wanneng.cluster.kube import Object
from wanneng.cluster.messages import last_words, shortened

STARTING = frozenset({"ContainerCreating", "PodInitializing"})
"""Reasons of a waiting container that are no failure."""
MOUNTING = frozenset({"FailedMount", "FailedAttachVolume", "FailedCreatePodSandBox"})
RESTARTS, RESTARTED_WITHIN, OUT_OF_MEMORY_WITHIN = 3, timedelta(minutes=15), timedelta(hours=1)
"""A container that runs is a problem when it has been restarted so often and so lately, or lacked memory."""
MOUNTED_WITHIN, PROBED_WITHIN = timedelta(minutes=10), timedelta(seconds=90)
"""An event that is older says nothing of the present."""
OUT_OF_MEMORY = "OOMKilled"
INIT_CONTAINERS = {
    "download": "downloads its engine",
    "engine": "waits for its engine, which is not published yet",
}
"""Those of ours that may run for long, and what the Pod does meanwhile. Others that run are sidecars."""


class Events:
    """Events of a namespace, by the name of the object that they are about."""

    def __init__(self, events: Sequence[Object], now: datetime) -> None:
        self.now = now
        self._events = events

    def latest(self, name: str, reasons: frozenset[str], within: timedelta, *, text: str = "") -> str | None:
        """The message of the last one, which contains `text`."""
        found = [
            (at, event.get("message", ""))
            for event in self._events
            if event.get("involvedObject", {}).get("name") == name
            and event.get("reason") in reasons
            and text in event.get("message", "")
            and (at := _time_of(event)) is not None
            and self.now - at <= within
        ]
        return max(found)[1] if found else None


def pod_problem(pod: Object, events: Events) -> str | None:
    """One sentence, in the words of whoever stopped it; None when it does its work or is ending."""
    name, status = pod["metadata"]["name"], pod.get("status", {})
    if "deletionTimestamp" in pod["metadata"] or status.get("phase") == "Succeeded":
        return None
    for condition in status.get("conditions", ()):
        if condition["type"] == "PodScheduled" and condition["status"] == "False":
            return f"{name} cannot be placed: {shortened(condition.get('message', ''))}"
    containers = (*status.get("initContainerStatuses", ()), *status.get("containerStatuses", ()))
    for problem in _container_problems(name, containers):
        return problem
    running = {container.get("name", "") for container in containers if "running" in container.get("state", {})}
    if not running and (message := events.latest(name, MOUNTING, MOUNTED_WITHIN)) is not None:
        return f"{name} cannot start: {shortened(message)}"
    probe = events.latest(name, frozenset({"Unhealthy"}), PROBED_WITHIN, text="Liveness probe failed")
    if probe is not None:
        return f"{name} fails its liveness probe and is about to be restarted: {shortened(_after_colon(probe))}"
    for container in status.get("initContainerStatuses", ()):
        if "running" in container.get("state", {}) and container.get("name") in INIT_CONTAINERS:
            return f"{name} {INIT_CONTAINERS[container['name']]}"
    ready = [condition for condition in status.get("conditions", ()) if condition["type"] == "Ready"]
    if ready and ready[0]["status"] != "True":
        return f"{name} is starting, or does not answer its probe"
    return next(_restarts(name, containers, events.now), None)


def _container_problems(name: str, containers: Sequence[Object]) -> Iterator[str]:
    for container in containers:
        waiting = container.get("state", {}).get("waiting", {})
        ended = container.get("state", {}).get("terminated") or container.get("lastState", {}).get("terminated")
        reason = waiting.get("reason", "")
        if reason and reason not in STARTING and (reason != "CrashLoopBackOff" or not ended):
            yield f"{name} cannot start: {reason}: {shortened(waiting.get('message', ''))}"
        elif ended and ended.get("exitCode") and not container.get("ready"):
            yield f"{name} {_ended(ended)}"


def _restarts(name: str, containers: Sequence[Object], now: datetime) -> Iterator[str]:
    """Of containers that run again."""
    for container in containers:
        ended = container.get("lastState", {}).get("terminated", {})
        ended_at = _time(ended.get("finishedAt"))
        if ended_at is None:
            continue
        age, count = now - ended_at, container.get("restartCount", 0)
        lacked_memory = ended.get("reason") == OUT_OF_MEMORY and age <= OUT_OF_MEMORY_WITHIN
        if lacked_memory or (count >= RESTARTS and age <= RESTARTED_WITHIN):
            minutes = int(age.total_seconds() // 60)
            yield f"{name} {_ended(ended)}, {minutes} min ago; it runs again, after {count} restarts"


def _ended(ended: Object) -> str:
    reason = ended.get("reason", "no reason")
    default = "it needed more memory than its limit" if reason == OUT_OF_MEMORY else "it left no message"
    return f"ended with {ended['exitCode']} ({reason}): {last_words(ended.get('message', '')) or default}"


def _after_colon(message: str) -> str:
    return message.partition(": ")[2] or message


def _time_of(event: Object) -> datetime | None:
    """When it happened last; events of different ages of Kubernetes say so in different fields."""
    series = event.get("series") or {}
    times = (series.get("lastObservedTime"), event.get("lastTimestamp"), event.get("eventTime"))
    return next((at for at in map(_time, times) if at is not None), None)


def _time(text: str | None) -> datetime | None:
    return datetime.fromisoformat(text) if text else None
