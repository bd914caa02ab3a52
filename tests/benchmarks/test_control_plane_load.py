"""The load on the control plane, against a server that notes what it gets."""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest

from benchmarks.control_plane_load import Listings, Uploads, encode_job, list_all, upload
from tests.http_server import in_thread

CONTENT = b'{"custom_id": "1"}\n' * 100


class Handler(BaseHTTPRequestHandler):
    """Takes uploads, refuses those of `poor` and, unread, of `hasty`, and lists five items in pages of two."""

    protocol_version = "HTTP/1.1"
    server: Recorder

    def do_POST(self) -> None:
        key = self.headers["Authorization"]
        if "hasty" in key:
            self.answer(503, b"{}")
            self.close_connection = True
            return
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.uploads[key, CONTENT in body and b'name="purpose"' in body] += 1
        self.answer(409 if "poor" in key else 200, b"{}")

    def do_GET(self) -> None:
        query = parse_qs(urlsplit(self.path).query)
        start = int(query.get("after", ["0"])[0])
        self.server.pages[start] += 1
        more = "true" if start + 2 < 5 else "false"
        self.answer(200, f'{{"data":[],"first_id":"1","last_id":"{start + 2}","has_more":{more}}}'.encode())

    def answer(self, status: int, content: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


class Recorder(ThreadingHTTPServer):
    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.uploads: Counter[tuple[str, bool]] = Counter()
        self.pages: Counter[int] = Counter()


@pytest.fixture
def recorder() -> Iterator[Recorder]:
    with in_thread(Recorder()) as server:
        yield server


def test_each_upload_has_the_whole_file_and_tenants_take_turns(recorder: Recorder, tmp_path: Path) -> None:
    file = tmp_path / "lines.jsonl"
    file.write_bytes(CONTENT)
    job = Uploads("127.0.0.1", recorder.server_port, ["rich", "poor"], str(file), 6)
    assert upload(job) == {"200": 3, "409": 3}
    assert recorder.uploads == {("Bearer rich", True): 3, ("Bearer poor", True): 3}


def test_an_upload_that_is_refused_unread_has_the_status_of_its_response(
    recorder: Recorder, tmp_path: Path
) -> None:
    file = tmp_path / "lines.jsonl"
    file.write_bytes(CONTENT * 10_000)
    assert upload(Uploads("127.0.0.1", recorder.server_port, ["hasty"], str(file), 2)) == {"503": 2}


def test_listings_follow_pages_and_begin_again(recorder: Recorder) -> None:
    statuses = list_all(Listings("127.0.0.1", recorder.server_port, [("/v1/files?limit=2", "key")], 0.5))
    assert statuses.keys() == {"200"}
    assert recorder.pages.keys() == {0, 2, 4}
    assert recorder.pages[0] > 4, "each of the four connections lists more than once"


def test_a_server_that_is_gone_is_counted(recorder: Recorder) -> None:
    statuses = list_all(Listings("127.0.0.1", 9, [("/v1/files?limit=2", "key")], 0.3))
    assert statuses.total() >= 4
    assert all("refused" in status for status in statuses)


def test_a_job_is_read_from_standard_input_and_its_result_is_json(recorder: Recorder, tmp_path: Path) -> None:
    file = tmp_path / "lines.jsonl"
    file.write_bytes(CONTENT)
    job = Uploads("127.0.0.1", recorder.server_port, ["rich"], str(file), 2)
    command = [sys.executable, "-m", "benchmarks.control_plane_load"]
    root = Path(__file__).parents[2]
    done = subprocess.run(command, input=encode_job(job), cwd=root, check=True, capture_output=True, timeout=60)
    assert json.loads(done.stdout) == {"200": 2}
