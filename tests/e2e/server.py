"""Starts the real `wanneng serve` on free ports and watches what it leaves behind."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar

import httpx

ROOT = Path(__file__).parents[2]
TINY = ROOT / "embedded/tiny"
"""The engine of servers that tests load: the one that is served by default takes three times as long."""
START_TIMEOUT_S = 90.0
STOP_TIMEOUT_S = 10.0


def free_ports(count: int) -> list[int]:
    """Ports that were free a moment ago, each a different one."""
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for opened in sockets:
            opened.bind(("127.0.0.1", 0))
        return [opened.getsockname()[1] for opened in sockets]


def descendants(pid: int) -> set[int]:
    """All processes below `pid`."""
    below: set[int] = set()
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = path.read_text().rpartition(")")[2].split()
        except (FileNotFoundError, ProcessLookupError):
            continue
        if int(fields[1]) == pid:
            child = int(path.parent.name)
            below |= {child} | descendants(child)
    return below


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def command_line(pid: int) -> str:
    """Program and arguments, each followed by a space; empty once the process has ended."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode()
    except (FileNotFoundError, ProcessLookupError):
        return ""


@dataclass
class Server:
    """One `wanneng serve` and its addresses."""

    state_dir: Path
    engine: Path | None = TINY
    """None for the one that is served by default."""
    config_name: str = "local"
    ports: list[int] = field(default_factory=lambda: free_ports(5))
    settings: dict[str, str] = field(default_factory=dict)
    without: frozenset[str] = frozenset()
    """Variables of this process that it does not inherit."""
    prefix: tuple[str, ...] = ()
    """Of its command, such as `nice`."""
    process: subprocess.Popen[str] = field(init=False)
    unawaited: ClassVar[list[tuple[Server, float]] | None] = None
    """Those told to stop, and when each must have; None: each stop is awaited at once."""

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.ports[0]}"

    @property
    def triton_http(self) -> str:
        return f"127.0.0.1:{self.ports[1]}"

    @property
    def triton_grpc(self) -> str:
        return f"127.0.0.1:{self.ports[2]}"

    @property
    def triton_metrics(self) -> str:
        return f"http://127.0.0.1:{self.ports[3]}/metrics"

    def pairs_and_executions(self) -> tuple[int, int]:
        """What the engine has done since its start, over all its models."""
        stats = httpx.get(f"http://{self.triton_http}/v2/models/stats", trust_env=False).json()["model_stats"]
        engines = [model for model in stats if model["name"].startswith("structbert")]
        return sum(m["inference_count"] for m in engines), sum(m["execution_count"] for m in engines)

    def start(self) -> None:
        if any(other.state_dir == self.state_dir for other, _ in Server.unawaited or ()):
            await_stops()
        names = ("PORT", "TRITON_HTTP_PORT", "TRITON_GRPC_PORT", "TRITON_METRICS_PORT", "CONTROL_PLANE_PORT")
        environment = dict(os.environ) | {
            f"WANNENG_{name}": str(port) for name, port in zip(names, self.ports, strict=True)
        }
        environment["WANNENG_STATE_DIR"] = str(self.state_dir)
        environment["WANNENG_MODEL_CONFIG_NAME"] = self.config_name
        if self.engine is not None:
            environment["WANNENG_ENGINE"] = str(self.engine)
        environment |= self.settings
        environment = {name: value for name, value in environment.items() if name not in self.without}
        self.process = subprocess.Popen(
            [*self.prefix, sys.executable, "-m", "wanneng", "serve"],
            cwd=ROOT,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            encoding="utf-8",
            errors="replace",
        )

    def wait_until_ready(self) -> str:
        """What was printed up to the line of curl; fails when the process ends first."""
        printed = ""
        assert self.process.stdout is not None
        deadline = time.monotonic() + START_TIMEOUT_S
        while time.monotonic() < deadline:
            line = self.process.stdout.readline()
            if not line:
                raise AssertionError(f"serve ended with {self.process.wait()}:\n{printed}")
            printed += line
            if line.startswith("curl "):
                return printed
        raise AssertionError(f"not ready in time:\n{printed}")

    def triton_pid(self) -> int:
        return next(pid for pid in descendants(self.process.pid) if "bin/tritonserver" in command_line(pid))

    def stop(self, number: int = signal.SIGTERM) -> tuple[int, str]:
        """Exit code and the rest of the output."""
        self.process.send_signal(number)
        rest, _ = self.process.communicate(timeout=STOP_TIMEOUT_S)
        return self.process.returncode, rest

    def end(self) -> None:
        """Stopped now, or told to where stops are awaited later."""
        if self.process.poll() is not None:
            self.process.communicate()
        elif Server.unawaited is None:
            self.stop()
        else:
            # One at a time: each holds the memory of its engine.
            await_stops()
            self.process.send_signal(signal.SIGTERM)
            Server.unawaited.append((self, time.monotonic() + STOP_TIMEOUT_S))

    def classify(self, **body: object) -> httpx.Response:
        # Loading certificates, which plain HTTP needs none of, takes longer than the request.
        return httpx.post(f"{self.url}/v1/classify", json=body, timeout=30, trust_env=False, verify=False)


@contextmanager
def stops_awaited_later() -> Iterator[None]:
    """Whoever leaves `serving` does not wait: an idle Triton takes 4 s to stop, without using a processor."""
    Server.unawaited = []
    try:
        yield
        await_stops()
    finally:
        Server.unawaited = None


def await_stops() -> None:
    """Fails when a server takes longer than it may."""
    while Server.unawaited:
        server, deadline = Server.unawaited.pop()
        try:
            server.process.communicate(timeout=max(1.0, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            server.process.kill()
            server.process.communicate()
            raise AssertionError(f"the server of {server.state_dir} did not stop in {STOP_TIMEOUT_S} s") from None


def gateway_of(server: Server) -> int:
    (pid,) = [pid for pid in descendants(server.process.pid) if "-m gateway " in command_line(pid)]
    return pid


def resident_bytes(pid: int) -> int:
    status = Path(f"/proc/{pid}/status").read_text(encoding="utf-8")
    (line,) = [line for line in status.splitlines() if line.startswith("VmRSS")]
    return int(line.split()[1]) * 1024


@contextmanager
def serving(
    state_dir: Path, engine: Path | None = TINY, config_name: str = "local", **settings: str
) -> Iterator[Server]:
    """A server that answers; ended afterwards. `settings`: further variables of its environment."""
    server = Server(state_dir, engine, config_name, settings=settings)
    server.start()
    try:
        server.wait_until_ready()
        yield server
    finally:
        server.end()
