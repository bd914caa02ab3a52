"""`wanneng engine …` as a user runs it: exit codes, sentences, files."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest

from engine.snapshot import write_snapshot
from tests.engine.snapshots import snapshot

ROOT = Path(__file__).parents[2]
MODEL = "someone/zero-shot"


@pytest.fixture
def source(tmp_path: Path) -> Path:
    write_snapshot(snapshot(), tmp_path / "snapshot")
    return tmp_path / "snapshot"


def wanneng(*arguments: str | Path, **variables: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "wanneng", "engine", *map(str, arguments)]
    environment = dict(os.environ) | variables
    return subprocess.run(
        command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=180, check=False
    )


def sentence(done: subprocess.CompletedProcess[str]) -> str:
    assert "Traceback" not in done.stderr, done.stderr
    return done.stderr.strip().splitlines()[-1]


def test_build_reference_and_verify_go_together(source: Path, tmp_path: Path) -> None:
    built = wanneng("build", source, "--precision", "int8", "--output", tmp_path / "engine")
    assert built.returncode == 0, built.stderr
    assert "published" in sentence(built)
    other = tmp_path / "other.npz"
    samples = tmp_path / "samples.jsonl"
    samples.write_text('{"text": "一丁丂", "labels": ["七", "丄"]}\n', encoding="utf-8")
    assert wanneng("reference", source, "--samples", samples, "--output", other).returncode == 0
    verified = wanneng("verify", tmp_path / "engine", "--reference", other, "--report", tmp_path / "report.json")
    assert verified.returncode == 0, verified.stderr
    report = json.loads(verified.stdout)
    assert (report["precision"], report["pairs"], report["texts"]) == ("int8", 2, 1)
    assert json.loads((tmp_path / "report.json").read_text(encoding="utf-8")) == report


def test_verify_fails_beyond_the_tolerance(source: Path, tmp_path: Path) -> None:
    """INT8 under the tolerance of fp32, on the engine's own reference."""
    wanneng("build", source, "--precision", "int8", "--output", tmp_path / "engine")
    verified = wanneng("verify", tmp_path / "engine", "--precision", "fp32")
    assert verified.returncode == 1
    assert "FAILED" in sentence(verified)
    loose = wanneng("verify", tmp_path / "engine", "--tolerance", "0.5")
    assert loose.returncode == 0


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("verify", "nowhere.onnx", "--reference", "embedded/reference.npz"), "neither a file nor the address"),
        (("verify", "127.0.0.1:1", "--reference", "embedded/reference.npz"), "no Triton answers at 127.0.0.1:1"),
        (("verify", "127.0.0.1:1"), "--reference FILE is needed"),
        (("verify", "embedded", "--reference", "embedded/vocab.txt"), "is not what"),
        (("verify", "embedded", "--reference", "none.npz"), "none.npz is missing"),
        (("build", "no folder", "--output", "x"), "neither a folder nor a ModelScope id"),
        (("build", "embedded", "--target", "tpu", "--output", "x"), "--target tpu"),
        (("build", "embedded", "--samples", "README.md", "--output", "x"), "README.md, line 1"),
        (("build", "embedded", "--target", "tensorrt", "--output", "x"), "TensorRT is not installed here"),
    ],
)
def test_what_cannot_be_done_is_one_sentence(arguments: tuple[str, ...], words: str) -> None:
    done = wanneng(*arguments)
    assert done.returncode == 1
    assert words in sentence(done), done.stderr
    assert not (ROOT / "x").exists()


class Hub(BaseHTTPRequestHandler):
    """As much of ModelScope's hub as a download asks for; the folder is the server's `files`."""

    def do_GET(self) -> None:
        path, query = urlsplit(self.path).path, parse_qs(urlsplit(self.path).query)
        self.server.seen.append(self.path)  # type: ignore[attr-defined]
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
            wanted = query["FilePath"][0]
            self._send(200, next(f for f in self.files() if f.name == wanted).read_bytes())
        else:
            self._send(200, json.dumps({"Code": 200, "Data": {}, "Success": True}).encode())

    do_HEAD = do_GET  # noqa: N815 - the name is http.server's

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
    """The address of a hub that has the snapshot as `MODEL`."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    server.files, server.seen = source, []  # type: ignore[attr-defined]
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    server.server_close()
    thread.join()


def hub_variables(address: str, cache: Path) -> dict[str, str]:
    return {"MODELSCOPE_ENDPOINT": f"http://{address}", "MODELSCOPE_CACHE": str(cache), "NO_PROXY": "*"}


def test_a_modelscope_id_is_downloaded_and_built(hub: str, tmp_path: Path) -> None:
    done = wanneng("build", MODEL, "--output", tmp_path / "engine", **hub_variables(hub, tmp_path / "cache"))
    assert done.returncode == 0, done.stderr
    facts = json.loads((tmp_path / "engine/engine.json").read_text(encoding="utf-8"))
    assert facts["name"] == "zero-shot"


def test_an_unknown_id_is_one_sentence(hub: str, tmp_path: Path) -> None:
    done = wanneng("build", "someone/else", "--output", tmp_path / "e", **hub_variables(hub, tmp_path / "cache"))
    assert done.returncode == 1
    assert "someone/else is no folder here and could not be downloaded from ModelScope" in sentence(done)


def test_offline_is_one_sentence(tmp_path: Path) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{closed.getsockname()[1]}"
        done = wanneng("build", MODEL, "--output", tmp_path / "e", **hub_variables(address, tmp_path / "cache"))
    assert done.returncode == 1
    assert f"{MODEL} is no folder here and could not be downloaded from ModelScope" in sentence(done)
