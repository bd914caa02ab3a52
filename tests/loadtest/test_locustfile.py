"""A load test that cannot start or clean up ends, with its reason."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from loadtest.endpoints import LABEL_SET
from tests.e2e.server import free_ports

ROOT = Path(__file__).parents[2]
SET = f"/v1/label-sets/{LABEL_SET}"


def load_test(url: str, *options: str) -> tuple[int, list[str]]:
    """Exit code and log."""
    done = subprocess.run(
        [
            *(sys.executable, "-m", "locust", "--locustfile", "loadtest/locustfile.py", "--headless"),
            *("--only-summary", "--host", url, "--duration-s", "0.2", *options),
        ],
        check=False,
        cwd=ROOT,
        env={"PATH": "", "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=60,
    )
    return done.returncode, done.stderr.splitlines()


class FakeServer(ThreadingHTTPServer):
    """Answers 500 to requests with `failing` as their method, 200 to all others; `asked` counts them."""

    def __init__(self, failing: str) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.failing = failing
        self.asked: Counter[str] = Counter()


class _Handler(BaseHTTPRequestHandler):
    server: FakeServer
    protocol_version = "HTTP/1.1"

    def _answer(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.server.asked[self.command] += 1
        self.send_response(500 if self.command == self.server.failing else 200)
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"{}")

    do_DELETE = do_POST = do_PUT = _answer  # noqa: N815 - the names that http.server calls

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - its name
        """Nothing."""


@contextmanager
def serving(failing: str) -> Iterator[FakeServer]:
    with FakeServer(failing) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()


@pytest.mark.parametrize("processes", [False, True])
def test_a_run_that_cannot_create_its_tenants_ends_with_the_reason(processes: bool) -> None:
    port, master_port = free_ports(2)
    ports = ("--master-port", str(master_port), "--master-bind-port", str(master_port))
    code, log = load_test(
        f"http://127.0.0.1:{port}", "--users", "2", *(("--processes", "2", *ports) if processes else ())
    )
    assert code == 1, log
    (line,) = [line for line in log if "ERROR" in line or "BROKEN" in line]
    assert "the load test failed: cannot reach" in line
    assert "is the server running?" in line
    assert not [line for line in log if "Traceback" in line]


def test_a_run_that_cannot_remove_its_tenants_ends_with_the_reason_and_is_not_repeated() -> None:
    with serving("DELETE") as server:
        code, log = load_test(f"http://127.0.0.1:{server.server_port}", "--users", "1")
    assert code == 1, log
    (line,) = [line for line in log if "ERROR" in line]
    assert f"the load test failed: DELETE {SET} answered 500" in line
    assert (server.asked["PUT"], server.asked["DELETE"]) == (1, 1)
