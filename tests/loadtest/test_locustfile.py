"""A load test that cannot start or clean up ends, with its reason."""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from loadtest.endpoints import LABEL_SET
from tests.e2e.server import free_ports
from tests.http_server import in_thread

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
    """Answers 500 to requests with `failing` as their method, but for the first `good`, and 200 to all others."""

    def __init__(self, failing: str, good: int) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.failing, self.good = failing, good
        self.asked: Counter[str] = Counter()
        self.tenants: set[str] = set()
        """Those that have been created and not deleted."""
        self.created = 0


class _Handler(BaseHTTPRequestHandler):
    server: FakeServer
    protocol_version = "HTTP/1.1"

    def _answer(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        server = self.server
        server.asked[self.command] += 1
        fails = self.command == server.failing and server.asked[self.command] > server.good
        tenant = self.path.removeprefix("/v1/tenants/")
        if not fails and (self.command, self.path) == ("POST", "/v1/tenants"):
            server.created += 1
            tenant = f"t_{server.created}"
            server.tenants.add(tenant)
        elif not fails and self.command == "DELETE":
            server.tenants.discard(tenant)
        body = json.dumps({"id": tenant, "key": "k"}).encode()
        self.send_response(500 if fails else 200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_DELETE = do_POST = do_PUT = _answer  # noqa: N815 - the names that http.server calls

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - its name
        """Nothing."""


@contextmanager
def serving(failing: str, good: int = 0) -> Iterator[FakeServer]:
    with in_thread(FakeServer(failing, good)) as server:
        yield server


@pytest.mark.parametrize("processes", [False, True])
def test_a_run_that_cannot_create_its_tenants_ends_with_the_reason(processes: bool) -> None:
    port, master_port = free_ports(2)
    ports = ("--master-port", str(master_port), "--master-bind-port", str(master_port))
    code, log = load_test(
        f"http://127.0.0.1:{port}", "--users", "2", *(("--processes", "2", *ports) if processes else ())
    )
    assert code == 1, log
    (line,) = [line for line in log if "the load test failed" in line or "BROKEN" in line]
    assert "the load test failed: cannot reach" in line
    assert "is the server running?" in line
    assert not [line for line in log if "Traceback" in line]


def test_a_run_that_cannot_remove_its_tenants_ends_with_the_reason_and_is_not_repeated() -> None:
    with serving("DELETE") as server:
        code, log = load_test(f"http://127.0.0.1:{server.server_port}", "--users", "1")
    assert code == 1, log
    (line,) = [line for line in log if "the load test failed" in line]
    assert f"the load test failed: DELETE {SET} answered 500" in line
    assert (server.asked["PUT"], server.asked["DELETE"]) == (1, 1)


@pytest.mark.parametrize("good", [3, 7])
def test_whatever_was_created_before_a_failure_is_removed(good: int, tmp_path: Path) -> None:
    """Seen failing: the tenants of both users stayed on the server. Each tenant is two requests, with its key."""
    key_file = tmp_path / "admin.key"
    key_file.write_text("admin", encoding="utf-8")
    with serving("POST", good) as server:
        url = f"http://127.0.0.1:{server.server_port}"
        options = ("--users", "2", "--spawn-rate", "2", "--admin-key-file", str(key_file))
        code, log = load_test(url, *options)
    assert code == 1, log
    (line,) = [line for line in log if "the load test failed" in line]
    assert "POST /v1/tenants" in line
    assert server.created
    assert not server.tenants
