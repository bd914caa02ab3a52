"""The logs of `wanneng serve`: records of every process, kept over crashes and restarts, within their bounds."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import time
from pathlib import Path
from typing import Any

import httpx

from tests.e2e.server import ROOT, Server, command_line, descendants, serving
from tests.polling import until

ENGINE = ROOT / "tests/golden/small"
BODY = {"text": "这个手机质量太差，要求退款", "labels": "投诉,咨询,建议"}
LOGS = {"serve.log", "triton.log", "gateway.log", "control-plane.log", "worker.log", "migration.log"}
TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")
LEVELS = {"debug", "info", "warning", "error", "critical"}


def records(path: Path) -> list[dict[str, Any]]:
    """Every line of a log, which is a record or fails the test."""
    entries = [json.loads(line) for line in path.read_bytes().splitlines()]
    for entry in entries:
        assert TIME.fullmatch(entry["time"]), entry
        assert entry["level"] in LEVELS, entry
        assert isinstance(entry["logger"], str), entry
        assert isinstance(entry["message"], str), entry
    return entries


def process(server: Server, command: str) -> int:
    return next(pid for pid in descendants(server.process.pid) if command in command_line(pid))


def wait_until_it_answers(server: Server, old: int) -> None:
    deadline = time.monotonic() + 60
    while True:
        try:
            if process(server, "-m gateway ") != old and server.classify(**BODY).status_code == 200:
                return
        except (httpx.TransportError, StopIteration):
            pass
        assert time.monotonic() < deadline, "it did not come back"
        time.sleep(0.1)


def send(server: Server, request: bytes) -> bytes:
    with socket.create_connection(("127.0.0.1", server.ports[0]), timeout=10) as connection:
        connection.sendall(request)
        return connection.recv(65_536)


def test_the_last_lines_of_a_crash_are_there_after_the_restart(tmp_path: Path) -> None:
    with serving(tmp_path, ENGINE) as server:
        answered = server.classify(**BODY)
        gateway = process(server, "-m gateway ")
        # The access log is at most 0.05 s behind.
        time.sleep(0.5)
        os.kill(gateway, signal.SIGSEGV)
        wait_until_it_answers(server, gateway)
        os.kill(server.triton_pid(), signal.SIGKILL)
        until(
            lambda: "Triton is back" in (tmp_path / "serve.log").read_text(encoding="utf-8"),
            "Triton did not come back",
        )
        server.stop()
    with serving(tmp_path, ENGINE) as server:
        server.stop()
    assert {path.name for path in tmp_path.glob("*.log")} == LOGS
    logs = {path.name: records(path) for path in tmp_path.glob("*.log")}

    lines = logs["gateway.log"]
    (request,) = (n for n, e in enumerate(lines) if e.get("request_id") == answered.json()["request_id"])
    (crash,) = (n for n, e in enumerate(lines) if e["message"] == "Fatal Python error: Segmentation fault")
    assert request < crash < len(lines) - 1
    assert "most recent call first" in lines[crash]["exception"]
    assert (lines[request]["logger"], lines[request]["level"]) == ("access", "info")
    (at_triton,) = (e for e in logs["triton.log"] if e.get("request_ids") == answered.json()["request_id"])
    assert at_triton["logger"] == "python_backend.triton.expand"

    said = {entry["message"]: entry for entry in logs["serve.log"]}
    ended = said["the gateway was ended by SIGSEGV; starting it again"]
    assert ended["signal"] == "SIGSEGV"
    assert any("Segmentation fault" in line for line in ended["last_lines"])
    killed = said["Triton was ended by SIGKILL, as by a kernel that is out of memory; starting it again"]
    assert (killed["level"], killed["signal"]) == ("warning", "SIGKILL")
    assert [entry["message"] for entry in logs["serve.log"]].count("starting Triton") == 2
    assert sum("Started HTTPService" in entry["message"] for entry in logs["triton.log"]) == 3


def test_nobody_who_is_logged_forges_a_record_or_reads_a_secret(tmp_path: Path) -> None:
    forged = '{"time":"2026-01-01T00:00:00.000Z","level":"critical","logger":"forged","message":"forged"}'
    with serving(tmp_path, ENGINE, WANNENG_REQUIRE_KEY="true") as server:
        key = (tmp_path / "local.key").read_text(encoding="utf-8").strip()
        for header in ("X-Request-ID", "Authorization", "traceparent", "User-Agent", "X-Wanneng-Tenant"):
            for end in ("\n", "\r\n", "\r", "\0", "\u2028", "\x85"):
                value = f"a{end}{forged}".encode()
                host = b"Host: x\r\nConnection: close\r\nContent-Length: 0\r\n"
                send(
                    server,
                    b"POST /v1/classify HTTP/1.1\r\n" + host + header.encode() + b": " + value + b"\r\n\r\n",
                )
        headers = {"Authorization": f"Bearer {key}"}
        with httpx.Client(base_url=server.url, headers=headers, trust_env=False) as client:
            client.get(f"/v1/label-sets/%0A{forged}")
            client.post("/v1/classify", json={"text": f"\n{forged}", "labels": [f"\n{forged}", "b"]})
            client.post("/v2/models/a%0A%7B/infer", json={"inputs": [{"name": f"\n{forged}"}]})
            # Triton's own words for a model that it does not know.
            httpx.get(f"http://{server.triton_http}/v2/models/a%0A{forged}/stats", trust_env=False)
        admin = (tmp_path / "admin.key").read_text(encoding="utf-8").strip()
        server.stop()
    # Of the 30, those are requests whose values HTTP allows.
    assert sum(entry["logger"] == "access" for entry in records(tmp_path / "gateway.log")) >= 10
    for path in tmp_path.glob("*.log"):
        assert all(entry["logger"] != "forged" for entry in records(path)), path
        text = path.read_text(encoding="utf-8")
        assert key not in text
        assert admin not in text


def test_logs_are_bounded_in_all(tmp_path: Path) -> None:
    bounds = {"WANNENG_LOG_FILE_BYTES": "10000", "WANNENG_LOG_FILES": "3"}
    with serving(tmp_path, ENGINE, **bounds) as server:
        with httpx.Client(base_url=server.url, trust_env=False) as client:
            for _ in range(300):
                assert client.get("/v1/unknown").status_code == 404
        time.sleep(0.5)
        assert server.classify(**BODY).status_code == 200
        server.stop()
    sizes = {path.name: path.stat().st_size for path in tmp_path.glob("gateway.log*")}
    assert set(sizes) == {"gateway.log", "gateway.log.1", "gateway.log.2"}
    assert max(sizes.values()) <= 10_000
    assert records(tmp_path / "gateway.log.1")


def test_two_servers_do_not_share_a_state_folder(tmp_path: Path) -> None:
    with serving(tmp_path, ENGINE) as server:
        other = Server(tmp_path, ENGINE)
        other.start()
        printed, _ = other.process.communicate(timeout=60)
        assert other.process.returncode == 1
        entry = json.loads(printed)
        assert entry["level"] == "critical"
        assert f"{tmp_path} is in use by another server, process {server.process.pid}; " in entry["message"]
        assert "--state-dir" in entry["message"]
        assert server.classify(**BODY).status_code == 200


def test_a_full_disk_stops_no_answer(tmp_path: Path) -> None:
    """`/dev/full` in the place of all logs."""
    for name in LOGS:
        (tmp_path / name).symlink_to("/dev/full")
    with serving(tmp_path, ENGINE) as server:
        for _ in range(20):
            assert server.classify(**BODY).status_code == 200


def test_people_may_have_text_in_the_files_and_on_the_terminal(tmp_path: Path) -> None:
    with serving(tmp_path, ENGINE, WANNENG_LOG_FORMAT="text") as server:
        server.classify(**BODY)
        _, printed = server.stop()
    assert not printed
    text = (tmp_path / "triton.log").read_text(encoding="utf-8")
    assert re.search(r"^\S+Z INFO     triton: Started HTTPService", text, re.MULTILINE), text
    assert (
        subprocess.run(["grep", "-c", "^{", tmp_path / "triton.log"], capture_output=True, check=False).returncode
        == 1
    )
