"""Batches through real processes: nothing lost and nothing twice, whoever is killed."""

from __future__ import annotations

import json
import os
import signal
import time
from pathlib import Path
from typing import Any

import httpx
import pytest

from gateway.stores.database import migrate
from tests.e2e.replicas import GatewayProcess
from tests.e2e.server import Server, command_line, descendants, serving
from tests.gateway.stores.conftest import new_database, postgresql  # noqa: F401 - a fixture

LINES = 5_000
LABELS = ["投诉", "咨询"]
WORDS = ("手机", "物流", "客服", "退款", "电池", "质量", "价格", "发票", "包装", "屏幕")


def text(number: int) -> str:
    """A hundred texts, so that most lines ask for pairs that are known."""
    return f"{WORDS[number % 10]}{WORDS[number // 10 % 10]}太差了"


def content(lines: int) -> bytes:
    body = ({"text": text(number), "labels": LABELS} for number in range(lines))
    made = (
        {"custom_id": f"line-{number}", "method": "POST", "url": "/v1/classify", "body": one}
        for number, one in enumerate(body)
    )
    return b"\n".join(json.dumps(line).encode() for line in made)


def start_batch(client: httpx.Client, lines: int) -> dict[str, Any]:
    file = client.post("/v1/files", files={"file": ("in.jsonl", content(lines))}, data={"purpose": "batch"})
    assert file.status_code == 200, file.text
    body = {"input_file_id": file.json()["id"], "endpoint": "/v1/classify", "completion_window": "24h"}
    batch: dict[str, Any] = client.post("/v1/batches", json=body).json()
    return batch


def wait(client: httpx.Client, batch_id: str, lines: int, status: str = "completed") -> dict[str, Any]:
    """The batch when `lines` lines are answered, or when it is done."""
    deadline = time.monotonic() + 240
    while True:
        try:
            batch: dict[str, Any] = client.get(f"/v1/batches/{batch_id}").json()
        except httpx.TransportError:
            batch = {"status": "unknown"}
        if batch["status"] == status or 0 < lines <= batch.get("request_counts", {"completed": 0})["completed"]:
            return batch
        assert batch["status"] not in {"failed", "expired"}, batch
        assert time.monotonic() < deadline, batch
        time.sleep(0.1)


def kill(server: Server, module: str) -> None:
    (pid,) = [pid for pid in descendants(server.process.pid) if f"-m {module} " in command_line(pid)]
    os.kill(pid, signal.SIGKILL)


@pytest.mark.parametrize("victim", ["gateway", "gateway.worker"])
def test_a_kill_during_a_batch_loses_and_doubles_no_line(tmp_path: Path, victim: str) -> None:
    with serving(tmp_path) as server, httpx.Client(base_url=server.url, timeout=30, trust_env=False) as client:
        batch = start_batch(client, LINES)
        assert wait(client, batch["id"], LINES // 10)["status"] == "in_progress"
        kill(server, victim)
        done = wait(client, batch["id"], 0)
        assert done["request_counts"] == {"total": LINES, "completed": LINES, "failed": 0}
        output = client.get(f"/v1/files/{done['output_file_id']}/content").text
        answers = [json.loads(line) for line in output.splitlines()]
        assert [answer["custom_id"] for answer in answers] == [f"line-{number}" for number in range(LINES)]
        alone = client.post("/v1/classify", json={"text": text(7), "labels": LABELS}).json()
        assert answers[7]["response"]["body"]["labels"] == alone["labels"]
        assert answers[7]["response"]["body"]["scores"] == pytest.approx(alone["scores"], abs=1e-4)


async def test_another_worker_on_the_same_postgresql_goes_on_with_a_killed_ones_batch(
    server: Server,
    tmp_path: Path,
    postgresql: str,  # noqa: F811 - a fixture
) -> None:
    url = await new_database(postgresql)
    await migrate(url)
    settings = {"WANNENG_DATABASE_URL": url}
    gateway = GatewayProcess(f"http://{server.triton_http}", tmp_path, settings=settings)
    gateway.start()
    workers = [gateway.start_worker()]
    try:
        with httpx.Client(base_url=gateway.url, timeout=30, trust_env=False) as client:
            batch = start_batch(client, LINES)
            assert wait(client, batch["id"], LINES // 10)["status"] == "in_progress"
            workers.append(gateway.start_worker())
            workers[0].kill()
            done = wait(client, batch["id"], 0)
            assert done["request_counts"] == {"total": LINES, "completed": LINES, "failed": 0}
            output = client.get(f"/v1/files/{done['output_file_id']}/content").text
        ids = [json.loads(line)["custom_id"] for line in output.splitlines()]
        assert ids == [f"line-{number}" for number in range(LINES)]
        assert workers[1].poll() is None
    finally:
        for worker in workers:
            worker.kill()
            worker.wait()
        gateway.stop()
