"""`python -m training` on the small corpus."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from engine.network import network_of
from engine.snapshot import read_snapshot, write_snapshot
from tests.engine.snapshots import random_snapshot
from tests.training.samples import sha256_of

ROOT = Path(__file__).parents[2]


def train(data: Path, artifact: Path, work: Path, *options: str) -> subprocess.CompletedProcess[str]:
    command = [
        sys.executable,
        "-m",
        "training",
        "--data",
        str(data),
        "--work",
        str(work),
        "--pretrained",
        str(artifact),
        "--pretrained-sha256",
        sha256_of(artifact),
        *options,
    ]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr[-2_000:]
    return done


def test_the_command_trains_and_resumes(data: Path, artifact: Path, tmp_path: Path) -> None:
    steps = ["--match-steps", "3", "--compare-steps", "3"]
    for _ in range(2):
        done = train(data, artifact, tmp_path, *steps, "--dev-texts", "6")
    assert "3/3" not in done.stderr, "both stages were done"
    assert network_of(read_snapshot(tmp_path / "snapshot")).config.num_hidden_layers == 2
    figures = json.loads((tmp_path / "dev.json").read_text(encoding="utf-8"))
    for name in ("accuracy", "calibration_error_before", "calibration_error"):
        assert 0 <= figures[name]["tnews"] <= 1
    assert 0 <= figures["inference_accuracy"] <= 1
    assert 0.25 <= figures["temperature"] <= 4


def test_the_command_distils_a_structbert(data: Path, artifact: Path, tmp_path: Path) -> None:
    """The teacher has another vocabulary, another size, and random weights."""
    write_snapshot(random_snapshot(max_position_embeddings=512), tmp_path / "teacher")
    steps = ["--match-steps", "2", "--distil-steps", "3"]
    train(data, artifact, tmp_path, *steps, "--dev-texts", "6", "--teacher", str(tmp_path / "teacher"))
    assert (tmp_path / "distil.pt").exists()
    assert not (tmp_path / "compare.pt").exists()
    assert network_of(read_snapshot(tmp_path / "snapshot")).config.num_hidden_layers == 2
