"""A release on a real Kubernetes: installed without values, upgraded, rolled back, robbed of pods."""

from __future__ import annotations

import json
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.cluster.kubernetes import CommandFailed, Kubernetes, Release, eventually
from tests.cluster.load import Load, steady
from tests.helm.tools import CHART, PLENTY, ROOT

ENGINE = ROOT / ".venv-engine/bin/python"
EMBEDDED = json.loads((ROOT / "embedded/engine.json").read_text(encoding="utf-8"))["engine_id"]
KILL_THE_TOKENIZER = """
import os, pathlib
for process in pathlib.Path("/proc").glob("[0-9]*/cmdline"):
    pid = int(process.parent.name)
    if b"/models/expand/" in process.read_bytes() and pid != os.getpid():
        os.kill(pid, 9)
"""
AFTERWARDS_S = 3.0
"""The load goes on so long after what was done to the release."""


@pytest.fixture(scope="module")
def release(namespaced: Callable[[dict[str, Any]], Release]) -> Release:
    """`helm install` with no values but the name of the release."""
    made = namespaced({})
    made.install("--wait")
    return made


@pytest.fixture
def load(release: Release) -> Iterator[Load]:
    """Twenty requests a second; none may fail, whatever the test does meanwhile."""
    with steady(release.address, release.key) as running:
        yield running
        time.sleep(AFTERWARDS_S)
    assert running.failures == []
    assert running.answered > 0


def ready(release: Release, component: str) -> list[str]:
    return [
        pod["metadata"]["name"]
        for pod in release.pods(component)
        if {"type": "Ready", "status": "True"}.items()
        <= next((dict(c) for c in pod["status"].get("conditions", ()) if c["type"] == "Ready"), {}).items()
    ]


def test_an_install_without_values_answers_and_helms_test_says_so(release: Release) -> None:
    """In a namespace that enforces pod security `restricted`."""
    said = release.kubernetes.helm("test", release.name, "--namespace", release.namespace, "--logs")
    assert "Phase:          Succeeded" in said
    assert '"labels": ["投诉"' in said
    assert release.classify(release.key)["model_version"] == EMBEDDED


def test_status_finds_nothing_wrong(release: Release) -> None:
    code, said = release.wanneng("status", release.name, "-n", release.namespace)
    assert (code, "all is well" in said) == (0, True), said
    assert "2 of 2 gateways ready" in said
    assert EMBEDDED in said


def test_status_is_data_too(release: Release) -> None:
    code, said = release.wanneng("status", release.name, "-n", release.namespace, "--json")
    found = json.loads(said)
    assert code == 0
    assert found["pools"][0]["ready"] == 2
    assert found["sight"]["engines"] == {"cpu": [EMBEDDED]}


def test_no_pod_has_a_token_of_the_api_server(release: Release) -> None:
    pod = ready(release, "gateway")[0]
    listed = release.kubectl("exec", pod, "--", "ls", "/var/run")
    assert "secrets" not in listed


def test_the_declared_tenants_change_without_a_restart(release: Release) -> None:
    """What the Secret says reaches the gateways as a file; the key of before still works."""
    before = {pod["metadata"]["uid"] for pod in release.pods("gateway")}
    release.values = {"tenants": [{"id": "default"}, {"id": "second"}]}
    key = release.key
    release.upgrade("--wait")
    assert release.key == key
    second = release.secret(f"{release.name}-tenants")["second"]
    # The kubelet looks at Secrets once a minute, and when a pod of its own changes.
    release.kubectl("annotate", "pods", "--all", "looked=at")

    def answers() -> bool:
        try:
            return bool(release.classify(second)["labels"])
        except AssertionError:
            return False

    eventually("the second tenant's key works at every gateway", lambda: all(answers() for _ in range(6)), 180)
    assert {pod["metadata"]["uid"] for pod in release.pods("gateway")} == before


@pytest.mark.parametrize("component", ["triton", "gateway"])
def test_a_pod_that_is_deleted_under_load_costs_no_request(component: str, release: Release, load: Load) -> None:
    victim = ready(release, component)[0]
    release.kubectl("delete", "pod", victim, "--wait=true", timeout_s=120)
    eventually("two pods are ready again", lambda: len(ready(release, component)) == 2)
    assert victim not in ready(release, component)


def test_a_triton_that_lost_a_python_process_is_started_again_and_costs_no_request(
    release: Release, load: Load
) -> None:
    """It says that it is ready and only fails: gateways ask the other, and the kubelet ends it."""
    victim = ready(release, "triton")[0]
    release.kubectl("exec", victim, "--", "python3", "-c", KILL_THE_TOKENIZER)

    def starts() -> int:
        (pod,) = [pod for pod in release.pods("triton") if pod["metadata"]["name"] == victim]
        return int(pod["status"]["containerStatuses"][0]["restartCount"])

    eventually("it was started again", starts, 180)
    eventually("two pods are ready again", lambda: len(ready(release, "triton")) == 2)


def test_a_pod_is_drained_by_name_under_load(release: Release, load: Load) -> None:
    victim = ready(release, "triton")[0]
    code, said = release.wanneng("drain", victim, release.name, "-n", release.namespace)
    assert code == 0, said
    assert "1 pods were replaced" in said
    assert victim not in [pod["metadata"]["name"] for pod in release.pods("triton")]


def test_an_upgrade_of_every_pod_under_load_costs_no_request(release: Release, load: Load) -> None:
    before = {pod["metadata"]["uid"] for name in ("triton", "gateway") for pod in release.pods(name)}
    release.values = {
        "gateway": {"settings": {"WANNENG_CACHE_TTL_S": "1800"}},
        "pools": {"cpu": {"engineThreads": 1}},
    }
    release.upgrade("--wait")
    after = {pod["metadata"]["uid"] for name in ("triton", "gateway") for pod in release.pods(name)}
    assert not before & after


@pytest.fixture(scope="module")
def sources(release: Release, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of this node behind a claim of the release's, with the embedded model as an fp32 engine."""
    if not ENGINE.exists():
        pytest.skip("the engine builder's environment is not here: make engine-env")
    if release.kubernetes.own is None:
        pytest.skip("a volume on the node's disk can only be made on this machine's cluster")
    folder = tmp_path_factory.mktemp("engines")
    folder.chmod(0o777)
    for parent in folder.parents[:2]:
        parent.chmod(0o755)
    for command in (
        ["snapshot", "embedded", "--output", str(folder / "snapshot")],
        ["build", str(folder / "snapshot"), "--output", str(folder / "sources/first"), "--name", "first"],
    ):
        subprocess.run([ENGINE, "-m", "wanneng", "engine", *command], check=True, cwd=ROOT, timeout=PLENTY)
    shutil.rmtree(folder / "snapshot")
    release.claim(folder)
    return folder


def served(source: str) -> dict[str, Any]:
    return {
        "model": {"source": f"sources/{source}", "precision": "int8"},
        "engines": {
            "volume": {"persistentVolumeClaim": {"claimName": "engines"}},
            "build": {"resources": {"requests": {"cpu": "200m", "memory": "256Mi"}, "limits": {"memory": "4Gi"}}},
        },
    }


def test_a_new_model_is_built_verified_and_rolled_out_under_load(
    release: Release, sources: Path, load: Load
) -> None:
    """The Job builds a real INT8 engine; every answer is of one of the two, and in the end of the new one."""
    release.values = served("first")
    release.upgrade("--wait")
    (built,) = [path for path in (sources / "built").iterdir() if not path.name.startswith(".")]
    report = json.loads((built / "verification.json").read_text(encoding="utf-8"))
    assert report["passed"] is True
    assert report["precision"] == "int8"
    made = json.loads((built / "engine.json").read_text(encoding="utf-8"))["engine_id"]
    assert made.endswith("-int8")
    eventually("only the new engine answers", lambda: release.classify(release.key)["model_version"] == made)
    assert load.versions.keys() == {EMBEDDED, made}


def test_engines_are_listed_with_the_jobs_that_built_them(release: Release, sources: Path) -> None:
    code, said = release.wanneng("engines", release.name, "-n", release.namespace)
    assert code == 0, said
    assert "-int8" in said
    assert "succeeded  from sources/first" in said


def test_what_the_old_model_answered_is_a_gate_for_the_new_one(release: Release, sources: Path) -> None:
    """A reference recorded now agrees with itself; one with other scores does not, and says where."""
    url, key = f"http://{release.address}", release.key
    texts = sources / "texts.jsonl"
    labels = ["投诉", "咨询", "建议"]
    lines = [{"text": text, "labels": labels} for text in ("质量太差，要求退款", "几点开门", "希望多开几家店")]
    texts.write_text("".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines), encoding="utf-8")
    reference = sources / "reference.jsonl"
    gate = ("verify", str(reference), "--url", url, "--key", key)
    assert release.wanneng("verify", str(texts), "--record", str(reference), "--url", url, "--key", key)[0] == 0
    code, said = release.wanneng(*gate)
    assert (code, "3 of 3 texts" in said) == (0, True), said
    changed = [json.loads(line) for line in reference.read_text(encoding="utf-8").splitlines()]
    changed[1]["scores"] = {"投诉": 0.9, "咨询": 0.05, "建议": 0.05}
    reference.write_text(
        "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in changed), encoding="utf-8"
    )
    code, said = release.wanneng(*gate)
    assert (code, "几点开门" in said) == (1, True), said


def test_a_model_that_fails_its_check_leaves_the_release_as_it_is(release: Release, sources: Path) -> None:
    """Its reference says something else than its weights: as after a damaged copy."""
    import numpy as np

    broken = sources / "sources/broken"
    shutil.copytree(sources / "sources/first", broken)
    with np.load(broken / "reference.npz") as stored:
        arrays = dict(stored)
    arrays["logits"] = -arrays["logits"]
    np.savez_compressed(broken / "reference.npz", **arrays)
    before = {d["metadata"]["name"]: d["metadata"]["generation"] for d in release.objects("deployments")}
    version = release.classify(release.key)["model_version"]
    kept = release.values
    release.values = served("broken")
    with pytest.raises(CommandFailed, match="failed"):
        release.upgrade("--wait")
    assert {d["metadata"]["name"]: d["metadata"]["generation"] for d in release.objects("deployments")} == before
    assert release.classify(release.key)["model_version"] == version
    assert len(list((sources / "built").glob("[!.]*"))) == 1, "nothing half-built is published"
    code, said = release.wanneng("status", release.name, "-n", release.namespace)
    assert (code, "the job wanneng-engine-" in said) == (1, True), said
    release.values = kept


def test_a_pod_waits_for_an_engine_that_nobody_has_built_and_says_so(release: Release, sources: Path) -> None:
    """Jobs are off and the engine is missing: the old pods go on, the new one waits."""
    kept = release.values
    release.values = served("first") | {"images": {"tritonCpu": {"repository": "localhost/wanneng-triton"}}}
    release.values["engines"] = release.values["engines"] | {"build": {"enabled": False}}
    release.values["model"] = {"source": "sources/later", "precision": "int8"}
    release.upgrade()
    code, said = eventually("the new pod waits", lambda: waiting(release), 60)
    assert code == 1
    assert release.classify(release.key)["labels"][0] == "投诉"
    log = eventually("it says for what", lambda: release.kubectl("logs", new_pod(said), "-c", "engine"), 30)
    assert "is not published yet; Job wanneng-engine-" in log
    release.values = kept
    release.upgrade("--wait")


def waiting(release: Release) -> tuple[int, str] | None:
    code, said = release.wanneng("status", release.name, "-n", release.namespace)
    return (code, said) if "waits for its engine" in said else None


def new_pod(said: str) -> str:
    (line,) = [line for line in said.splitlines() if "waits for its engine" in line]
    return next(word for word in line.split() if word.startswith("wanneng-triton-cpu-"))


def test_a_rollback_under_load_brings_the_old_engine_back(release: Release, load: Load, sources: Path) -> None:
    in_release = (release.name, "--namespace", release.namespace, "--output", "json")
    history = json.loads(release.kubernetes.helm("history", *in_release))
    superseded = [str(one["revision"]) for one in history if one["status"] == "superseded"]
    values = {
        revision: json.loads(release.kubernetes.helm("get", "values", *in_release, "--revision", revision))
        for revision in superseded
    }
    embedded = [revision for revision in superseded if "model" not in (values[revision] or {})][-1]
    release.kubernetes.helm(
        "rollback", release.name, embedded, "--namespace", release.namespace, "--wait", "--timeout=180s"
    )
    eventually("the embedded engine answers", lambda: release.classify(release.key)["model_version"] == EMBEDDED)


def test_logs_of_all_pods_come_as_one_and_of_one_request_alone(release: Release) -> None:
    asked = release.classify(release.key)["request_id"]

    def found() -> str | None:
        code, said = release.wanneng("logs", release.name, "-n", release.namespace, "--request", asked)
        return said if code == 0 and asked in said else None

    said = eventually("the request is in the log", found, 30)
    assert len(said.splitlines()) == 1
    assert "wanneng-gateway-" in said
    assert "质量太差" not in said


def test_keys_outlive_an_upgrade_from_the_chart_before(
    namespaced: Callable[[dict[str, Any]], Release], kubernetes: Kubernetes, tmp_path: Path
) -> None:
    old = tmp_path / "wanneng"
    shutil.copytree(CHART, old)
    chart = (old / "Chart.yaml").read_text(encoding="utf-8")
    (old / "Chart.yaml").write_text(chart.replace("\nversion: 0.1.0", "\nversion: 0.0.9"), encoding="utf-8")
    release = namespaced({"gateway": {"replicas": 0}, "pools": {"cpu": {"replicas": 0}}})
    release.install(chart=old)
    key = release.key
    release.upgrade()
    assert release.key == key
    listed = json.loads(kubernetes.helm("list", "-n", release.namespace, "-o", "json"))
    assert (listed[0]["chart"], listed[0]["revision"]) == ("wanneng-0.1.0", "2")
