"""Workers that serve one port, as real processes."""

from __future__ import annotations

import asyncio
import math
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import httpx
import pytest
from prometheus_client import CollectorRegistry, Counter, Gauge

from tests.web.worker_server import DRAIN_S, LARGE_BYTES, WORKERS
from web.background import running
from web.server import UNSENT_BYTES
from web.worker_metrics import WorkerMetrics

ROOT = Path(__file__).parents[2]
DEADLINE_S = 60.0


class Server:
    def __init__(self) -> None:
        with closing(socket.socket()) as unused:
            unused.bind(("127.0.0.1", 0))
            self.port = unused.getsockname()[1]
        self.process = self.start()

    def slowly(self) -> socket.socket:
        """A request that is answered after a second."""
        connection = socket.create_connection(("127.0.0.1", self.port), timeout=DEADLINE_S)
        connection.sendall(b"GET /slow HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        return connection

    def in_kernel(self, client: socket.socket) -> int:
        """Bytes of answers to the client that the kernel has taken, and the client has not."""
        ports = f":{self.port:04X}", f":{client.getsockname()[1]:04X}"
        for line in Path("/proc/net/tcp").read_text().splitlines():
            _, local, remote, _, queues, *_ = line.split()
            if (local[-5:], remote[-5:]) == ports:
                return int(queues.partition(":")[0], 16)
        raise AssertionError("the connection is gone")

    def start(self) -> subprocess.Popen[str]:
        command = [sys.executable, "-m", "tests.web.worker_server", str(self.port)]
        return subprocess.Popen(
            command,
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )

    def get(self, path: str = "/") -> str:
        """On a connection of its own; empty where nobody answers."""
        try:
            return httpx.get(f"http://127.0.0.1:{self.port}{path}", trust_env=False, timeout=5).text
        except httpx.TransportError:
            return ""

    def pids(self, count: int = WORKERS, without: int = 0) -> set[int]:
        """Of the workers that answer, once these are `count`."""
        pids: set[int] = set()
        deadline = time.monotonic() + DEADLINE_S
        while len(pids) < count:
            assert time.monotonic() < deadline, f"only {pids} answer"
            if (pid := int(self.get() or 0)) not in {0, without}:
                pids.add(pid)
        return pids

    def end(self) -> tuple[int, str]:
        """Its exit code and what it has logged."""
        logged, _ = self.process.communicate(timeout=DEADLINE_S)
        return self.process.returncode, logged


@pytest.fixture
def server() -> Iterator[Server]:
    server = Server()
    yield server
    server.process.kill()
    server.process.communicate()


def test_the_kernel_takes_little_of_an_answer_that_nobody_reads(server: Server) -> None:
    """Seen failing: it took 2.8 MB."""
    server.pids()
    with socket.socket() as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
        client.connect(("127.0.0.1", server.port))
        client.sendall(b"GET /large HTTP/1.1\r\nHost: x\r\n\r\n")
        taken = [0]
        deadline = time.monotonic() + DEADLINE_S
        while len(taken) < 10 or taken[-10] != taken[-1] or not taken[-1]:
            assert time.monotonic() < deadline
            taken.append(server.in_kernel(client))
            time.sleep(0.02)
        # On loopback a segment, which it takes whole, may have 64 KiB.
        assert max(taken) < 8 * UNSENT_BYTES
        client.settimeout(DEADLINE_S)
        received = 0
        while received < LARGE_BYTES:
            piece = client.recv(1_000_000)
            assert piece
            received += len(piece)


def test_all_workers_answer_and_end_with_their_parent(server: Server) -> None:
    pids = server.pids()
    server.process.terminate()
    code, _ = server.end()
    assert code == 0
    assert not any(Path(f"/proc/{pid}").exists() for pid in pids)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_to_the_group_lets_workers_end_in_order(server: Server, number: signal.Signals) -> None:
    """As Ctrl-C in a terminal: a worker that got it twice would end at once."""
    server.pids()
    with server.slowly() as connection:
        time.sleep(0.3)
        began = time.monotonic()
        os.killpg(server.process.pid, number)
        assert connection.recv(1_000).startswith(b"HTTP/1.1 200")
    code, logged = server.end()
    assert code == 0
    assert number is not signal.SIGTERM or time.monotonic() - began >= DRAIN_S
    assert logged.count("the application has ended in order") == WORKERS


def test_a_worker_that_dies_is_started_again(server: Server) -> None:
    dead, survivor = server.pids()
    os.kill(dead, signal.SIGKILL)
    assert survivor in server.pids(without=dead)
    server.process.terminate()
    code, logged = server.end()
    assert code == 0
    assert "was ended by SIGKILL; starting it again" in logged


def test_workers_end_when_their_parent_is_killed(server: Server) -> None:
    pids = server.pids()
    server.process.kill()
    server.process.wait()
    deadline = time.monotonic() + DEADLINE_S
    while any(Path(f"/proc/{pid}").exists() for pid in pids):
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_what_no_worker_can_serve_ends_all(server: Server) -> None:
    server.pids()
    server.get("/fail")
    code, logged = server.end()
    assert code == 1
    assert "nothing can be served" in logged
    assert "starting it again" not in logged


def test_a_port_in_use_is_refused(server: Server) -> None:
    server.pids()
    second = server.start()
    logged, _ = second.communicate(timeout=DEADLINE_S)
    assert second.returncode != 0
    assert "Address already in use" in logged


async def test_a_worker_that_dies_as_it_tells_its_metrics_is_left_out(tmp_path: Path) -> None:
    async def cut(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"\x91\x94\xa2up")
        writer.close()

    registry = CollectorRegistry()
    Gauge("up", "Up.", registry=registry).set(math.nan)
    async with await asyncio.start_unix_server(cut, tmp_path / "1"):
        text = (await WorkerMetrics(registry, tmp_path, 0, 2).exposition()).decode()
    assert 'up{worker="0"} NaN' in text


async def test_each_worker_tells_the_metrics_of_all(tmp_path: Path) -> None:
    workers = []
    for number in range(3):
        registry = CollectorRegistry()
        Counter("things", "Things.", ["kind"], registry=registry).labels("good").inc(number + 1)
        Gauge("up", "Up.", registry=registry).set(1)
        workers.append(WorkerMetrics(registry, tmp_path, number, 3))
    async with running(*(worker.serve() for worker in workers[:2])):
        text = ""
        while 'worker="1"' not in text:
            text = (await workers[0].exposition()).decode()
        assert await workers[1].exposition() == text.encode()
    lines = text.splitlines()
    assert lines.count("# TYPE things_total counter") == 1
    assert 'things_total{kind="good",worker="0"} 1.0' in lines
    assert 'things_total{kind="good",worker="1"} 2.0' in lines
    assert 'up{worker="1"} 1.0' in lines
    assert 'worker="2"' not in text, "it does not answer"
