"""A gateway that is told to stop: it sends its clients away between two requests, never within one."""

from __future__ import annotations

import http.client
import json
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from tests.e2e.replicas import GatewayProcess
from tests.e2e.server import Server

CLIENTS, DRAIN_S, PATIENCE_S = 4, 2.0, 20.0
BODY = json.dumps({"text": "这个手机质量太差，要求退款", "labels": "投诉,咨询"})


@pytest.fixture
def gateway(server: Server, tmp_path: Path) -> Iterator[GatewayProcess]:
    running = GatewayProcess(
        f"http://{server.triton_http}",
        tmp_path,
        settings={"WANNENG_DRAIN_S": str(DRAIN_S)},
        with_control_plane=False,
    )
    running.start()
    yield running
    with suppress(ProcessLookupError):
        running.process.kill()
    running.process.wait()


def ask_until_sent_away(port: int, statuses: list[int], go: threading.Event) -> None:
    """One connection, kept open and never opened again; ends with the answer that closes it."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE_S)
    ends = time.monotonic() + PATIENCE_S
    while time.monotonic() < ends:
        connection.request("POST", "/v1/classify", BODY, {"Content-Type": "application/json"})
        answer = connection.getresponse()
        answer.read()
        statuses.append(answer.status)
        go.set()
        if answer.getheader("Connection") == "close":
            return
        time.sleep(0.05)
    statuses.append(0)


def status_of(port: int, path: str) -> int:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE_S)
    connection.request("GET", path)
    return connection.getresponse().status


def test_clients_that_keep_their_connections_are_sent_away_without_an_error(gateway: GatewayProcess) -> None:
    statuses: list[list[int]] = [[] for _ in range(CLIENTS)]
    asked = [threading.Event() for _ in range(CLIENTS)]
    clients = [
        threading.Thread(target=ask_until_sent_away, args=(gateway.port, received, go))
        for received, go in zip(statuses, asked, strict=True)
    ]
    for client in clients:
        client.start()
    assert all(go.wait(PATIENCE_S) for go in asked)
    gateway.process.send_signal(signal.SIGTERM)
    for client in clients:
        client.join(PATIENCE_S)
    assert {status for received in statuses for status in received} == {200}
    # New connections are taken until the end: a load balancer may not know yet.
    assert status_of(gateway.port, "/readyz") == 503
    assert status_of(gateway.port, "/livez") == 200
    assert gateway.process.wait(PATIENCE_S) == 0


def test_a_second_signal_ends_it_at_once(gateway: GatewayProcess) -> None:
    gateway.process.send_signal(signal.SIGTERM)
    deadline = time.monotonic() + PATIENCE_S
    while status_of(gateway.port, "/readyz") == 200 and time.monotonic() < deadline:
        pass
    gateway.process.send_signal(signal.SIGTERM)
    gateway.process.wait(PATIENCE_S)
    with pytest.raises(ConnectionRefusedError):
        status_of(gateway.port, "/livez")
