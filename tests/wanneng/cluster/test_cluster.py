"""What is made of a release's objects, metrics and logs. The API server itself is asked in tests/cluster."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.fakes.cluster import FakeCluster
from wanneng.client import Client
from wanneng.cluster.compare import PoolModel, comparison_of
from wanneng.cluster.drain import drain
from wanneng.cluster.gateway_metrics import Batches, aggregate, batches_of
from wanneng.cluster.kube import COMPONENT, POOL, KubernetesCluster, Object
from wanneng.cluster.logs import merged
from wanneng.cluster.messages import last_words
from wanneng.cluster.pods import Events, pod_problem
from wanneng.cluster.status import Replicas, Status, status_of
from wanneng.cluster.verify import compare, read_reference, record
from wanneng.errors import CommandError

METRICS = """# HELP wanneng_pairs_in_flight Pairs admitted, not answered.
# TYPE wanneng_pairs_in_flight gauge
wanneng_pairs_in_flight 30.0
wanneng_pairs_at_triton 12.0
wanneng_cache_pairs 400.0
wanneng_redis_up 1.0
wanneng_tenants_file_valid 1.0
wanneng_pool_replicas{pool="a10",state="answering"} 2.0
wanneng_pool_replicas{pool="a10",state="ejected"} 0.0
wanneng_pool_engines{engine="e1",pool="a10"} 2.0
wanneng_tenant_pairs_total{tenant="a \\"b\\" {c}"} 7.0
"""
BEHIND = (
    METRICS.replace('"answering"} 2.0', '"answering"} 1.0')
    .replace('"ejected"} 0.0', '"ejected"} 1.0')
    .replace("wanneng_redis_up 1.0", "wanneng_redis_up 0.0")
    .replace("wanneng_tenants_file_valid 1.0", "wanneng_tenants_file_valid 0.0")
)


def labels(component: str, pool: str | None = None) -> dict[str, str]:
    return {COMPONENT: component, "app.kubernetes.io/version": "0.1.0"} | ({POOL: pool} if pool else {})


def deployment(name: str, component: str, pool: str | None = None, *, ready: int = 2, wanted: int = 2) -> Object:
    limits = {"memory": "1Gi"} | ({"nvidia.com/gpu": "2"} if pool == "a10" else {})
    return {
        "metadata": {
            "name": name,
            "labels": labels(component, pool),
            "annotations": {"wanneng.io/engine": "/e/x"},
        },
        "spec": {
            "replicas": wanted,
            "template": {"spec": {"containers": [{"resources": {"limits": limits}}]}},
        },
        "status": {"readyReplicas": ready},
    }


def pod(name: str, component: str = "triton", pool: str | None = "a10", node: str = "n1", **status: Any) -> Object:
    return {
        "metadata": {"name": name, "labels": labels(component, pool)},
        "spec": {"nodeName": node},
        "status": {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}], **status},
    }


NOW = datetime(2026, 11, 26, 12, tzinfo=UTC)
QUIET = Events((), NOW)


def status(*objects: Any, **more: Any) -> Status:
    return status_of(*objects, now=NOW, **more)


RELEASE = [deployment("w-gateway", "gateway"), deployment("w-triton-a10", "triton", "a10")]
PODS = [pod("g1", "gateway", None), pod("t1"), pod("t2", node="n2")]


def test_a_sound_release_has_no_problem_and_its_pools_are_counted() -> None:
    found = status(RELEASE, PODS, [], [], aggregate([METRICS, METRICS]))
    assert found.problems == ()
    assert found.gateways == Replicas(2, 2)
    assert (found.control_planes, found.workers) == (None, None)
    (pool,) = found.pools
    assert (pool.name, pool.ready, pool.desired, pool.gpus, pool.nodes) == ("a10", 2, 2, 4, ("n1", "n2"))
    assert pool.bounds is None


def test_the_control_plane_and_the_worker_are_reported_as_gateways_are() -> None:
    deployments = [
        deployment("w-control-plane", "control-plane"),
        deployment("w-worker", "worker", ready=0, wanted=1),
    ]
    pods = [*PODS, pod("c1", "control-plane", None), pod("w1", "worker", None, **NOT_READY)]
    found = status([*RELEASE, *deployments], pods, [], [], aggregate([METRICS]))
    assert (found.control_planes, found.workers) == (Replicas(2, 2), Replicas(0, 1))
    assert found.problems == ("w1 is starting, or does not answer its probe",)
    deployments[0]["status"]["conditions"] = [{"type": "ReplicaFailure", "status": "True", "message": "quota"}]
    refused = status([*RELEASE, *deployments], PODS, [], [], aggregate([METRICS])).problems
    assert refused == ("w-control-plane cannot create its pods: quota",)


def test_gateways_are_added_up_and_the_one_that_sees_least_is_believed() -> None:
    seen = aggregate([METRICS, BEHIND, ""])
    assert (seen.answering, seen.pairs_in_flight, seen.pairs_at_triton, seen.cached_pairs) == (2, 60, 24, 800)
    assert seen.replicas == {"a10": (1, 1)}
    assert seen.engines == {"a10": {"e1"}}
    assert (seen.without_redis, seen.invalid_tenants_files) == (1, 1)


def test_the_workers_of_a_gateway_are_one_gateway() -> None:
    def of_worker(number: int, exposition: str) -> str:
        labelled = exposition.replace('pool="a10"', f'pool="a10",worker="{number}"')
        return re.sub(r"^(wanneng_\w+) ", rf'\1{{worker="{number}"}} ', labelled, flags=re.MULTILINE)

    workers = of_worker(0, BEHIND) + of_worker(1, BEHIND) + of_worker(2, METRICS)
    seen = aggregate([workers])
    assert (seen.answering, seen.pairs_in_flight) == (1, 90)
    assert seen.replicas == {"a10": (1, 1)}
    assert (seen.without_redis, seen.invalid_tenants_files) == (1, 1)


def test_what_gateways_see_is_told_in_sentences() -> None:
    other = METRICS.replace('engine="e1"', 'engine="e2"')
    problems = status(RELEASE, PODS, [], [], aggregate([BEHIND, other])).problems
    assert problems == (
        "pool a10: 1 of 2 replicas do not answer the gateway",
        "2 engines answer (e1, e2): a rollout is in progress, or stuck",
        "1 gateways do not reach Redis and share neither pairs nor quotas",
        "1 gateways have an invalid tenants file and keep the last valid one",
    )


def test_gateways_that_tell_nothing_are_a_problem_and_not_health() -> None:
    assert status(RELEASE, PODS, [], [], aggregate([""])).problems == (
        "no gateway's metrics can be read, so queues and engines are unknown",
    )
    assert "there is no such release here" in status([], [], [], [], aggregate([])).problems[0]


NO_ROOM = "0/3 nodes: 3 Insufficient nvidia.com/gpu. preemption"
UNPLACED: dict[str, Any] = {
    "phase": "Pending",
    "conditions": [{"type": "PodScheduled", "status": "False", "message": NO_ROOM}],
}
NOT_READY: dict[str, Any] = {"conditions": [{"type": "Ready", "status": "False"}]}


@pytest.mark.parametrize(
    ("trouble", "words"),
    [
        (UNPLACED, f"p cannot be placed: {NO_ROOM}"),
        (
            {
                "containerStatuses": [
                    {"state": {"waiting": {"reason": "ImagePullBackOff", "message": "no such image"}}}
                ]
            },
            "p cannot start: ImagePullBackOff: no such image",
        ),
        (
            {
                "containerStatuses": [
                    {
                        "ready": False,
                        "state": {"waiting": {"reason": "CrashLoopBackOff"}},
                        "lastState": {"terminated": {"exitCode": 137, "reason": "OOMKilled"}},
                    }
                ]
            },
            "p ended with 137 (OOMKilled): it needed more memory than its limit",
        ),
        (
            {
                "initContainerStatuses": [
                    {"state": {"terminated": {"exitCode": 1, "reason": "Error", "message": "was not\n published"}}}
                ]
            },
            "p ended with 1 (Error): was not published",
        ),
        (
            {
                "containerStatuses": [
                    {
                        "state": {
                            "terminated": {
                                "exitCode": 1,
                                "reason": "Error",
                                "message": '"cut":1}\n{"time":"t","level":"critical","message":"not started"}\n',
                            }
                        }
                    }
                ]
            },
            "p ended with 1 (Error): not started",
        ),
        (
            {"initContainerStatuses": [{"name": "engine", "state": {"running": {}}}], **NOT_READY},
            "p waits for its engine, which is not published yet",
        ),
        (
            {"initContainerStatuses": [{"name": "download", "state": {"running": {}}}], **NOT_READY},
            "p downloads its engine",
        ),
        (NOT_READY, "p is starting, or does not answer its probe"),
    ],
)
def test_a_pods_trouble_is_one_sentence(trouble: dict[str, Any], words: str) -> None:
    assert pod_problem(pod("p", **trouble), QUIET) == words
    problems = status(RELEASE, [pod("p", **trouble)], [], [], aggregate([METRICS])).problems
    assert words in problems


def test_a_sidecar_among_the_init_containers_is_not_taken_for_a_wait() -> None:
    sidecar = {"name": "istio-proxy", "ready": True, "state": {"running": {}}}
    triton = {"name": "triton", "ready": True, "state": {"running": {}}}
    conditions = [{"type": "Ready", "status": "True"}]
    sound = pod("p", initContainerStatuses=[sidecar], containerStatuses=[triton], conditions=conditions)
    assert pod_problem(sound, QUIET) is None


def test_a_container_that_failed_once_and_runs_now_is_no_pod_problem() -> None:
    ended = {"terminated": {"exitCode": 1, "reason": "Error"}}
    assert (
        pod_problem(
            pod("p", containerStatuses=[{"ready": True, "state": {"running": {}}, "lastState": ended}]), QUIET
        )
        is None
    )


def test_pods_that_end_and_pods_of_tests_are_nobodys_pod_problem() -> None:
    ending = pod("p", **UNPLACED)
    ending["metadata"]["deletionTimestamp"] = "2026-11-21T00:00:00Z"
    done = pod("j", "engine", None, phase="Succeeded", **NOT_READY)
    test = pod("t", "test", None, **NOT_READY)
    assert status(RELEASE, [*PODS, ending, done, test], [], [], aggregate([METRICS])).problems == ()


def test_failed_jobs_and_scalers_at_their_bounds_are_told() -> None:
    job = {
        "metadata": {"name": "w-engine-x"},
        "status": {"conditions": [{"type": "Failed", "status": "True", "message": "too many attempts."}]},
    }
    scaler = {
        "spec": {"minReplicas": 1, "maxReplicas": 3, "scaleTargetRef": {"name": "w-triton-a10"}},
        "status": {
            "conditions": [
                {"type": "ScalingLimited", "status": "True", "reason": "TooManyReplicas"},
                {"type": "ScalingActive", "status": "False", "message": "no metrics returned"},
            ]
        },
    }
    found = status(RELEASE, PODS, [job], [scaler], aggregate([METRICS]))
    assert found.pools[0].bounds == (1, 3)
    assert found.problems == (
        "the job w-engine-x failed: too many attempts; `kubectl logs job/w-engine-x` has more",
        "w-triton-a10 would scale beyond maxReplicas (3): raise it, or accept the queue",
        "w-triton-a10 cannot be scaled: no metrics returned",
    )


def test_a_pool_that_is_scaled_to_zero_is_no_problem() -> None:
    asleep = deployment("w-triton-a10", "triton", "a10")
    asleep["spec"]["replicas"] = 0
    asleep["status"] = {}
    condition = {
        "type": "ScalingActive",
        "status": "False",
        "reason": "ScalingDisabled",
        "message": "scaling is off",
    }
    scaler = {
        "spec": {"minReplicas": 1, "maxReplicas": 3, "scaleTargetRef": {"name": "w-triton-a10"}},
        "status": {"conditions": [condition]},
    }
    others = [pod for pod in PODS if "triton-a10" not in pod["metadata"]["name"]]
    found = status([RELEASE[0], asleep], others, [], [scaler], aggregate([METRICS]))
    assert not [problem for problem in found.problems if "a10" in problem]


def test_pods_that_cannot_be_made_are_told() -> None:
    refused = deployment("w-triton-a10", "triton", "a10")
    refused["status"]["conditions"] = [
        {"type": "ReplicaFailure", "status": "True", "message": "exceeded quota: gpus"}
    ]
    problems = status([RELEASE[0], refused], PODS, [], [], aggregate([METRICS])).problems
    assert problems == ("w-triton-a10 cannot create its pods: exceeded quota: gpus",)


def event(name: str, reason: str, message: str, age: timedelta = timedelta(seconds=20)) -> Object:
    at = (NOW - age).strftime("%Y-%m-%dT%H:%M:%SZ")
    return {"involvedObject": {"name": name}, "reason": reason, "message": message, "lastTimestamp": at}


CREATING: dict[str, Any] = {
    "containerStatuses": [{"state": {"waiting": {"reason": "ContainerCreating"}}}],
    **NOT_READY,
}


def waiting(reason: str, message: str) -> dict[str, Any]:
    return {"containerStatuses": [{"state": {"waiting": {"reason": reason, "message": message}}}], **NOT_READY}


@pytest.mark.parametrize(
    ("trouble", "words"),
    [
        (waiting("InvalidImageName", "couldn't parse image"), "p cannot start: InvalidImageName: couldn't parse"),
        (
            waiting("CreateContainerConfigError", 'secret "x" not found'),
            'p cannot start: .*: secret "x" not found',
        ),
        (waiting("ErrImageNeverPull", "not present"), "p cannot start: ErrImageNeverPull"),
        (waiting("RunContainerError", "no such file"), "p cannot start: RunContainerError"),
    ],
)
def test_a_container_that_cannot_start_is_a_problem_for_whatever_reason(
    trouble: dict[str, Any], words: str
) -> None:
    assert re.match(words, pod_problem(pod("p", **trouble), QUIET) or "")


def test_a_secret_that_cannot_be_mounted_is_known_from_the_events() -> None:
    mount = event("p", "FailedMount", 'MountVolume.SetUp failed for volume "tenants" : secret "x" not found')
    assert pod_problem(pod("p", **CREATING), Events([mount], NOW)) == (
        'p cannot start: MountVolume.SetUp failed for volume "tenants" : secret "x" not found'
    )
    for other in (event("q", "FailedMount", "x"), event("p", "FailedMount", "x", timedelta(hours=1))):
        assert pod_problem(pod("p", **CREATING), Events([other], NOW)) == (
            "p is starting, or does not answer its probe"
        )
    assert pod_problem(pod("p"), Events([event("p", "Pulled", "x")], NOW)) is None


def test_a_triton_whose_python_process_has_died_is_known_from_its_liveness_probe() -> None:
    """It reports ready, and fails every request."""
    died = event("t1", "Unhealthy", "Liveness probe failed: alive: 1 of Triton's 2 are gone")
    ready_again = event("t1", "Unhealthy", "Readiness probe failed: x")
    found = status(RELEASE, PODS, [], [], aggregate([METRICS]), events=[died, ready_again]).problems
    assert found == ("t1 fails its liveness probe and is about to be restarted: alive: 1 of Triton's 2 are gone",)
    old = event("t1", "Unhealthy", "Liveness probe failed: x", timedelta(minutes=5))
    assert status(RELEASE, PODS, [], [], aggregate([METRICS]), events=[old]).problems == ()


def restarted(reason: str, restarts: int, age: timedelta) -> Object:
    ended = {"exitCode": 137, "reason": reason, "finishedAt": (NOW - age).strftime("%Y-%m-%dT%H:%M:%SZ")}
    state = {"ready": True, "restartCount": restarts, "state": {"running": {}}, "lastState": {"terminated": ended}}
    return pod("p", containerStatuses=[state])


def test_a_pod_that_lacked_memory_or_restarts_again_and_again_is_a_problem_although_it_runs() -> None:
    minutes = timedelta(minutes=4)
    assert pod_problem(restarted("OOMKilled", 1, minutes), QUIET) == (
        "p ended with 137 (OOMKilled): it needed more memory than its limit, 4 min ago; it runs again, "
        "after 1 restarts"
    )
    assert "after 3 restarts" in (pod_problem(restarted("Error", 3, minutes), QUIET) or "")
    assert pod_problem(restarted("Error", 2, minutes), QUIET) is None
    assert pod_problem(restarted("Error", 9, timedelta(hours=1)), QUIET) is None
    assert pod_problem(restarted("OOMKilled", 1, timedelta(hours=2)), QUIET) is None


TABLE = """+-----------------+---------+------------------------------------------------+
| Model           | Version | Status                                         |
+-----------------+---------+------------------------------------------------+
| expand          | 1       | READY                                          |
| structbert      | 1       | UNAVAILABLE: Internal: the engine of /e/x has  |
|                 |         | no weights                                     |
+-----------------+---------+------------------------------------------------+
"""


def test_the_reason_is_a_sentence_and_never_a_table_of_tritons() -> None:
    reason = "the model structbert cannot be loaded: Internal: the engine of /e/x has no weights"
    assert last_words(TABLE) == reason
    table = json.dumps({"time": "t", "level": "error", "message": TABLE})
    later = json.dumps({"time": "t", "level": "info", "message": "closing"})
    assert last_words(f"{table}\n{later}\n") == reason
    assert last_words("+---+\n| a | b |\n+---+\n") == ""
    assert last_words('"cut":1}\n') == '"cut":1}'
    assert last_words('{"time":"t","level":"info","mess') == ""


def job(name: str, revision: int, **job_status: Any) -> Object:
    annotations = {"wanneng.io/revision": str(revision)}
    return {"metadata": {"name": name, "annotations": annotations}, "status": job_status}


FAILED = {"conditions": [{"type": "Failed", "status": "True", "message": "too many attempts."}]}


def of_job(name: str, **pod_status: Any) -> Object:
    made = pod(f"{name}-abc", "engine", None, **pod_status)
    made["metadata"]["labels"]["batch.kubernetes.io/job-name"] = name
    return made


def at_revision(revision: int) -> list[Object]:
    deployments = [deployment("w-gateway", "gateway"), deployment("w-triton-a10", "triton", "a10")]
    for each in deployments:
        each["metadata"]["annotations"]["wanneng.io/revision"] = str(revision)
    return deployments


def test_a_failed_build_has_its_reason_until_a_later_revision_is_deployed() -> None:
    ended = {"exitCode": 1, "reason": "Error", "message": '{"level":"critical","message":"off by 2.0"}'}
    builder = of_job("w-engine-x", phase="Failed", containerStatuses=[{"state": {"terminated": ended}}])
    jobs = [job("w-engine-x", 2, **FAILED)]
    found = status(at_revision(1), [*PODS, builder], jobs, [], aggregate([METRICS])).problems
    assert found == ("the job w-engine-x failed: off by 2.0; `kubectl logs job/w-engine-x` has more",)
    assert status(at_revision(3), [*PODS, builder], jobs, [], aggregate([METRICS])).problems == ()


def test_a_job_that_runs_is_told_and_one_that_cannot_start_is_a_problem() -> None:
    began = (NOW - timedelta(seconds=90)).strftime("%Y-%m-%dT%H:%M:%SZ")
    jobs = [job("w-migration", 2, startTime=began, active=1)]
    running = status(RELEASE, [*PODS, of_job("w-migration")], jobs, [], aggregate([METRICS]))
    assert (running.problems, running.running_jobs) == ((), ("the job w-migration has been running for 90 s",))
    stuck = of_job("w-migration", **UNPLACED)
    assert status(RELEASE, [*PODS, stuck], jobs, [], aggregate([METRICS])).problems == (
        f"the job w-migration makes no progress: w-migration-abc cannot be placed: {NO_ROOM}",
    )
    done = [job("w-migration", 2, startTime=began, conditions=[{"type": "Complete", "status": "True"}])]
    finished = status(RELEASE, PODS, done, [], aggregate([METRICS]))
    assert (finished.problems, finished.running_jobs) == ((), ())


def test_batches_that_no_worker_answers_are_a_problem() -> None:
    batches = batches_of(["", "wanneng_batches_unfinished 3.0\nwanneng_oldest_batch_age_seconds 60.0\n"])
    assert batches == Batches(3, 60.0)
    for wanted, words in ((0, "set worker.replicas"), (1, "none of its pods is ready")):
        release_ = [*RELEASE, deployment("w-worker", "worker", ready=0, wanted=wanted)]
        assert status(release_, PODS, [], [], aggregate([METRICS]), batches=batches).problems == (
            f"3 batches wait and no worker runs: {words}",
        )
        assert status(release_, PODS, [], [], aggregate([METRICS]), batches=Batches(0, 0.0)).problems == ()
    answered = [*RELEASE, deployment("w-worker", "worker", ready=1, wanted=1)]
    assert status(answered, PODS, [], [], aggregate([METRICS]), batches=batches).problems == ()


def drained(cluster: FakeCluster, target: str, timeout_s: float = 100.0) -> list[str]:
    clock, said = count(), list[str]()
    drain(
        cluster, target, timeout_s=timeout_s, now=lambda: float(next(clock)), sleep=lambda _: None, say=said.append
    )
    return said


def release() -> FakeCluster:
    return FakeCluster(
        [pod("g1", "gateway", None), pod("t1"), pod("t2"), pod("t3", node="n2")],
        [
            deployment("w-gateway", "gateway", ready=1, wanted=1),
            deployment("w-t", "triton", "a10", ready=3, wanted=3),
        ],
        ["n1", "n2"],
    )


def test_a_node_is_cordoned_and_its_pods_go_one_after_another() -> None:
    cluster = release()
    said = drained(cluster, "n1")
    assert cluster.cordoned == ["n1"]
    assert cluster.evicted == ["g1", "t1", "t2"]
    assert said[0] == "n1 takes no new pods"
    assert said[-1] == "3 pods were replaced"


def test_one_pod_is_replaced_without_touching_a_node() -> None:
    cluster = release()
    drained(cluster, "t3")
    assert (cluster.cordoned, cluster.evicted) == ([], ["t3"])


def test_the_control_plane_and_the_worker_leave_a_node_too() -> None:
    cluster = FakeCluster(
        [pod("c1", "control-plane", None), pod("w1", "worker", None), pod("e1", "engine", None)],
        [
            deployment("w-control-plane", "control-plane", ready=1, wanted=1),
            deployment("w-worker", "worker", ready=1, wanted=1),
        ],
        ["n1"],
    )
    drained(cluster, "n1")
    assert cluster.evicted == ["c1", "w1"], "a job is not moved"


def test_a_disruption_budget_is_waited_for_and_told_once() -> None:
    cluster = release()
    cluster.held = {"t1": 5}
    said = drained(cluster, "n1")
    assert cluster.evicted == ["g1", "t1", "t2"]
    assert said.count("waiting: a disruption budget does not let t1 go at present") == 1


def test_the_next_pod_waits_until_the_one_before_is_replaced() -> None:
    """Nothing is replaced here, so only the first goes."""
    cluster = release()
    cluster.replaces = False
    with pytest.raises(CommandError, match="not done in time: t1 is being replaced"):
        drained(cluster, "t1", timeout_s=20)
    with pytest.raises(CommandError, match="g1 is being replaced"):
        drained(cluster, "n1", timeout_s=20)
    assert cluster.evicted == ["t1", "g1"]


def test_what_is_neither_a_node_nor_a_pod_is_named() -> None:
    with pytest.raises(CommandError, match="nothing is neither a node nor a pod of this release"):
        drained(release(), "nothing")


LOGS = {
    "g1": (
        '2026-11-21T10:00:01.0Z {"request_id":"one","status":200}\n'
        "2026-11-21T10:00:02.5Z http://t1 answers\n"
        '2026-11-21T10:00:04.0Z {"request_id":"two","status":200}\n'
        "no time\n"
    ),
    "w1": '2026-11-21T10:00:03.0Z {"request_id":"one","note":"late"}\n2026-11-21T10:00:03.5Z {"request_id":7}\n',
    "t1": "2026-11-21T10:00:02.0Z [error] of one\n",
}


def test_logs_are_merged_by_time_and_a_requests_lines_stay_together() -> None:
    assert [(line.pod, line.at[17:21]) for line in merged(LOGS)] == [
        ("g1", "01.0"),
        ("w1", "03.0"),
        ("t1", "02.0"),
        ("g1", "02.5"),
        ("w1", "03.5"),
        ("g1", "04.0"),
    ]


def test_one_requests_lines_can_be_had_alone() -> None:
    assert [line.pod for line in merged(LOGS, "one")] == ["g1", "t1", "w1"]
    assert merged(LOGS, "three") == []


def test_a_request_is_not_one_whose_id_begins_alike_or_that_quotes_it() -> None:
    """As the ids of a batch's lines do."""
    at = "2026-11-21T10:00:01.0Z"
    lines = [
        f'{at} {{"request_id":"batch_1_1","status":200}}',
        f'{at} {{"request_id":"batch_1_10","status":200}}',
        f'{at} {{"request_id":"other","message":"after batch_1_1"}}',
        f'{at} {{"message":"batch_1_1 has an error"}}',
        f'{at} {{"message":"batch_1_1-2, xbatch_1_1, batch_1_1.2, a.batch_1_1"}}',
        f'{at} {{"message":"the engine failed","request_ids":"batch_1_0,batch_1_1"}}',
        f'{at} {{"message":"the engine failed","request_ids":"batch_1_0,batch_1_12"}}',
        f'{at} {{"message":"an error of batch_1_1."}}',
    ]
    found = merged({"g1": "\n".join(lines)}, "batch_1_1")
    assert [line.text for line in found] == [
        line.partition(" ")[2] for line in (lines[0], lines[3], lines[5], lines[7])
    ]


def gateway(scores: dict[str, float], seen: list[httpx.Request]) -> Client:
    def answer(request: httpx.Request) -> httpx.Response:
        seen.append(request)
        result = {"labels": list(scores), "scores": list(scores.values()), "truncated": False}
        return httpx.Response(200, json={"results": [result], "model_version": "v"})

    return Client("http://gateway", transport=httpx.MockTransport(answer))


def test_a_reference_is_recorded_and_compared_without_the_cache() -> None:
    seen: list[httpx.Request] = []
    lines = [{"text": "要求退款", "labels": ["投诉", "咨询"], "hypothesis_template": "这是{}", "note": "mine"}]
    client = gateway({"投诉": 0.9, "咨询": 0.1}, seen)
    (kept,) = record(client, lines)
    assert kept["scores"] == {"投诉": 0.9, "咨询": 0.1}
    assert "note" not in kept
    asked = {name: lines[0][name] for name in ("labels", "hypothesis_template")}
    assert json.loads(seen[0].content) == {"texts": ["要求退款"], **asked}
    assert seen[0].headers["Cache-Control"] == "no-cache"
    (same,) = compare(client, [kept])
    assert (same.best, same.expected_best, same.difference) == ("投诉", "投诉", 0.0)
    (other,) = compare(gateway({"投诉": 0.3, "咨询": 0.7}, seen), [kept])
    assert (other.best, other.expected_best) == ("咨询", "投诉")
    assert other.difference == pytest.approx(0.6)


def test_what_was_recorded_can_be_read_again(tmp_path: Path) -> None:
    """U+2028 and its like are part of a text, and end no line."""
    line = {"text": "一\u2028二\x85三\x0b四", "labels": ["a"], "special_tokens": "text"}
    path = tmp_path / "reference.jsonl"
    path.write_text(json.dumps(line, ensure_ascii=False) + "\n", encoding="utf-8-sig")
    read = read_reference(path)
    assert read == [line]
    (kept,) = record(gateway({"a": 1.0}, []), read)
    assert kept == line | {"scores": {"a": 1.0}}


def test_labels_that_appear_or_vanish_are_a_difference() -> None:
    kept = {"text": "x", "labels": ["a"], "scores": {"a": 0.6, "b": 0.4}}
    (found,) = compare(gateway({"a": 0.6, "c": 0.5}, []), [kept])
    assert found.difference == pytest.approx(0.5)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("", "is empty"),
        ("{", "line 1 is not JSON"),
        (
            '{"text": "x", "labels": ["a"]}\n\n{"text": "x"}',
            "line 3: an object with text, and labels or label_set",
        ),
    ],
)
def test_a_reference_that_cannot_be_used_is_named(content: str, words: str, tmp_path: Path) -> None:
    path = tmp_path / "reference.jsonl"
    path.write_text(content, encoding="utf-8")
    with pytest.raises(CommandError, match=words):
        read_reference(path)
    with pytest.raises(CommandError, match="cannot be read"):
        read_reference(tmp_path / "none.jsonl")


def test_a_reference_without_scores_says_how_to_get_them() -> None:
    with pytest.raises(CommandError, match="no scores; --record writes them"):
        list(compare(gateway({}, []), [{"text": "x", "labels": ["a"]}]))


@pytest.mark.parametrize(
    ("context", "given", "namespace"),
    [(None, None, "default"), ("staging", None, "trials"), ("staging", "mine", "mine"), (None, "mine", "mine")],
)
def test_the_namespace_is_the_contexts_own(
    context: str | None, given: str | None, namespace: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clusters = [{"name": "c", "cluster": {"server": "https://127.0.0.1:1"}}]
    contexts = [
        {"name": "production", "context": {"cluster": "c", "user": "u"}},
        {"name": "staging", "context": {"cluster": "c", "user": "u", "namespace": "trials"}},
    ]
    known = {"clusters": clusters, "contexts": contexts, "users": [{"name": "u", "user": {}}]}
    (tmp_path / "config").write_text(json.dumps(known | {"current-context": "production"}), encoding="utf-8")
    monkeypatch.setattr("kubernetes.config.kube_config.KUBE_CONFIG_DEFAULT_LOCATION", str(tmp_path / "config"))
    assert KubernetesCluster("wanneng", given, context).namespace == namespace


def become_a_pod(namespace: str | None, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With a service account, and without a kubeconfig."""
    for name, content in (("token", "t"), ("ca.crt", "c"), ("namespace", namespace)):
        if content is not None:
            (folder / name).write_text(content, encoding="utf-8")
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "127.0.0.1")
    monkeypatch.setenv("KUBERNETES_SERVICE_PORT", "1")
    monkeypatch.setattr("kubernetes.config.incluster_config.SERVICE_TOKEN_FILENAME", str(folder / "token"))
    monkeypatch.setattr("kubernetes.config.incluster_config.SERVICE_CERT_FILENAME", str(folder / "ca.crt"))
    monkeypatch.setattr("wanneng.cluster.kube.NAMESPACE_FILE", folder / "namespace")
    monkeypatch.setattr("kubernetes.config.kube_config.KUBE_CONFIG_DEFAULT_LOCATION", str(folder / "config"))
    monkeypatch.setattr("kubernetes.client.Configuration._default", None)


@pytest.mark.parametrize(
    ("own", "given", "namespace"),
    [("trials\n", None, "trials"), ("trials", "mine", "mine"), (None, None, "default")],
)
def test_inside_a_pod_the_namespace_is_the_pods(
    own: str | None, given: str | None, namespace: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    become_a_pod(own, tmp_path, monkeypatch)
    assert KubernetesCluster("wanneng", given, None).namespace == namespace


def test_inside_a_pod_a_context_is_never_the_pods_own_cluster(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    become_a_pod("trials", tmp_path, monkeypatch)
    with pytest.raises(CommandError, match=r"context 'prod' cannot be used: .*; choose one of the kubeconfig's"):
        KubernetesCluster("wanneng", None, "prod")


def test_an_unknown_context_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "config").write_text(
        '{"clusters": [], "users": [], "contexts": [], "current-context": ""}', encoding="utf-8"
    )
    monkeypatch.setattr("kubernetes.config.kube_config.KUBE_CONFIG_DEFAULT_LOCATION", str(tmp_path / "config"))
    with pytest.raises(CommandError, match="nowhere"):
        KubernetesCluster("wanneng", None, "nowhere")


TRIAL = """wanneng_pool_engines{engine="e1",pool="cpu"} 2.0
wanneng_pool_engines{engine="e2",pool="canary"} 1.0
wanneng_pool_share{pool="canary"} 0.1
wanneng_pool_call_seconds_count{pool="cpu"} 90.0
wanneng_pool_call_seconds_sum{pool="cpu"} 9.0
wanneng_pool_call_seconds_count{pool="canary"} 0.0
wanneng_compared_texts_total{engine="e1",other="e2",same_best_label="true"} 8.0
wanneng_compared_texts_total{engine="e2",other="e1",same_best_label="true"} 1.0
wanneng_compared_texts_total{engine="e1",other="e2",same_best_label="false"} 1.0
wanneng_compared_texts_total{engine="e0",other="e2",same_best_label="false"} 50.0
"""


def test_two_models_are_compared_over_all_gateways() -> None:
    """Counts of an engine that is gone are left out."""
    found = comparison_of([TRIAL, TRIAL, ""])
    assert (found.compared, found.same, found.agreement) == (20, 18, 0.9)
    assert found.pools == (
        PoolModel("canary", 0.1, frozenset({"e2"}), 0, None),
        PoolModel("cpu", None, frozenset({"e1"}), 180, 0.1),
    )
    assert comparison_of([""]).agreement is None
