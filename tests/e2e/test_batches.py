"""Batches through real processes: no line is lost and none is answered twice, whichever process is killed."""

from __future__ import annotations

import os
import signal
from collections.abc import Awaitable, Callable
from pathlib import Path

import httpx
import pytest

from stores.database import migrate
from tests.e2e.batches import (
    answers_of,
    assert_each_line_is_answered_once,
    create_batch,
    wait_for_end,
    wait_for_lines,
)
from tests.e2e.replicas import GatewayProcess
from tests.e2e.server import Server, command_line, descendants, serving

LINES = 5_000
LABELS = ["投诉", "咨询"]
WORDS = ("手机", "物流", "客服", "退款", "电池", "质量", "价格", "发票", "包装", "屏幕")
BODIES = [
    # A hundred texts, so that most lines ask for pairs that are known.
    {"text": f"{WORDS[number % 10]}{WORDS[number // 10 % 10]}太差了", "labels": LABELS}
    for number in range(LINES)
]


def kill(server: Server, module: str) -> None:
    (pid,) = [pid for pid in descendants(server.process.pid) if f"-m {module} " in command_line(pid)]
    os.kill(pid, signal.SIGKILL)


@pytest.mark.parametrize("victim", ["gateway", "control_plane serve", "control_plane worker"])
def test_a_kill_during_a_batch_loses_and_doubles_no_line(tmp_path: Path, victim: str) -> None:
    with serving(tmp_path) as server, httpx.Client(base_url=server.url, timeout=30, trust_env=False) as client:
        batch_id = create_batch(client, BODIES)
        assert wait_for_lines(client, batch_id, LINES // 10)["status"] == "in_progress"
        kill(server, victim)
        batch = wait_for_end(client, batch_id)
        assert_each_line_is_answered_once(client, batch, LINES)
        alone = client.post("/v1/classify", json=BODIES[7]).json()
        in_batch = answers_of(client, batch)[7]["response"]["body"]
        assert in_batch["labels"] == alone["labels"]
        assert in_batch["scores"] == pytest.approx(alone["scores"], abs=1e-4)


async def test_another_worker_on_the_same_postgresql_goes_on_with_a_killed_ones_batch(
    server: Server, tmp_path: Path, new_database: Callable[[], Awaitable[str]]
) -> None:
    url = await new_database()
    await migrate(url)
    gateway = GatewayProcess(f"http://{server.triton_http}", tmp_path, settings={"WANNENG_DATABASE_URL": url})
    gateway.start()
    workers = [gateway.start_worker()]
    try:
        with httpx.Client(base_url=gateway.url, timeout=30, trust_env=False) as client:
            batch_id = create_batch(client, BODIES)
            assert wait_for_lines(client, batch_id, LINES // 10)["status"] == "in_progress"
            workers.append(gateway.start_worker())
            workers[0].kill()
            batch = wait_for_end(client, batch_id)
            assert_each_line_is_answered_once(client, batch, LINES)
        assert workers[1].poll() is None
    finally:
        for worker in workers:
            worker.kill()
            worker.wait()
        gateway.stop()
