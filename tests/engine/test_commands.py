"""The commands of `wanneng engine`: exit codes, messages, files."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest

from engine.snapshot import write_snapshot
from tests.engine.snapshots import random_snapshot
from tests.http_server import in_thread

ROOT = Path(__file__).parents[2]
MODEL = "someone/zero-shot"


@pytest.fixture
def source(tmp_path: Path) -> Path:
    write_snapshot(random_snapshot(), tmp_path / "snapshot")
    return tmp_path / "snapshot"


def wanneng(*arguments: str | Path, **variables: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "wanneng", "engine", *map(str, arguments)]
    environment = dict(os.environ) | variables
    return subprocess.run(
        command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=180, check=False
    )


def last_line(done: subprocess.CompletedProcess[str]) -> str:
    assert "Traceback" not in done.stderr, done.stderr
    return done.stderr.strip().splitlines()[-1]


def test_a_built_engine_is_verified_with_another_reference(source: Path, tmp_path: Path) -> None:
    built = wanneng("build", source, "--precision", "int8", "--output", tmp_path / "engine")
    assert built.returncode == 0, built.stderr
    assert "published" in last_line(built)
    other_reference = tmp_path / "other.json"
    samples = tmp_path / "samples.jsonl"
    samples.write_text('\ufeff{"text": "一丁\u2028丂", "labels": ["七", "丄"]}\n', encoding="utf-8")
    assert wanneng("reference", source, "--samples", samples, "--output", other_reference).returncode == 0
    report_file = tmp_path / "report.json"
    verified = wanneng("verify", tmp_path / "engine", "--reference", other_reference, "--report", report_file)
    assert verified.returncode == 0, verified.stderr
    report = json.loads(verified.stdout)
    assert (report["precision"], report["pairs"], report["texts"]) == ("int8", 2, 1)
    assert json.loads(report_file.read_text(encoding="utf-8")) == report


def test_bfloat16_is_refused_before_any_work_on_a_processor_without_it(source: Path, tmp_path: Path) -> None:
    """In place of OpenVINO is a module that reports no bfloat16."""
    (tmp_path / "modules").mkdir()
    module = 'class Core:\n    def get_property(self, *_names):\n        return ["FP32"]\n'
    (tmp_path / "modules/openvino.py").write_text(module, encoding="utf-8")
    path = str(tmp_path / "modules")
    refused = wanneng("build", source, "--precision", "bf16", "--output", tmp_path / "engine", PYTHONPATH=path)
    assert refused.returncode == 1
    assert "this processor has no bfloat16 instructions" in last_line(refused)
    assert "asking" not in refused.stderr
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["modules", "snapshot"]


def test_verify_fails_beyond_the_tolerance(source: Path, tmp_path: Path) -> None:
    """INT8 with the tolerance of fp32, on the engine's own reference."""
    wanneng("build", source, "--precision", "int8", "--output", tmp_path / "engine")
    verified = wanneng("verify", tmp_path / "engine", "--precision", "fp32")
    assert verified.returncode == 1
    assert "FAILED" in last_line(verified)
    tolerated = wanneng("verify", tmp_path / "engine", "--tolerance", "0.5")
    assert tolerated.returncode == 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ("verify", "nowhere", "--reference", "embedded/reference.json"),
            "neither an engine's folder nor an address",
        ),
        (("verify", "127.0.0.1:1", "--reference", "embedded/reference.json"), "no Triton answers at 127.0.0.1:1"),
        (("verify", "127.0.0.1:1"), "--reference FILE is needed"),
        (("verify", "embedded", "--reference", "embedded/config.json"), "is not a file of"),
        (("verify", "embedded", "--reference", "none.json"), "none.json is missing"),
        (("build", "no folder", "--output", "x"), "neither a folder nor a ModelScope id"),
        (("build", "~nobody-of-that-name/model", "--output", "x"), "that home folder is not known here"),
        (("build", "embedded", "--target", "tpu", "--output", "x"), "--target tpu"),
        (("build", "embedded", "--samples", "README.md", "--output", "x"), "README.md, line 1"),
        (("build", "embedded", "--logits", "entailment", "--output", "x"), "is an engine, and knows its model"),
        (("build", "embedded", "--target", "tensorrt", "--output", "x"), "TensorRT is not installed here"),
    ],
)
def test_a_refusal_is_a_message_without_a_traceback(arguments: tuple[str, ...], message: str) -> None:
    done = wanneng(*arguments)
    assert done.returncode == 1
    assert message in last_line(done), done.stderr
    assert not (ROOT / "x").exists()


class FakeHub(BaseHTTPRequestHandler):
    """The part of ModelScope's hub that a download uses; serves the folder `server.files` as `MODEL`."""

    def do_GET(self) -> None:
        path, query = urlsplit(self.path).path, parse_qs(urlsplit(self.path).query)
        if MODEL not in path:
            self._send(404, b'{"Code": 10010205001, "Message": "model not found", "Success": false}')
        elif path.endswith("/revisions"):
            revisions = {"RevisionMap": {"Branches": [{"Revision": "master"}], "Tags": []}}
            self._send(200, json.dumps({"Code": 200, "Data": revisions, "Success": True}).encode())
        elif path.endswith("/repo/files"):
            files = [
                {"Path": f.name, "Name": f.name, "Type": "blob", "Size": f.stat().st_size, "Revision": "1"}
                for f in self.files()
            ]
            self._send(200, json.dumps({"Code": 200, "Data": {"Files": files}, "Success": True}).encode())
        elif path.endswith("/repo"):
            name = query["FilePath"][0]
            self._send(200, next(f for f in self.files() if f.name == name).read_bytes())
        else:
            self._send(200, json.dumps({"Code": 200, "Data": {}, "Success": True}).encode())

    do_HEAD = do_GET  # noqa: N815 - http.server calls it

    def files(self) -> list[Path]:
        return sorted(self.server.files.iterdir())  # type: ignore[attr-defined]

    def _send(self, status: int, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(body)

    def log_message(self, *_arguments: object) -> None:
        pass


@pytest.fixture
def hub(source: Path) -> Iterator[str]:
    """The address of a hub with the snapshot `source`."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), FakeHub)
    server.files = source  # type: ignore[attr-defined]
    with in_thread(server):
        yield f"127.0.0.1:{server.server_port}"


def hub_variables(address: str, cache: Path) -> dict[str, str]:
    return {"MODELSCOPE_ENDPOINT": f"http://{address}", "MODELSCOPE_CACHE": str(cache), "NO_PROXY": "*"}


def test_a_modelscope_id_is_downloaded_and_built(hub: str, tmp_path: Path) -> None:
    done = wanneng("build", MODEL, "--output", tmp_path / "engine", **hub_variables(hub, tmp_path / "cache"))
    assert done.returncode == 0, done.stderr
    manifest = json.loads((tmp_path / "engine/engine.json").read_text(encoding="utf-8"))
    assert manifest["name"] == "zero-shot"


def test_an_unknown_id_is_refused(hub: str, tmp_path: Path) -> None:
    done = wanneng("build", "someone/else", "--output", tmp_path / "e", **hub_variables(hub, tmp_path / "cache"))
    assert done.returncode == 1
    assert "someone/else is not a folder here and could not be downloaded from ModelScope" in last_line(done)


def test_an_unreachable_hub_is_reported(tmp_path: Path) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{closed.getsockname()[1]}"
        done = wanneng("build", MODEL, "--output", tmp_path / "e", **hub_variables(address, tmp_path / "cache"))
    assert done.returncode == 1
    assert f"{MODEL} is not a folder here and could not be downloaded from ModelScope" in last_line(done)


def test_a_refused_build_removes_no_engine(tmp_path: Path) -> None:
    for name in ("source", "engines/old"):
        (tmp_path / name).mkdir(parents=True)
        (tmp_path / name / "engine.json").write_text("{}", encoding="utf-8")
    samples = tmp_path / "samples.jsonl"
    samples.write_text('{"text": "七", "labels": ["丄"]}\n', encoding="utf-8")
    build = ("build", tmp_path / "source", "--output", tmp_path / "engines/new", "--keep", "1")
    for options, words in ((("--template", "{}"), "knows its model"), (("--samples", samples), "its own samples")):
        refused = wanneng(*build, *options)
        assert refused.returncode == 1
        assert words in last_line(refused)
        assert (tmp_path / "engines/old").exists()
