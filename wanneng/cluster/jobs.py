"""What the Jobs of a release do or failed to do: builds of engines, and the migration of the database."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime

from wanneng.cluster.kube import Object
from wanneng.cluster.messages import last_words, shortened
from wanneng.cluster.pods import Events, pod_problem

JOB_NAME = "batch.kubernetes.io/job-name"
REVISION = "wanneng.io/revision"
"""Annotation of Jobs and Deployments: the release's revision that made them."""


def job_problems(
    jobs: Sequence[Object], pods: Sequence[Object], deployments: Sequence[Object], events: Events
) -> Iterator[str]:
    """Failed Jobs, unless a later revision has been deployed without them, and Jobs that make no progress."""
    deployed = max(map(_revision, deployments), default=0)
    for job in jobs:
        name, own_pods = job["metadata"]["name"], _pods_of(job, pods)
        failed = _condition(job, "Failed")
        if failed is not None and _revision(job) >= deployed:
            reason = next(filter(None, map(_last_words, own_pods)), shortened(failed.get("message", "")))
            yield f"the job {name} failed: {reason}; `kubectl logs job/{name}` has more"
        elif failed is None and _condition(job, "Complete") is None:
            for problem in filter(None, (pod_problem(pod, events) for pod in own_pods)):
                yield f"the job {name} makes no progress: {problem}"


def running_jobs(jobs: Sequence[Object], now: datetime) -> Iterator[str]:
    for job in jobs:
        began = job.get("status", {}).get("startTime")
        if began and _condition(job, "Failed") is None and _condition(job, "Complete") is None:
            seconds = int((now - datetime.fromisoformat(began)).total_seconds())
            yield f"the job {job['metadata']['name']} has been running for {max(0, seconds)} s"


def _condition(job: Object, kind: str) -> Object | None:
    conditions = job.get("status", {}).get("conditions", ())
    return next((each for each in conditions if each["type"] == kind and each["status"] == "True"), None)


def _pods_of(job: Object, pods: Sequence[Object]) -> list[Object]:
    """Newest first."""
    own = [pod for pod in pods if pod["metadata"].get("labels", {}).get(JOB_NAME) == job["metadata"]["name"]]
    return sorted(own, key=lambda pod: str(pod["metadata"].get("creationTimestamp", "")), reverse=True)


def _last_words(pod: Object) -> str:
    for container in pod.get("status", {}).get("containerStatuses", ()):
        ended = container.get("state", {}).get("terminated", {})
        if ended.get("exitCode"):
            return last_words(ended.get("message", ""))
    return ""


def _revision(item: Object) -> int:
    return int(item["metadata"].get("annotations", {}).get(REVISION, 0))
