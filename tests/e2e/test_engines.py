"""Engines of every kind that a CPU can run, built from the embedded model and served by the real Triton."""

from __future__ import annotations

import json
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest

from tests.bfloat16 import HAS_BFLOAT16
from tests.e2e.server import ROOT, serving

BUILDER = ROOT / ".venv-engine/bin/python"
KINDS = {
    "int8": ["--precision", "int8"],
    "ragged fp32": ["--ragged"],
    **({"bf16": ["--precision", "bf16"]} if HAS_BFLOAT16 else {}),
}
ROUNDED = ("int8", "bf16")
"""Precisions whose numbers may differ between versions of OpenVINO, which runs them."""


def engine_command(python: str | Path, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
    command = [str(python), "-m", "wanneng", "engine", *map(str, arguments)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300, check=False)


@pytest.fixture(scope="module")
def snapshot(tmp_path_factory: pytest.TempPathFactory) -> Path:
    if not BUILDER.exists():
        pytest.skip("the builder's environment is missing; `make test` installs it")
    folder = tmp_path_factory.mktemp("engines") / "snapshot"
    done = engine_command(BUILDER, "snapshot", "embedded/tiny", "--output", folder)
    assert done.returncode == 0, done.stderr
    return folder


@pytest.mark.parametrize("kind", KINDS)
def test_a_built_engine_is_served_and_verified(kind: str, snapshot: Path, tmp_path: Path) -> None:
    engine = tmp_path / "engine"
    built = engine_command(BUILDER, "build", snapshot, *KINDS[kind], "--output", engine)
    assert built.returncode == 0, built.stderr
    facts = json.loads((engine / "engine.json").read_text(encoding="utf-8"))
    with serving(tmp_path / "state", engine) as server:
        answer = server.classify(text="这个手机质量太差，要求退款", labels="投诉,咨询,建议").json()
        verified = engine_command(
            sys.executable,
            "verify",
            server.triton_grpc,
            "--reference",
            engine / "reference.json",
            "--precision",
            facts["precision"],
        )
    assert answer["labels"][0] == "投诉"
    suffix = f"-openvino-{version('openvino')}" if facts["precision"] in ROUNDED else ""
    assert answer["model_version"] == facts["engine_id"] + suffix
    assert verified.returncode == 0, verified.stderr


def test_an_engine_for_gpus_is_verified_and_refused_by_what_has_none(snapshot: Path, tmp_path: Path) -> None:
    engine = tmp_path / "engine"
    built = engine_command(BUILDER, "build", snapshot, "--target", "cuda", "--output", engine)
    assert built.returncode == 0, built.stderr
    verified = engine_command(
        sys.executable, "verify", engine, "--reference", engine / "reference.json", "--precision", "fp16"
    )
    assert verified.returncode == 0, verified.stderr
    with (
        pytest.raises(AssertionError, match="is for --target cuda with ragged inputs"),
        serving(tmp_path / "state", engine),
    ):
        pass
