"""A release without a database on a real Kubernetes: installed, upgraded, rolled back, and deprived of Pods."""

from __future__ import annotations

import http.client
import json
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from stores.api_keys import generate_key
from tests.cluster import images
from tests.cluster.kubernetes import CommandFailed, Release, eventually
from tests.cluster.load import Load, lossless
from tests.helm.tools import LONG_TIMEOUT_S, ROOT

ENGINE = ROOT / ".venv-engine/bin/python"
KILL_THE_TOKENIZER = """
import os, pathlib
for process in pathlib.Path("/proc").glob("[0-9]*/cmdline"):
    pid = int(process.parent.name)
    if b"/models/expand/" in process.read_bytes() and pid != os.getpid():
        os.kill(pid, 9)
"""


@pytest.fixture
def load(release: Release) -> Iterator[Load]:
    """None of its requests may fail, whatever the test does."""
    with lossless(release.address, release.key) as running:
        yield running


def test_an_install_without_values_passes_helms_test(release: Release) -> None:
    """In a namespace that enforces the Pod Security Standard `restricted`."""
    output = release.kubernetes.helm("test", release.name, "--namespace", release.namespace, "--logs")
    assert "Phase:          Succeeded" in output
    assert '"labels": ["投诉"' in output
    assert release.classify(release.key)["model_version"] == images.ENGINE_ID


def test_without_a_database_nothing_but_gateways_and_triton_runs(release: Release) -> None:
    """The paths of the control plane are answered with 501."""
    names = [deployment["metadata"]["name"] for deployment in release.objects("deployments")]
    assert sorted(names) == ["wanneng-gateway", "wanneng-triton-cpu"]
    for api, path in (
        *((release.api, path) for path in ("/", "/docs", "/v1/label-sets", "/v1/files")),
        (release.operators_api, "/v1/tenants"),
    ):
        response = api.request("GET", path, release.key)
        assert (response.status, response.body["code"]) == (http.client.NOT_IMPLEMENTED, "not_available")


def test_the_metrics_say_whether_the_tenants_file_is_valid(release: Release) -> None:
    """An alert depends on it."""
    for gateway in release.gateways(8090):
        assert "wanneng_tenants_file_valid 1.0" in gateway.request("GET", "/metrics").body.splitlines()


def test_status_finds_no_problem(release: Release) -> None:
    code, output = release.wanneng("status", release.name, "-n", release.namespace)
    assert (code, "all is well" in output) == (0, True), output
    assert "2 of 2 gateways ready" in output
    assert images.ENGINE_ID in output


def test_status_is_available_as_json(release: Release) -> None:
    code, output = release.wanneng("status", release.name, "-n", release.namespace, "--json")
    status = json.loads(output)
    assert code == 0
    assert status["pools"][0]["ready"] == 2
    assert status["metrics"]["engines"] == {"cpu": [images.ENGINE_ID]}


def test_tenants_change_without_a_restart(release: Release) -> None:
    """The gateways read the mounted Secret again. Existing keys stay."""
    before = {pod["metadata"]["uid"] for pod in release.pods("gateway")}
    release.values = {"tenants": [{"id": "default"}, {"id": "second"}]}
    key = release.key
    release.upgrade("--wait")
    assert release.key == key
    second = release.secret(f"{release.name}-tenants")["second"]
    # The kubelet updates mounted Secrets about once a minute, and when the Pod changes.
    release.kubectl("annotate", "pods", "--all", "touched=yes")

    def works() -> bool:
        try:
            return bool(release.classify(second)["labels"])
        except AssertionError:
            return False

    eventually("the second tenant's key works in every gateway", lambda: all(works() for _ in range(6)), 180)
    assert {pod["metadata"]["uid"] for pod in release.pods("gateway")} == before


def test_an_upgrade_that_names_a_missing_secret_is_refused_before_anything_changes(release: Release) -> None:
    before = {d["metadata"]["name"]: d["metadata"]["generation"] for d in release.objects("deployments")}
    values, key = release.values, release.key
    release.values = values | {"existingTenantsSecret": "wanneng-tenant"}
    with pytest.raises(CommandFailed, match="existingTenantsSecret: the namespace wanneng has no Secret"):
        release.upgrade()
    release.values = values
    assert {d["metadata"]["name"]: d["metadata"]["generation"] for d in release.objects("deployments")} == before
    assert release.classify(key)["labels"]


def test_generated_keys_are_found_again_after_an_upgrade_that_did_without_them(release: Release) -> None:
    values, key = release.values, release.key
    release.kubectl("create", "secret", "generic", "mine", "--from-literal=tenants.yaml=tenants: [{id: default}]")
    release.values = values | {"existingTenantsSecret": "mine"}
    release.upgrade()
    assert release.key == key, "Helm must not delete it"
    # Without any value, Helm would use those of the last upgrade.
    release.values = values | {"existingTenantsSecret": ""}
    release.upgrade("--wait")
    assert release.key == key

    def works() -> bool:
        return release.api.request("GET", "/v1/models", key).status == http.client.OK

    # Pods that still drain have the other Secret.
    eventually("every gateway knows the key again", lambda: all(works() for _ in range(6)))


def test_a_generated_key_is_replaced_without_a_refusal(release: Release) -> None:
    """The recipe of docs/kubernetes.md: both keys, then clients change, then the new key alone."""
    old, secret = release.key, f"{release.name}-tenants"
    (declared,) = [
        tenant["keys"][0]
        for tenant in yaml.safe_load(release.secret(secret)["tenants.yaml"])["tenants"]
        if tenant["id"] == "default"
    ]
    made = generate_key()
    new, values = {"id": made.id, "sha256": made.digest}, release.values

    def statuses(key: str) -> set[int]:
        return {
            gateway.request("GET", "/v1/models", key).status for gateway in release.gateways() for _ in range(3)
        }

    def upgrade(tenants: list[dict[str, Any]]) -> None:
        release.values = values | {"tenants": tenants}
        release.upgrade()
        # The kubelet updates mounted Secrets about once a minute, and when the Pod changes.
        release.kubectl("annotate", "pods", "--all", "--overwrite", f"touched={len(tenants[0].get('keys', ()))}")

    with lossless(release.address, old):
        upgrade([{"id": "default", "keys": [declared, new]}])
        eventually("the new key works everywhere", lambda: statuses(made.key) == {http.client.OK})
    with lossless(release.address, made.key):
        upgrade([{"id": "default", "keys": [new]}])
        refused = {http.client.UNAUTHORIZED}
        eventually("the old key works nowhere", lambda: statuses(old) == refused)
    upgrade([{"id": "default"}])
    eventually("the next generated key works", lambda: statuses(release.key) == {http.client.OK})
    release.values = values


@pytest.mark.parametrize("component", ["triton", "gateway"])
def test_deleting_a_pod_under_load_fails_no_request(component: str, release: Release, load: Load) -> None:
    victim = release.ready(component)[0]
    release.kubectl("delete", "pod", victim, "--wait=true", timeout_s=120)
    eventually("two pods are ready again", lambda: len(release.ready(component)) == 2)
    assert victim not in release.ready(component)


def test_a_triton_without_its_tokenizer_is_restarted_and_fails_no_request(release: Release, load: Load) -> None:
    """It reports ready and fails every request: gateways use the other one, and the kubelet restarts it."""
    victim = release.ready("triton")[0]
    release.kubectl("exec", victim, "--", "python3", "-c", KILL_THE_TOKENIZER)

    def restarts() -> int:
        (pod,) = [pod for pod in release.pods("triton") if pod["metadata"]["name"] == victim]
        return int(pod["status"]["containerStatuses"][0]["restartCount"])

    eventually("it has been restarted", restarts, 180)
    eventually("two pods are ready again", lambda: len(release.ready("triton")) == 2)


def test_draining_a_pod_under_load_fails_no_request(release: Release, load: Load) -> None:
    victim = release.ready("triton")[0]
    code, output = release.wanneng("drain", victim, release.name, "-n", release.namespace)
    assert code == 0, output
    assert "1 pods were replaced" in output
    assert victim not in [pod["metadata"]["name"] for pod in release.pods("triton")]


def test_replacing_every_pod_under_load_fails_no_request(release: Release, load: Load) -> None:
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
    """A folder of this node behind the release's claim, with the embedded model as an fp32 engine."""
    if not ENGINE.exists():
        pytest.skip("the environment of the engine builder is missing; run make engine-env")
    if release.kubernetes.own is None:
        pytest.skip("a volume on the node's disk requires a cluster on this machine")
    folder = tmp_path_factory.mktemp("engines")
    folder.chmod(0o777)
    for parent in folder.parents[:2]:
        parent.chmod(0o755)
    for command in (
        ["snapshot", "embedded/tiny", "--output", str(folder / "snapshot")],
        ["build", str(folder / "snapshot"), "--output", str(folder / "sources/first"), "--name", "first"],
    ):
        subprocess.run([ENGINE, "-m", "wanneng", "engine", *command], check=True, cwd=ROOT, timeout=LONG_TIMEOUT_S)
    shutil.rmtree(folder / "snapshot")
    release.claim(folder)
    return folder


def serving(source: str) -> dict[str, Any]:
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
    """The Job builds a real INT8 engine. Each answer comes from one of the two, in the end from the new one."""
    release.values = serving("first")
    release.upgrade("--wait")
    (built,) = [path for path in (sources / "built").iterdir() if not path.name.startswith(".")]
    report = json.loads((built / "verification.json").read_text(encoding="utf-8"))
    assert report["passed"] is True
    assert report["precision"] == "int8"
    engine_id = json.loads((built / "engine.json").read_text(encoding="utf-8"))["engine_id"]
    assert engine_id.endswith("-int8")

    def is_new(version: str) -> bool:
        # What runs an INT8 engine belongs to the identity that answers name.
        return version.startswith(f"{engine_id}-openvino-")

    eventually("only the new engine answers", lambda: is_new(release.classify(release.key)["model_version"]))
    old, new = sorted(load.versions, key=is_new)
    assert (old, is_new(new)) == (images.ENGINE_ID, True)


def test_a_pod_runs_bfloat16_or_says_that_its_processor_has_none(release: Release, sources: Path) -> None:
    """With the user, the seccomp profile and the read-only file system that it serves with."""
    command = (
        "python3 -m wanneng engine build /engines/sources/first --precision bf16 --output /tmp/bf16 2>&1; true"
    )
    output = release.kubectl("exec", "deployment/wanneng-triton-cpu", "-c", "triton", "--", "sh", "-c", command)
    assert ("(bf16): " in output and ": passed" in output) or "no bfloat16 instructions" in output, output


def test_engines_are_listed_with_the_jobs_that_built_them(release: Release, sources: Path) -> None:
    code, output = release.wanneng("engines", release.name, "-n", release.namespace)
    assert code == 0, output
    assert "-int8" in output
    assert "succeeded  from sources/first" in output


def test_recorded_answers_are_a_gate_for_a_new_model(release: Release, sources: Path) -> None:
    """`verify` passes with the recorded scores, and names the text whose score differs."""
    url, key = f"http://{release.address}", release.key
    texts = sources / "texts.jsonl"
    labels = ["投诉", "咨询", "建议"]
    lines = [{"text": text, "labels": labels} for text in ("质量太差，要求退款", "几点开门", "希望多开几家店")]
    texts.write_text("".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines), encoding="utf-8")
    reference = sources / "reference.jsonl"
    key_file = sources / "tenant.key"
    key_file.write_text(key, encoding="utf-8")
    address = ("--url", url, "--key-file", str(key_file))
    gate = ("verify", str(reference), *address)
    assert release.wanneng("verify", str(texts), "--record", str(reference), *address)[0] == 0
    code, output = release.wanneng(*gate)
    assert (code, "3 of 3 texts" in output) == (0, True), output
    changed = [json.loads(line) for line in reference.read_text(encoding="utf-8").splitlines()]
    changed[1]["scores"] = {"投诉": 0.9, "咨询": 0.05, "建议": 0.05}
    reference.write_text(
        "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in changed), encoding="utf-8"
    )
    code, output = release.wanneng(*gate)
    assert (code, "几点开门" in output) == (1, True), output


def test_a_model_that_fails_verification_leaves_the_release_unchanged(release: Release, sources: Path) -> None:
    """Its weights do not give the reference's logits, as after a damaged copy."""
    broken = sources / "sources/broken"
    shutil.copytree(sources / "sources/first", broken)
    reference = json.loads((broken / "reference.json").read_text(encoding="utf-8"))
    for case in reference["cases"]:
        case["logits"] = [[-value for value in row] for row in case["logits"]]
    (broken / "reference.json").write_text(json.dumps(reference), encoding="utf-8")
    before = {d["metadata"]["name"]: d["metadata"]["generation"] for d in release.objects("deployments")}
    version = release.classify(release.key)["model_version"]
    values = release.values
    release.values = serving("broken")
    with pytest.raises(CommandFailed, match="failed"):
        release.upgrade("--wait")
    assert {d["metadata"]["name"]: d["metadata"]["generation"] for d in release.objects("deployments")} == before
    assert release.classify(release.key)["model_version"] == version
    assert len(list((sources / "built").glob("[!.]*"))) == 1, "nothing half-built is published"
    code, output = release.wanneng("status", release.name, "-n", release.namespace)
    assert (code, "the job wanneng-engine-" in output) == (1, True), output
    release.values = values


def test_a_pod_waits_for_an_engine_that_has_not_been_published(release: Release, sources: Path) -> None:
    """Without a build Job. The old Pods keep serving."""
    values = release.values
    release.values = serving("first") | {"images": {"tritonCpu": {"repository": "localhost/wanneng-triton"}}}
    release.values["engines"] = release.values["engines"] | {"build": {"enabled": False}}
    release.values["model"] = {"source": "sources/later", "precision": "int8"}
    release.upgrade()
    code, output = eventually("the new Pod waits", lambda: waiting(release))
    assert code == 1
    assert release.classify(release.key)["labels"][0] == "投诉"
    log = eventually("it says why", lambda: release.kubectl("logs", new_pod(output), "-c", "engine"))
    assert "is not published yet; Job wanneng-engine-" in log
    release.values = values
    release.upgrade("--wait")


def waiting(release: Release) -> tuple[int, str] | None:
    code, output = release.wanneng("status", release.name, "-n", release.namespace)
    return (code, output) if "waits for its engine" in output else None


def new_pod(output: str) -> str:
    (line,) = [line for line in output.splitlines() if "waits for its engine" in line]
    return next(word for word in line.split() if word.startswith("wanneng-triton-cpu-"))


def test_a_rollback_under_load_restores_the_old_engine(release: Release, load: Load, sources: Path) -> None:
    in_release = (release.name, "--namespace", release.namespace, "--output", "json")
    history = json.loads(release.kubernetes.helm("history", *in_release))
    superseded = [str(entry["revision"]) for entry in history if entry["status"] == "superseded"]
    values = {
        revision: json.loads(release.kubernetes.helm("get", "values", *in_release, "--revision", revision))
        for revision in superseded
    }
    embedded = [revision for revision in superseded if "model" not in (values[revision] or {})][-1]
    release.kubernetes.helm(
        "rollback", release.name, embedded, "--namespace", release.namespace, "--wait", "--timeout=180s"
    )
    eventually(
        "the embedded engine answers", lambda: release.classify(release.key)["model_version"] == images.ENGINE_ID
    )


def test_logs_can_be_limited_to_one_request(release: Release) -> None:
    request_id = release.classify(release.key)["request_id"]

    def lines() -> str | None:
        code, output = release.wanneng("logs", release.name, "-n", release.namespace, "--request", request_id)
        return output if code == 0 and output.count(request_id) > 1 else None

    output = eventually("the request is in the logs of the gateway and of Triton", lines)
    of_pods = [next(name for name in ("gateway", "triton") if name in line) for line in output.splitlines()]
    assert sorted(of_pods) == ["gateway", "triton"]
    assert "质量太差" not in output
