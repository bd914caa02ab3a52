"""Tritons and a gateway as processes of their own, without `wanneng serve` around them."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import httpx

from tests.e2e.server import ROOT, START_TIMEOUT_S, command_line, descendants, free_ports
from wanneng.serve.triton import TritonServer, prepare_triton
from wanneng.settings import ServeSettings

PACED_MODEL = Path(__file__).with_name("paced_model.py")


@dataclass
class TritonProcess:
    """One Triton with one engine."""

    engine: Path
    state: Path
    service_s: float = 0.0
    """Time of each execution, whatever it holds; 0: what the engine takes."""
    ports: list[int] = field(default_factory=lambda: free_ports(3))
    server: TritonServer = field(init=False)
    process: subprocess.Popen[bytes] = field(init=False)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.ports[0]}"

    def start(self) -> None:
        http, grpc, metrics = self.ports
        self.server = prepare_triton(
            ServeSettings(
                engine=self.engine,
                state=self.state,
                triton_http_port=http,
                triton_grpc_port=grpc,
                triton_metrics_port=metrics,
            )
        )
        if self.service_s:
            model = self.state / "models/structbert/1/model.py"
            model.unlink()
            model.symlink_to(PACED_MODEL)
        with (self.state / "triton.log").open("ab") as log:
            self.process = subprocess.Popen(
                self.server.command,
                env=self.server.environment | {"TEST_SERVICE_S": str(self.service_s)},
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        wait_for(f"{self.url}/v2/models/zero_shot_logits/ready")

    def pairs(self) -> int:
        url = f"{self.url}/v2/models/structbert/stats"
        (stats,) = httpx.get(url, trust_env=False).json()["model_stats"]
        return int(stats["inference_count"])

    def stub_of(self, model: str) -> int:
        """The process of a Python model."""
        return next(
            pid for pid in descendants(self.process.pid) if f"/models/{model}/" in command_line(pid).split(" ")[1]
        )

    def drain(self) -> None:
        """As a rollout would: what runs is finished, nothing new is taken, then it ends."""
        self.process.terminate()
        self.process.wait(timeout=30)
        self.kill()

    def kill(self) -> None:
        """As a crash would: the server and its stubs, at once."""
        with suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
        self.server.remove_shared_memory()


@dataclass
class GatewayProcess:
    """One gateway before these Tritons; keys are not asked for."""

    triton_url: str
    state: Path
    port: int = field(default_factory=lambda: free_ports(1)[0])
    settings: dict[str, str] = field(default_factory=dict)
    process: subprocess.Popen[bytes] = field(init=False)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        with (self.state / "gateway.log").open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "gateway"],
                cwd=ROOT,
                env=self.environment,
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        wait_for(f"{self.url}/readyz")

    @property
    def environment(self) -> dict[str, str]:
        own = {
            "WANNENG_TRITON_URL": self.triton_url,
            "WANNENG_PORT": str(self.port),
            "WANNENG_DATABASE_URL": f"sqlite:///{self.state}/wanneng.db",
        }
        return dict(os.environ) | own | self.settings

    def start_worker(self) -> subprocess.Popen[bytes]:
        """A worker on the gateway's database."""
        with (self.state / "worker.log").open("ab") as log:
            return subprocess.Popen(
                [sys.executable, "-m", "gateway.worker"],
                cwd=ROOT,
                env=self.environment,
                stdout=log,
                stderr=subprocess.STDOUT,
            )

    def stop(self) -> None:
        self.process.terminate()
        self.process.wait(timeout=10)


def wait_for(url: str) -> None:
    deadline = time.monotonic() + START_TIMEOUT_S
    while time.monotonic() < deadline:
        try:
            if httpx.get(url, trust_env=False).status_code == httpx.codes.OK:
                return
        except httpx.TransportError:
            pass
        time.sleep(0.1)
    raise AssertionError(f"{url} never answered")
