"""`wanneng engine verify` where engines are served: without torch, against files and running servers."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from engine.errors import TargetError
from engine.verification.compare import compare, tolerance_of
from engine.verification.local_triton import ask_local_triton, ask_plans
from engine.verification.reference import load_reference
from tests.e2e.server import ROOT, Server
from wanneng.serve.triton import prepare_triton
from wanneng.settings import ServeSettings

REFERENCE = ROOT / "embedded/reference.json"


def verify(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "wanneng", "engine", "verify", *map(str, arguments)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False)


def test_the_embedded_engine_is_what_its_reference_says() -> None:
    done = verify("embedded", "--precision", "fp32")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["max_logit_difference"] <= 1e-4


@pytest.mark.parametrize("config", ["local", "local-padded"])
def test_a_running_triton_is_verified_over_grpc(config: str, request: pytest.FixtureRequest) -> None:
    name = "server" if config == "local" else "padded_server"
    server: Server = request.getfixturevalue(name)
    done = verify(server.triton_grpc, "--reference", REFERENCE, "--precision", "fp32")
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert report["passed"]
    assert report["pairs"] == load_reference(REFERENCE).pairs


def test_a_triton_with_another_engine_is_refused(server: Server, tmp_path: Path) -> None:
    """The embedded model's server against the golden model's reference."""
    reference = load_reference(REFERENCE)
    answers = [replace(answer, logits=answer.logits + 1) for answer in reference.answers]
    replace(reference, answers=answers).save(tmp_path / "other.json")
    done = verify(server.triton_grpc, "--reference", tmp_path / "other.json")
    assert done.returncode == 1
    assert "FAILED" in done.stderr


def test_plans_are_proved_by_a_triton_of_their_own(tmp_path: Path) -> None:
    """As the builder proves TensorRT plans, with the Python models of `local-padded` in the plans' place."""
    shutil.copytree(ROOT / "embedded", tmp_path / "engine")
    for tokens in (32, 64, 128, 256, 512):
        shutil.copytree(
            ROOT / f"model_repository/structbert_s{tokens}/1",
            tmp_path / f"engine/structbert_s{tokens}/1",
            ignore=shutil.ignore_patterns("__pycache__"),
        )
    triton = prepare_triton(ServeSettings(state_dir=tmp_path / "state", model_config_name="local-padded"))
    backends = [option for option in triton.command if option.startswith("--backend-config")]
    backends.append(f"--backend-directory={triton.folder}/backends")
    reference = load_reference(REFERENCE)
    try:
        answers = ask_plans(
            tmp_path / "engine",
            reference.cases,
            config_name="local-padded",
            command=[triton.command[0], *backends],
            environment=triton.environment | {"WANNENG_ENGINE": str(ROOT / "embedded")},
        )
    finally:
        triton.shared_memory.remove()
    report = compare(reference, answers, target="x", precision="fp32", tolerance=tolerance_of("fp32"))
    assert report.passed, report.sentence()


def test_a_triton_that_does_not_start_is_named_with_its_last_lines(tmp_path: Path) -> None:
    triton = prepare_triton(ServeSettings(state_dir=tmp_path / "state"))
    with pytest.raises(TargetError, match=r"Triton stopped with exit code (?s:.*)failed to"):
        ask_local_triton(
            tmp_path / "none", tmp_path, [], command=[triton.command[0]], environment=triton.environment
        )


def test_a_machine_without_triton_is_told_so(tmp_path: Path) -> None:
    with pytest.raises(TargetError, match="is not installed here"):
        ask_local_triton(tmp_path, tmp_path, [], command=["no-such-triton"])
