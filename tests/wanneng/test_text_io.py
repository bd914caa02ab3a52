"""Arguments and file names that are not UTF-8, as a terminal in GBK gives them."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from tests.http_server import in_thread
from tests.wanneng.evaluation.answers import evaluation
from wanneng.evaluation.report_html import as_html
from wanneng.evaluation.report_json import as_json
from wanneng.text_io import shown_name

ROOT = Path(__file__).parents[2]
GBK = "文".encode("gbk")
NAME = os.fsdecode(GBK + b".txt")
RUN = ("batch", "run", "pyproject.toml", "--format", "txt", "--output", "out.csv")


@pytest.mark.parametrize(
    ("arguments", "option"),
    [
        ((*RUN, "--labels", GBK), "--labels"),
        ((*RUN, "--labels", "a", "--labels", GBK), "--labels"),
        ((*RUN, "--labels", "a,b", "--template", GBK + b"{}"), "--template"),
        ((*RUN, "--label-set", GBK), "--label-set"),
        (("classify", GBK, "--labels", "a,b"), "TEXT"),
        (("classify", "text", "--labels", GBK), "--labels"),
        (("classify", "text", "--labels", "a,b", "--special-tokens", GBK), "--special-tokens"),
        (("evaluate", "none.csv", "--template", GBK + b"{}"), "--template"),
        (("evaluate", "none.csv", "--labels", GBK), "--labels"),
        (("bench", "http://127.0.0.1:1", "--labels", GBK), "--labels"),
        (("label-set", "check", "none.txt", "--labels", "a", "--labels", GBK), "--labels"),
        (("label-set", "check", "none.txt", "--labels", "a,b", "--template", GBK + b"{}"), "--template"),
        (("label-set", "check", "none.txt", "--labels", "a,b", "--try", b"a=" + GBK), "--try"),
        (("label-set", "versions", GBK), "LABEL_SET"),
        (("batch", "show", GBK), "BATCH_ID"),
        (("batch", "results", GBK), "BATCH_ID"),
        (("tenant", "create", GBK), "NAME"),
        (("tenant", "suspend", GBK), "TENANT"),
        (("tenant", "usage", "acme", "--label-set", GBK), "--label-set"),
        (("tenant", "key", "acme", "--scope", "classify", "--scope", GBK), "--scope"),
        (("key", "create", "--name", GBK), "--name"),
        (("audit", "list", "--actor", GBK), "--actor"),
        (("audit", "export", "--object", GBK), "--object"),
        (("cluster", "logs", "--request", GBK), "--request"),
        (("engine", "build", "none", "--output", "none", "--name", GBK), "--name"),
        (("engine", "wait", "none", "--built-by", GBK), "--built-by"),
        (("status", "--url", GBK), "--url"),
    ],
)
def test_an_argument_that_is_not_utf_8_is_refused_by_name(arguments: tuple[str | bytes, ...], option: str) -> None:
    done = wanneng(*arguments)
    assert done.returncode == 1
    assert done.stderr.startswith(f"wanneng: {option} is '"), done.stderr
    assert "which is not valid UTF-8" in done.stderr
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize("command", ["build", "reference", "verify"])
def test_a_folder_that_may_be_an_id_too_has_any_name(command: str) -> None:
    output = () if command == "verify" else ("--output", "none")
    assert "which is not valid UTF-8" not in wanneng("engine", command, GBK, *output).stderr


class Gateway(BaseHTTPRequestHandler):
    """Takes files, and refuses batches after it has kept what it was asked."""

    asked: list[bytes]

    def do_POST(self) -> None:
        self.asked.append(self.rfile.read(int(self.headers["Content-Length"])))
        is_file = self.path == "/v1/files"
        answer = b'{"id": "file-1"}' if is_file else b'{"code": "forbidden", "detail": "no batches here"}'
        self.send_response(200 if is_file else 403)
        self.send_header("Content-Type", "application/json" if is_file else "application/problem+json")
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, *_arguments: object) -> None:
        pass


@pytest.fixture
def gateway() -> Iterator[tuple[str, list[bytes]]]:
    """Its address, and the bodies that it was sent."""
    asked: list[bytes] = []
    handler = type("Recording", (Gateway,), {"asked": asked})
    with in_thread(ThreadingHTTPServer(("127.0.0.1", 0), handler)) as server:
        yield f"http://127.0.0.1:{server.server_port}", asked


def test_a_batch_of_a_file_whose_name_is_not_utf_8_is_sent(
    gateway: tuple[str, list[bytes]], tmp_path: Path
) -> None:
    url, asked = gateway
    (tmp_path / NAME).write_text("a text\n", encoding="utf-8")
    output = str(tmp_path / "out.csv")
    done = wanneng("batch", "run", str(tmp_path / NAME), "--labels", "a,b", "--output", output, "--url", url)
    assert "no batches here" in done.stderr
    assert "Traceback" not in done.stderr
    assert len(asked) == 2
    assert "\ufffd\ufffd.txt" in asked[1].decode()


def test_reports_call_such_a_file_by_what_can_be_read_of_its_name() -> None:
    assert shown_name(Path(NAME)) == "\ufffd\ufffd.txt"
    assert shown_name(Path("folder/文本.txt")) == "文本.txt"
    found = evaluation(["a", "b"])
    found = replace(found, examples=replace(found.examples, source=Path(NAME)))
    for report in (as_json(found), as_html(found, "en")):
        assert "\ufffd\ufffd.txt" in report
        report.encode()


def wanneng(*arguments: str | bytes) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "wanneng", *arguments]
    return subprocess.run(
        command, cwd=ROOT, capture_output=True, encoding="utf-8", check=False, timeout=60, env=environment()
    )


def environment() -> dict[str, str]:
    """With a locale in UTF-8, and without settings."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("WANNENG_")}
    return kept | {"PYTHONUTF8": "1", "NO_PROXY": "127.0.0.1"}
