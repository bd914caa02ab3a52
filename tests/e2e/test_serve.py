"""`wanneng serve` as a process: it starts, survives, stops, and says what is wrong."""

from __future__ import annotations

import itertools
import os
import shutil
import signal
import socket
import subprocess
import time
from contextlib import suppress
from pathlib import Path

import httpx
import pytest

from tests.e2e.server import ROOT, Server, alive, command_line, descendants, serving
from tests.polling import until

GOLDEN_ENGINE = ROOT / "tests/golden/small"
BODY = {"text": "这个手机质量太差，要求退款", "labels": "投诉,咨询,建议"}


def segments(server: Server) -> set[str]:
    """Shared memory of this server; others may run beside it."""
    return {path.name for path in Path("/dev/shm").glob(f"wanneng_{server.process.pid}_*")}


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_stop_leaves_no_process_and_no_shared_memory(number: int, tmp_path: Path) -> None:
    with serving(tmp_path, GOLDEN_ENGINE) as server:
        assert server.classify(**BODY).status_code == 200
        below = descendants(server.process.pid)
        assert len(below) >= 7, "Triton, its three stubs, the gateway, the control plane and the worker"
        assert segments(server)
        code, _ = server.stop(number)
    assert code == 0
    assert not [pid for pid in below if alive(pid)]
    assert not segments(server)


def test_the_printed_curl_line_works_when_pasted(tmp_path: Path) -> None:
    server = Server(tmp_path, GOLDEN_ENGINE)
    server.start()
    try:
        line = server.wait_until_ready().splitlines()[-1]
        answer = subprocess.run(line, shell=True, capture_output=True, text=True, timeout=30, check=True).stdout
        assert '"labels":["' in answer
    finally:
        server.stop()


def test_a_killed_triton_gives_503_at_once_and_comes_back(tmp_path: Path) -> None:
    with serving(tmp_path, GOLDEN_ENGINE) as server:
        gateway = next(pid for pid in descendants(server.process.pid) if "-m gateway " in command_line(pid))
        before = segments(server)
        os.kill(server.triton_pid(), signal.SIGKILL)
        began = time.monotonic()
        refused = server.classify(**BODY)
        assert refused.status_code == 503
        assert refused.headers["content-type"] == "application/problem+json"
        assert refused.json()["code"] == "triton_unavailable"
        assert int(refused.headers["retry-after"]) >= 1
        assert time.monotonic() - began < 5, "not at once, but after a time-out"
        until(lambda: server.classify(**BODY).status_code == 200, "Triton did not come back")
        assert alive(gateway), "the gateway was restarted"
        assert not before & segments(server), "the dead server's shared memory is still there"


@pytest.mark.parametrize(
    ("model", "harm"), [("structbert", signal.SIGKILL), ("expand", signal.SIGKILL), ("", signal.SIGSTOP)]
)
def test_a_triton_past_help_is_replaced_and_errors_are_prompt_until_then(
    model: str, harm: int, tmp_path: Path
) -> None:
    """Without a Python process it is ready and only fails; stopped, it says nothing at all.

    Seen failing with a supervisor that only waits for Triton to end: the errors go on for ever.
    """
    with serving(tmp_path, GOLDEN_ENGINE) as server:
        old = server.triton_pid()
        harmed = old
        if model:
            # Of a model in several instances, another may still answer.
            harmed = next(
                pid for pid in descendants(old) if f"/models/{model}/" in command_line(pid).partition(" ")[2]
            )
        os.kill(harmed, harm)
        deadline = time.monotonic() + 60
        # A text of its own each time: the cache, or another instance of the old server, answers without a new one.
        for number in itertools.count():
            replaced = not alive(old)
            began = time.monotonic()
            answer = server.classify(**BODY | {"text": f"{BODY['text']} {number}"})
            assert time.monotonic() - began < 11, "longer than the deadline of a request"
            if answer.status_code == 200 and replaced:
                break
            assert answer.status_code == 200 or (answer.status_code, answer.json()["code"]) in {
                (503, "triton_unavailable"),
                (504, "deadline_exceeded"),
            }
            assert time.monotonic() < deadline, "the errors do not end"
            time.sleep(0.1)
        assert server.triton_pid() != old
        code, printed = server.stop()
    assert code == 0
    assert ("Python processes are gone" if model else "Triton did not answer for") in printed


def test_a_killed_gateway_is_started_again(tmp_path: Path) -> None:
    with serving(tmp_path, GOLDEN_ENGINE) as server:
        os.kill(
            next(p for p in descendants(server.process.pid) if "-m gateway " in command_line(p)), signal.SIGKILL
        )
        deadline = time.monotonic() + 60
        while True:
            with suppress(httpx.TransportError):
                if server.classify(**BODY).status_code == 200:
                    break
            assert time.monotonic() < deadline, "the gateway did not come back"
            time.sleep(0.1)


def test_the_control_plane_and_the_worker_give_way_to_classifications(tmp_path: Path) -> None:
    with serving(tmp_path, GOLDEN_ENGINE) as server:
        processes = {
            command_line(pid).partition(" -m ")[2].strip(): pid for pid in descendants(server.process.pid)
        }
        gateway = processes["gateway"]
        for name in ("control_plane serve", "control_plane worker"):
            assert os.getpriority(os.PRIO_PROCESS, processes[name]) > os.getpriority(os.PRIO_PROCESS, gateway)
            assert os.getsid(processes[name]) == os.getsid(gateway), "Linux compares niceness within a session"
            assert os.getpgid(processes[name]) == processes[name], "Ctrl-C would reach it"


def test_a_killed_serve_takes_its_servers_along(tmp_path: Path) -> None:
    server = Server(tmp_path, GOLDEN_ENGINE)
    server.start()
    server.wait_until_ready()
    below = descendants(server.process.pid)
    server.process.kill()
    server.process.communicate(timeout=10)
    deadline = time.monotonic() + 15
    while [pid for pid in below if alive(pid)]:
        assert time.monotonic() < deadline, [command_line(pid) for pid in below if alive(pid)]
        time.sleep(0.1)


def failing(server: Server) -> str:
    """The output of a server that must not come up."""
    server.start()
    printed, _ = server.process.communicate(timeout=60)
    assert server.process.returncode == 1
    assert "Traceback" not in printed
    return printed


@pytest.mark.parametrize(
    ("index", "flag"),
    list(
        enumerate(
            ("--port", "--triton-http-port", "--triton-grpc-port", "--triton-metrics-port", "--control-plane-port")
        )
    ),
)
def test_a_taken_port_is_named_with_the_flag_that_moves_it(index: int, flag: str, tmp_path: Path) -> None:
    server = Server(tmp_path, GOLDEN_ENGINE)
    with socket.socket() as other:
        other.bind(("127.0.0.1", server.ports[index]))
        other.listen()
        printed = failing(server)
    assert f"127.0.0.1:{server.ports[index]}" in printed
    assert flag in printed


@pytest.mark.parametrize("name", ["model.onnx", "tokenizer.json", "engine.json"])
def test_a_missing_engine_file_is_named(name: str, tmp_path: Path) -> None:
    engine = tmp_path / "engine"
    shutil.copytree(GOLDEN_ENGINE, engine)
    (engine / name).unlink()
    printed = failing(Server(tmp_path / "state", engine))
    assert f"{engine / name} is missing" in printed
    assert "--engine" in printed


def test_a_triton_that_cannot_load_is_shown_with_its_last_lines(tmp_path: Path) -> None:
    engine = tmp_path / "engine"
    shutil.copytree(GOLDEN_ENGINE, engine)
    (engine / "model.onnx").write_bytes(b"not a model")
    server = Server(tmp_path / "state", engine)
    printed = failing(server)
    assert "Triton ended with" in printed
    assert "model.onnx cannot be loaded" in printed
    assert not segments(server)
