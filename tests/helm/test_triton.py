"""Pools of Triton Pods, and the engines that they serve."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.helm.tools import CHART, containers, environment, find, names, pod_of, refusal, render

GPUS = CHART / "ci/gpus.yaml"
INT8: dict[str, Any] = {
    "model": {"source": "sources/a", "precision": "int8"},
    "engines": {"volume": {"persistentVolumeClaim": {"claimName": "engines"}}},
}
FP32 = INT8 | {"model": {"source": "sources/a", "precision": "fp32"}}


def test_each_pool_has_its_own_nodes_gpus_and_rollout_strategy() -> None:
    objects = render(None, GPUS)
    assert names(objects, "Deployment") == ["w-gateway", "w-triton-a10", "w-triton-a100"]
    small, large = (find(objects, "Deployment", f"w-triton-{pool}") for pool in ("a10", "a100"))
    assert (small["spec"]["replicas"], large["spec"]["replicas"]) == (4, 6)
    assert pod_of(small)["nodeSelector"] == {"nvidia.com/gpu.product": "NVIDIA-A10"}
    for deployment in (small, large):
        triton = pod_of(deployment)["containers"][0]
        assert triton["resources"]["limits"]["nvidia.com/gpu"] == 1
        assert triton["resources"]["requests"]["nvidia.com/gpu"] == 1
        assert triton["image"] == "localhost/wanneng-triton-gpu:0.1.0"
        assert pod_of(deployment)["tolerations"][0]["key"] == "nvidia.com/gpu"
    assert small["spec"]["strategy"]["rollingUpdate"] == {"maxSurge": 1, "maxUnavailable": 0}
    assert large["spec"]["strategy"]["rollingUpdate"] == {"maxSurge": 0, "maxUnavailable": 1}


def test_pods_may_request_mig_slices_or_several_gpus() -> None:
    objects = render(None, CHART / "ci/mig.yaml")
    slices, whole = (find(objects, "Deployment", f"w-triton-{pool}") for pool in ("slices", "whole"))
    assert pod_of(slices)["containers"][0]["resources"]["limits"]["nvidia.com/mig-1g.10gb"] == 1
    assert pod_of(whole)["containers"][0]["resources"]["limits"]["nvidia.com/gpu"] == 8
    assert pod_of(whole)["priorityClassName"] == "system-cluster-critical"
    shm = [volume for volume in pod_of(whole)["volumes"] if volume["name"] == "shm"]
    assert shm == [{"name": "shm", "emptyDir": {"medium": "Memory", "sizeLimit": "1Gi"}}]


def test_a_pod_on_cpus_requests_no_gpu() -> None:
    triton = pod_of(find(render(), "Deployment", "w-triton-cpu"))["containers"][0]
    assert not [name for name in triton["resources"]["limits"] if "gpu" in name]
    assert environment(triton)["WANNENG_ENGINE"] == "/opt/wanneng/embedded"


def test_lifecycle_of_a_triton_pod() -> None:
    """It is ready after a real inference, is probed without any afterwards, and outlives its own drain."""
    pool = {"drainSeconds": 20, "exitSeconds": 40, "startSeconds": 600}
    pod = pod_of(find(render({"pools": {"cpu": pool}}), "Deployment", "w-triton-cpu"))
    triton = pod["containers"][0]
    assert triton["startupProbe"]["exec"]["command"] == ["python3", "-m", "wanneng.serve.probe"]
    assert triton["startupProbe"]["failureThreshold"] * triton["startupProbe"]["periodSeconds"] == 600
    assert triton["readinessProbe"]["httpGet"]["path"] == "/v2/health/ready"
    assert triton["livenessProbe"]["exec"]["command"] == ["python3", "-m", "wanneng.serve.alive"]
    liveness = triton["livenessProbe"]
    assert liveness["terminationGracePeriodSeconds"] < triton["lifecycle"]["preStop"]["sleep"]["seconds"]
    assert liveness["periodSeconds"] * liveness["failureThreshold"] <= 10, "a dead Triton is noticed soon"
    assert triton["lifecycle"]["preStop"] == {"sleep": {"seconds": 20}}
    assert triton["args"] == ["triton", "--exit-timeout-s=40"]
    assert pod["terminationGracePeriodSeconds"] > 60


def test_engines_are_built_for_each_architecture_before_any_pod_is_replaced() -> None:
    objects = render(None, GPUS)
    jobs = [o for o in objects if o["kind"] == "Job"]
    assert len(jobs) == 2, "an A100 cannot run the engine of an A10"
    for job in jobs:
        assert job["metadata"]["annotations"]["helm.sh/hook"] == "pre-install,pre-upgrade"
        arguments = containers(job)[0]["args"]
        pool = job["metadata"]["annotations"]["wanneng.io/pool"]
        deployment = find(objects, "Deployment", f"w-triton-{pool}")
        folder = environment(pod_of(deployment)["containers"][0])["WANNENG_ENGINE"]
        assert arguments[:3] == ["engine", "build", "/engines/sources/structbert"]
        assert {f"--output={folder}", "--target=tensorrt", "--precision=fp16", "--if-missing"} <= set(arguments)
        assert pod_of(job)["nodeSelector"] == pod_of(deployment)["nodeSelector"]
        assert containers(job)[0]["resources"]["limits"]["nvidia.com/gpu"] == 1
        (wait,) = pod_of(deployment)["initContainers"]
        assert wait["args"][:3] == ["engine", "wait", folder]
        assert wait["volumeMounts"] == [{"name": "engines", "mountPath": "/engines", "readOnly": True}]


def engine_of(values: dict[str, Any], pool: str = "cpu") -> str:
    triton = pod_of(find(render(values), "Deployment", f"w-triton-{pool}"))["containers"][0]
    return str(environment(triton)["WANNENG_ENGINE"])


def test_an_engines_directory_depends_on_everything_that_determines_the_engine_and_nothing_else() -> None:
    first = engine_of(INT8)
    assert engine_of(INT8 | {"pools": {"cpu": {"replicas": 7, "weight": 2}}}) == first
    others = [
        INT8 | {"model": {"source": "sources/b", "precision": "int8"}},
        FP32,
        INT8 | {"images": {"tritonCpu": {"tag": "0.2.0"}}},
        FP32 | {"pools": {"cpu": {"config": "onnx-cpu"}}},
    ]
    assert len({first, *(engine_of(values) for values in others)}) == 5
    tensorrt = {"model": {"source": "a", "precision": "fp16"}, "engines": INT8["engines"]}
    directories = {
        engine_of(tensorrt | {"pools": {"cpu": {"config": "tensorrt-a10", "computeCapability": capability}}})
        for capability in ("8.0", "8.6")
    }
    assert len(directories) == 2


def test_pools_with_the_same_engine_share_it_and_its_job() -> None:
    objects = render(INT8 | {"pools": {"second": {"weight": 2}}})
    assert names(objects, "Deployment") == ["w-gateway", "w-triton-cpu", "w-triton-second"]
    assert len(names(objects, "Job")) == 1


def test_engines_may_be_built_elsewhere() -> None:
    objects = render(INT8 | {"engines": {**INT8["engines"], "build": {"enabled": False}}})
    assert names(objects, "Job") == []
    assert pod_of(find(objects, "Deployment", "w-triton-cpu"))["initContainers"]


def test_the_embedded_model_needs_no_volume_and_no_job() -> None:
    objects = render()
    assert names(objects, "Job") == []
    assert "initContainers" not in pod_of(find(objects, "Deployment", "w-triton-cpu"))


def test_engines_that_were_built_elsewhere_are_loaded_as_they_are() -> None:
    """From an image, on nodes whose GPUs are all busy: no Job needs one."""
    volume = {"image": {"reference": "registry.example/engines:1", "pullPolicy": "IfNotPresent"}}
    objects = render(
        {
            "model": {"precision": "fp16"},
            "engines": {"volume": volume},
            "pools": {
                "cpu": None,
                "a10": {"config": "tensorrt-a10", "computeCapability": "8.6", "engine": "plans/a10"},
            },
        }
    )
    assert names(objects, "Job") == []
    deployment = find(objects, "Deployment", "w-triton-a10")
    assert deployment["metadata"]["annotations"]["wanneng.io/engine"] == "/engines/plans/a10"
    wait, triton = containers(deployment)
    assert "/engines/plans/a10" in wait["args"]
    assert not any(argument.startswith("--built-by") for argument in wait["args"])
    assert environment(triton)["WANNENG_ENGINE"] == "/engines/plans/a10"
    assert {"name": "engines", **volume} in pod_of(deployment)["volumes"]


DOWNLOAD = CHART / "ci/download.yaml"


def test_an_engine_is_downloaded_and_checked_before_triton_starts() -> None:
    """Each Pod has a folder of its own to download to, on the volume where the engine goes."""
    objects = render({"engines": {"download": {"env": [{"name": "AWS_ENDPOINT_URL", "value": "x"}]}}}, DOWNLOAD)
    assert names(objects, "Job") == []
    pod = pod_of(find(objects, "Deployment", "w-triton-a10"))
    download, engine, triton = containers({"kind": "Pod", "spec": pod})
    given = environment(download)
    assert (given["ENGINE"], given["ENGINE_FOLDER"]) == ("plans/a10", "/engines/plans/a10")
    assert given["POD_UID"] == {"fieldRef": {"fieldPath": "metadata.uid"}} == environment(engine)["POD_UID"]
    assert f"--downloaded={given['DOWNLOAD_FOLDER']}" in engine["args"]
    assert given["DOWNLOAD_FOLDER"] == "/engines/.download-$(POD_UID)"
    assert given["AWS_ENDPOINT_URL"] == "x"
    assert download["envFrom"] == [{"secretRef": {"name": "models-reader"}}]
    assert "aws s3 cp" in download["command"][2]
    assert any(argument.startswith("--checksum=sha256:9c56cc51") for argument in engine["args"])
    written = [
        [mount["mountPath"] for mount in container["volumeMounts"] if not mount.get("readOnly")]
        for container in (download, engine, triton)
    ]
    assert written == [["/tmp", "/engines"], ["/engines"], ["/tmp", "/dev/shm"]]
    assert pod["securityContext"]["fsGroup"] == 65532
    assert environment(triton)["WANNENG_ENGINE"] == "/engines/plans/a10"


def test_only_the_pods_that_download_an_engine_open_connections_to_its_storage() -> None:
    def egress(*files: Path) -> Any:
        return find(render(None, *files), "NetworkPolicy", "w-triton")["spec"].get("egress")

    dns, storage = egress(DOWNLOAD)
    assert {port["port"] for port in dns["ports"]} == {53}
    assert storage["ports"] == [{"port": 443}]
    assert egress(GPUS) is None


def test_the_checksum_of_an_engine_on_the_volume_is_checked_too() -> None:
    volume = {"engines": {"download": {"image": ""}, "volume": {"hostPath": {"path": "/mnt/nvme"}}}}
    wait, _ = containers(find(render(volume, DOWNLOAD), "Deployment", "w-triton-a10"))
    assert any(argument.startswith("--checksum=sha256:") for argument in wait["args"])
    assert not any(argument.startswith("--downloaded") for argument in wait["args"])
    assert wait["volumeMounts"] == [{"name": "engines", "mountPath": "/engines", "readOnly": True}]


def test_builds_have_a_priority_class_of_their_own_by_which_they_may_borrow_a_gpu() -> None:
    """Kubernetes evicts a Pod of a lower priority for them; the chart needs no rights for it."""
    for name in ("", "engine-builds"):
        objects = render({"engines": {"build": {"priorityClassName": name}}}, GPUS)
        jobs = [pod_of(o) for o in objects if o["kind"] == "Job"]
        assert [job.get("priorityClassName", "") for job in jobs] == [name, name]
        pools = [pod_of(find(objects, "Deployment", f"w-triton-{pool}")) for pool in ("a10", "a100")]
        assert not any("priorityClassName" in pool for pool in pools)
        assert not [o for o in objects if o["kind"] in ("Role", "ClusterRole", "RoleBinding", "PriorityClass")]


@pytest.mark.parametrize(
    ("precision", "config", "pool", "expected"),
    [
        ("fp32", "onnx-cpu", {}, None),
        ("fp16", "onnx-cuda", {}, None),
        ("fp16", "tensorrt-a10", {"computeCapability": "8.6"}, "engine-builds"),
    ],
)
def test_only_a_build_that_requests_a_gpu_may_evict_a_pod(
    precision: str, config: str, pool: dict[str, Any], expected: str | None
) -> None:
    """Another needs none, and must not take the place of a Pod."""
    values = {
        "model": {"source": "sources/a", "precision": precision},
        "engines": {**INT8["engines"], "build": {"priorityClassName": "engine-builds"}},
        "pools": {"cpu": None, "x": {"config": config, "replicas": 2, **pool}},
    }
    (job,) = (pod_of(o) for o in render(values) if o["kind"] == "Job")
    gpus = job["containers"][0]["resources"]["limits"].get("nvidia.com/gpu", 0)
    assert (job.get("priorityClassName"), gpus) == (expected, 1 if expected else 0)


def test_jobs_are_not_disrupted_and_leave_nothing_for_good() -> None:
    for files in (GPUS, CHART / "ci/database.yaml"):
        jobs = [o for o in render(None, files) if o["kind"] == "Job"]
        assert jobs
        for job in jobs:
            annotations = job["spec"]["template"]["metadata"]["annotations"]
            assert annotations["karpenter.sh/do-not-disrupt"] == "true"
            assert job["spec"]["ttlSecondsAfterFinished"] == 7 * 86_400


def test_old_engines_are_removed_before_a_build() -> None:
    (job, *_) = [o for o in render(None, GPUS) if o["kind"] == "Job"]
    assert "--keep=20" in containers(job)[0]["args"]
    (job, *_) = [o for o in render({"engines": {"keep": 0}}, GPUS) if o["kind"] == "Job"]
    assert "keep" not in str(containers(job)[0]["args"])


def test_a_build_removes_no_engine_that_the_release_names() -> None:
    pools = {"second": {"config": "onnx-cpu"}, "named": {"engine": "built/older"}}
    objects = render(FP32 | {"pools": pools})
    folders = {engine_of(FP32 | {"pools": pools}, pool) for pool in ("cpu", "second", "named")}
    jobs = [containers(o)[0]["args"] for o in objects if o["kind"] == "Job"]
    assert len(folders) == 3
    assert len(jobs) == 2
    for arguments in jobs:
        output = next(a.partition("=")[2] for a in arguments if a.startswith("--output="))
        also = {a.partition("=")[2] for a in arguments if a.startswith("--keep-also=")}
        assert also == folders - {output}


TRIAL: dict[str, Any] = FP32 | {
    "pools": {"cpu": {"config": "onnx-cpu"}, "canary": {"config": "onnx-cpu", "model": {"source": "sources/b"}}}
}


def trial(share: float | None, **canary: Any) -> dict[str, Any]:
    pools: dict[str, Any] = TRIAL["pools"]
    model = pools["canary"]["model"] | ({} if share is None else {"share": share})
    return TRIAL | {"pools": pools | {"canary": pools["canary"] | {"model": model} | canary}}


def test_a_pool_tries_another_model_on_a_share_of_the_requests() -> None:
    objects = render(trial(0.1))
    jobs = {
        job["metadata"]["annotations"]["wanneng.io/source"]: containers(job)[0]["args"]
        for job in objects
        if job["kind"] == "Job"
    }
    assert jobs.keys() == {"sources/a", "sources/b"}
    engines = {}
    for pool, source in (("cpu", "sources/a"), ("canary", "sources/b")):
        engines[pool] = environment(pod_of(find(objects, "Deployment", f"w-triton-{pool}"))["containers"][0])[
            "WANNENG_ENGINE"
        ]
        assert f"/engines/{source}" in jobs[source]
        assert f"--output={engines[pool]}" in jobs[source]
    assert engines["cpu"] != engines["canary"]
    gateway = containers(find(objects, "Deployment", "w-gateway"))[0]
    urls = environment(gateway)["WANNENG_TRITON_URL"].split(",")
    assert sorted(url.partition("#")[2] for url in urls) == ["pool=canary&weight=1&share=0.1", "pool=cpu&weight=1"]


def test_one_value_aborts_and_promotes_and_replaces_no_pod_of_triton() -> None:
    shares = {share: render(trial(share)) for share in (0.1, 0, 1)}
    for share in (0, 1):
        gateway = environment(containers(find(shares[share], "Deployment", "w-gateway"))[0])
        assert f"&share={share}" in gateway["WANNENG_TRITON_URL"]
        for pool in ("w-triton-cpu", "w-triton-canary"):
            assert find(shares[share], "Deployment", pool) == find(shares[0.1], "Deployment", pool)


def test_a_promoted_model_becomes_the_releases_without_a_new_engine() -> None:
    on_trial = find(render(trial(1)), "Deployment", "w-triton-canary")
    values = FP32 | {"model": FP32["model"] | {"source": "sources/b"}, "pools": {"cpu": {"config": "onnx-cpu"}}}
    later = find(render(values), "Deployment", "w-triton-cpu")
    folders = {environment(pod_of(each)["containers"][0])["WANNENG_ENGINE"] for each in (on_trial, later)}
    assert len(folders) == 1


def test_trials_that_cannot_work_are_refused() -> None:
    assert "pools.canary.model.share: required" in refusal(trial(None))
    assert "share" in refusal(trial(1.5))
    assert "requires the model.source of the release" in refusal(trial(0.1, engine="b"))
    embedded = {"pools": {"cpu": {}, "canary": {"model": {"source": "sources/b", "share": 0.1}}}}
    assert "requires the model.source of the release" in refusal(embedded)
    both = trial(0.6)
    both["pools"]["blue"] = {"config": "onnx-cpu", "model": {"source": "sources/c", "share": 0.5}}
    assert "add up to 1.1" in refusal(both)
    alone = trial(0.6)
    alone["pools"]["cpu"] = None
    assert "leave one without" in refusal(alone)
