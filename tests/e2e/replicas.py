"""Tritons, a gateway and a control plane as processes of their own, without `wanneng serve` around them."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType

import httpx

from tests.e2e.server import ROOT, START_TIMEOUT_S, command_line, descendants, free_ports
from wanneng.serve.triton import TritonServer, prepare_triton
from wanneng.settings import ServeSettings

ADMIN_KEY = "admin-key-of-the-tests-0123456789abcdef"
OPERATOR = {"Authorization": f"Bearer {ADMIN_KEY}"}
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
                state_dir=self.state,
                triton_http_port=http,
                triton_grpc_port=grpc,
                triton_metrics_port=metrics,
            )
        )
        # A server that starts elsewhere on this machine removes segments without a lock.
        self.server.shared_memory.hold()
        if self.service_s:
            model = self.state / "models/structbert/1/model.py"
            model.unlink()
            model.symlink_to(PACED_MODEL)
        with (self.state / "triton.log").open("ab") as log:
            self.process = subprocess.Popen(
                self.server.command,
                cwd=self.server.folder,
                env=self.server.environment | {"TEST_SERVICE_S": str(self.service_s)},
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        wait_for(f"{self.url}/v2/models/zero_shot_logits/ready")

    def pairs(self) -> int:
        url = f"{self.url}/v2/models/structbert/stats"
        (stats,) = httpx.get(url, trust_env=False, verify=False).json()["model_stats"]
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
        self.server.shared_memory.remove()


@dataclass
class GatewayProcess:
    """One gateway before these Tritons, with a control plane behind it unless told otherwise; no key is needed."""

    triton_url: str
    state: Path
    port: int = field(default_factory=lambda: free_ports(1)[0])
    settings: dict[str, str] = field(default_factory=dict)
    with_control_plane: bool = True
    control_plane_port: int = field(default_factory=lambda: free_ports(1)[0])
    process: subprocess.Popen[bytes] = field(init=False)
    control_plane: subprocess.Popen[bytes] | None = field(init=False, default=None)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        """Migrates a SQLite database of its own first."""
        if "WANNENG_DATABASE_URL" not in self.settings:
            migrate = [sys.executable, "-m", "control_plane", "migrate"]
            subprocess.run(migrate, cwd=ROOT, env=self.environment, check=True, timeout=60)
        self.process = self._spawn("gateway.log", "gateway")
        if self.with_control_plane:
            self.start_control_plane()
        wait_for(f"{self.url}/readyz")

    def start_control_plane(self) -> None:
        self.control_plane = self._spawn("control-plane.log", "control_plane", "serve")
        wait_for(f"http://127.0.0.1:{self.control_plane_port}/livez")

    @property
    def environment(self) -> dict[str, str]:
        own = {
            "WANNENG_TRITON_URL": self.triton_url,
            "WANNENG_PORT": str(self.port),
            "WANNENG_DATABASE_URL": f"sqlite:///{self.state}/wanneng.db",
            "WANNENG_CONTROL_PLANE_PORT": str(self.control_plane_port),
            "WANNENG_CONTROL_PLANE_URL": f"http://127.0.0.1:{self.control_plane_port}",
            "WANNENG_GATEWAY_URL": self.url,
            "WANNENG_INTERNAL_KEY": "internal-key-of-the-tests-0123456789abcdef",
        }
        return dict(os.environ) | own | self.settings

    def start_worker(self, **settings: str) -> subprocess.Popen[bytes]:
        """A worker on the same database, with `settings` of its own."""
        return self._spawn("worker.log", "control_plane", "worker", settings=settings)

    def stop(self) -> None:
        for process in (self.process, self.control_plane):
            if process is not None:
                process.terminate()
                process.wait(timeout=10)

    def _spawn(
        self, log_name: str, *module: str, settings: Mapping[str, str] = MappingProxyType({})
    ) -> subprocess.Popen[bytes]:
        with (self.state / log_name).open("ab") as log:
            return subprocess.Popen(
                [sys.executable, "-m", *module],
                cwd=ROOT,
                env=self.environment | dict(settings),
                stdout=log,
                stderr=subprocess.STDOUT,
            )


def wait_for(url: str) -> None:
    deadline = time.monotonic() + START_TIMEOUT_S
    while time.monotonic() < deadline:
        try:
            if httpx.get(url, trust_env=False, verify=False).status_code == httpx.codes.OK:
                return
        except httpx.TransportError:
            pass
        time.sleep(0.1)
    raise AssertionError(f"{url} never answered")
