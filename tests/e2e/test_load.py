"""Locust against a real server: every endpoint, Triton itself, and verdicts both ways."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.e2e.server import ROOT, Server

LOCUST = Path(sys.executable).with_name("locust")
WORKLOADS = ROOT / "loadtest/workloads"


def loaded(server: Server, tmp_path: Path, *options: str) -> tuple[int, dict[str, Any]]:
    """Exit code and verdict of a run of a few seconds."""
    verdict = tmp_path / "verdict.json"
    command = [
        str(LOCUST),
        "--locustfile",
        "loadtest/locustfile.py",
        "--headless",
        "--users",
        "1",
        "--only-summary",
    ]
    done = subprocess.run(
        [*command, "--host", server.url, "--duration-s", "5", "--verdict", str(verdict), *options],
        check=False,
        cwd=ROOT,
        env=dict(os.environ)
        | {"WANNENG_ADMIN_KEY": (server.state_dir / "admin.key").read_text(encoding="utf-8").strip()},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert verdict.exists(), done.stdout + done.stderr
    return done.returncode, json.loads(verdict.read_text(encoding="utf-8"))


@pytest.mark.parametrize("workload", ["mixed", "noisy", "triton"])
def test_every_answer_of_a_workload_is_one_and_every_request_due_was_answered(
    workload: str, server: Server, tmp_path: Path
) -> None:
    """Times are not judged here: they say how busy the machine is."""
    _, verdict = loaded(
        server, tmp_path, "--workload", workload, "--rate", "8", "--triton-grpc", server.triton_grpc
    )
    assert verdict["faults"] == {}
    assert verdict["promises"]["answered of those due"]["measured"] == "100%"


def test_several_processes_share_the_load_and_give_one_verdict(server: Server, tmp_path: Path) -> None:
    """A master and two workers, as on several machines; each user has its share of the rate."""
    _, verdict = loaded(server, tmp_path, "--users", "2", "--processes", "2", "--rate", "10")
    assert verdict["faults"] == {}
    assert 25 <= verdict["answered"] <= 80, "ten a second for five seconds"
    assert verdict["promises"]["answered of those due"]["measured"] == "100%"


def test_a_workload_may_hold_batches(server: Server, tmp_path: Path) -> None:
    data = yaml.safe_load((WORKLOADS / "mixed.yaml").read_text(encoding="utf-8"))
    own = WORKLOADS / f"test-{os.getpid()}.yaml"
    own.write_text(yaml.safe_dump(data | {"kinds": {"batch": 1}}), encoding="utf-8")
    try:
        _, verdict = loaded(server, tmp_path, "--workload", own.stem, "--rate", "0.6")
    finally:
        own.unlink()
    assert verdict["faults"] == {}
    assert verdict["promises"]["answered of those due"]["measured"] == "100%"


def test_broken_promises_are_an_exit_code(server: Server, tmp_path: Path) -> None:
    """Nobody listens at that Triton, so every request fails, and says so."""
    code, verdict = loaded(server, tmp_path, "--workload", "triton", "--rate", "3", "--triton-grpc", "127.0.0.1:9")
    assert code == 1
    assert verdict["kept"] is False
    assert verdict["faults"].keys() == {"Triton: StatusCode.UNAVAILABLE"}
