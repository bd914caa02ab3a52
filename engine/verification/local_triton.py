"""Asks a Triton server that is started for it, to verify TensorRT plans on their GPU."""

from __future__ import annotations

import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from engine.errors import TargetError
from engine.verification.reference import Answer, Case
from engine.verification.triton_target import EXPAND, LOGITS_ENSEMBLE, TritonTarget

CHECKOUT = Path(__file__).parents[2]
REPOSITORY = CHECKOUT / "model_repository"
START_TIMEOUT_S = 300.0
STOP_TIMEOUT_S = 30.0
POLL_S = 0.5
LOG_LINES = 15
"""Last lines of Triton's log that an error shows."""


def ask_local_triton(
    models: Path,
    engine: Path,
    cases: Sequence[Case],
    *,
    command: Sequence[str] = ("tritonserver",),
    environment: Mapping[str, str] | None = None,
) -> list[Answer]:
    """Answers of a Triton server on the model repository `models`, stopped afterwards.

    `engine` is the folder of the engine; `command` starts Triton, in `environment`. `TargetError`, with the last
    lines of Triton's log, if it does not start within `START_TIMEOUT_S` or fails.
    """
    if shutil.which(command[0]) is None:
        raise TargetError(f"{command[0]} is not installed here; plans are verified inside NVIDIA's Triton image")
    port = _free_port()
    variables = [f"WANNENG_ENGINE={engine.resolve()}", f"PYTHONPATH={CHECKOUT}"]
    options = [
        f"--model-repository={models}",
        f"--grpc-port={port}",
        "--grpc-address=127.0.0.1",
        "--allow-http=false",
        "--allow-metrics=false",
    ]
    with tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace") as log:
        server = subprocess.Popen(
            ["env", *variables, *command, *options],
            stdout=log,
            stderr=subprocess.STDOUT,
            env=environment and dict(environment),
        )
        try:
            client = _connect(server, f"127.0.0.1:{port}")
            try:
                return client.answers(cases)
            finally:
                client.close()
        except TargetError as error:
            log.seek(0)
            lines = "".join(log.readlines()[-LOG_LINES:])
            raise TargetError(f"{error}\nLast lines of Triton's log:\n{lines}") from None
        finally:
            _stop(server)


def ask_plans(
    engine: Path,
    cases: Sequence[Case],
    *,
    config_name: str = "tensorrt-a100",
    command: Sequence[str] = ("tritonserver",),
    environment: Mapping[str, str] | None = None,
) -> list[Answer]:
    """Answers with the plans in the folder `engine`, served with the configs and ensembles of this checkout.

    `config_name`: which of the configs of each bucket; `command` and `environment` as for `ask_local_triton`.
    """
    with tempfile.TemporaryDirectory(prefix="wanneng-plans-") as models:
        for version in sorted(engine.resolve().glob("structbert_s*/1")):
            model = Path(models) / version.parent.name
            model.mkdir()
            config = REPOSITORY / model.name / "configs" / f"{config_name}.pbtxt"
            shutil.copyfile(config, model / "config.pbtxt")
            (model / "1").symlink_to(version)
            ensemble = model.name.replace("structbert", LOGITS_ENSEMBLE)
            (Path(models) / ensemble).symlink_to(REPOSITORY / ensemble)
        (Path(models) / EXPAND).symlink_to(REPOSITORY / EXPAND)
        return ask_local_triton(Path(models), engine, cases, command=command, environment=environment)


def _connect(server: subprocess.Popen[bytes], address: str) -> TritonTarget:
    deadline = time.monotonic() + START_TIMEOUT_S
    while True:
        try:
            return TritonTarget(address)
        except TargetError:
            if server.poll() is not None:
                raise TargetError(f"Triton stopped with exit code {server.returncode}") from None
            if time.monotonic() > deadline:
                raise
        time.sleep(POLL_S)


def _stop(server: subprocess.Popen[bytes]) -> None:
    server.terminate()
    try:
        server.wait(STOP_TIMEOUT_S)
    except subprocess.TimeoutExpired:
        server.kill()
        server.wait()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
