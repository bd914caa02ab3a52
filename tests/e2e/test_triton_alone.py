"""`wanneng triton`, as a pod runs it: signals and the exit code are Triton's, and its lines are records."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.server import ROOT, START_TIMEOUT_S, command_line, descendants, free_ports


@pytest.fixture(params=["local", "local-padded"])
def environment(request: pytest.FixtureRequest, tmp_path: Path) -> dict[str, str]:
    http, grpc, metrics = free_ports(3)
    return dict(os.environ) | {
        "WANNENG_ENGINE": str(ROOT / "tests/golden/small"),
        "WANNENG_MODEL_CONFIG_NAME": request.param,
        "WANNENG_STATE_DIR": str(tmp_path),
        "WANNENG_TRITON_HOST": "0.0.0.0",
        "WANNENG_TRUSTED_NETWORK": "true",
        "WANNENG_TRITON_HTTP_PORT": str(http),
        "WANNENG_TRITON_GRPC_PORT": str(grpc),
        "WANNENG_TRITON_METRICS_PORT": str(metrics),
        "TZ": "Asia/Shanghai",
    }


@pytest.fixture
def triton(environment: dict[str, str], tmp_path: Path) -> Iterator[subprocess.Popen[bytes]]:
    with (tmp_path / "log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "wanneng", "triton"],
            cwd=ROOT,
            env=environment,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    yield process
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def records(log: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in log.read_text(encoding="utf-8").splitlines()]


def test_a_killed_triton_is_recorded(
    triton: subprocess.Popen[bytes], environment: dict[str, str], tmp_path: Path
) -> None:
    """As by a kernel that is out of memory; the exit code is what a container runtime expects."""
    deadline = time.monotonic() + START_TIMEOUT_S
    while probe(environment).returncode:
        assert time.monotonic() < deadline, (tmp_path / "log").read_text()
        time.sleep(0.2)
    server = next(pid for pid in descendants(triton.pid) if "bin/tritonserver" in command_line(pid))
    os.kill(server, signal.SIGKILL)
    assert triton.wait(timeout=30) == 128 + signal.SIGKILL
    last = records(tmp_path / "log")[-1]
    assert (last["level"], last["signal"]) == ("error", "SIGKILL")
    assert last["message"] == "Triton was ended by SIGKILL, as by a kernel that is out of memory"


def probe(environment: dict[str, str], module: str = "probe") -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", f"wanneng.serve.{module}"]
    return subprocess.run(
        command, check=False, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=30
    )


def test_it_ends_with_triton_at_a_signal_and_every_line_is_a_record(
    triton: subprocess.Popen[bytes], environment: dict[str, str], tmp_path: Path
) -> None:
    refused = probe(environment)
    assert refused.returncode == 1
    assert refused.stderr.startswith("probe: ")
    deadline = time.monotonic() + START_TIMEOUT_S
    while (answered := probe(environment)).returncode and time.monotonic() < deadline:
        time.sleep(0.2)
    assert answered.returncode == 0, (tmp_path / "log").read_text()
    triton.terminate()
    assert triton.wait(timeout=30) == 0
    entries = records(tmp_path / "log")
    assert all(entry["time"].endswith("Z") and entry["level"] for entry in entries)
    assert any("Started HTTPService" in entry["message"] for entry in entries)
    assert entries[0]["time"][:13] == time.strftime("%Y-%m-%dT%H", time.gmtime()), "UTC, whatever the time zone"
    assert probe(environment, "alive").returncode == 1


def test_it_lives_only_with_all_of_its_python_processes(
    triton: subprocess.Popen[bytes], environment: dict[str, str]
) -> None:
    """Triton itself says that it is ready whatever became of them."""
    deadline = time.monotonic() + START_TIMEOUT_S
    while probe(environment).returncode:
        assert time.monotonic() < deadline
        time.sleep(0.2)
    assert probe(environment, "alive").returncode == 0
    stub = next(pid for pid in descendants(triton.pid) if "/models/expand/" in command_line(pid))
    for number in (signal.SIGSTOP, signal.SIGKILL):
        os.kill(stub, number)
        ill = probe(environment, "alive")
        assert (ill.returncode, "1 of Triton's" in ill.stderr) == (1, True), ill.stderr
