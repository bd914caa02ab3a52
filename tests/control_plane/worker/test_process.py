"""A worker as its process runs it: a real database, and a gateway over real HTTP."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.types import Receive, Scope, Send

from control_plane.batches import ENDPOINT, WINDOW, Batches
from control_plane.bootstrap import create_worker
from control_plane.files import Files
from control_plane.settings import SettingsError, WorkerSettings
from control_plane.worker.health import WorkerMetrics, served
from stores.batches import COMPLETED
from stores.budgets import Budget
from stores.clock import SystemClock
from stores.database import Database, migrate
from stores.factory import Stores, sql_stores
from stores.tenants import ACTIVE, Tenant
from stores.usage import DailyUsage
from tests.control_plane.worker.poison import POISON
from tests.e2e.server import free_ports
from tests.fakes.chunks import chunks_of
from tests.fakes.gateway_client import problem
from tests.fakes.server import serving

INTERNAL_KEY = "k" * 32
LINES = 100


async def gateway(scope: Scope, receive: Receive, send: Send) -> None:
    """Knows the internal key and one tenant; answers with the text as the label."""
    if scope["type"] != "http":
        return
    request = Request(scope, receive)
    try:
        text = (await request.json())["text"]
    except (KeyError, TypeError, ValueError):
        await JSONResponse(problem(422, "invalid_request"), 422)(scope, receive, send)
        return
    known = request.headers["authorization"] == f"Bearer {INTERNAL_KEY}"
    status = 200 if known and request.headers["x-wanneng-tenant"] == "t_1" else 401
    await JSONResponse({"labels": [text]}, status)(scope, receive, send)


@pytest.fixture(params=["sqlite", "postgresql"])
async def stores(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[tuple[str, Stores]]:
    """A database with one tenant, and its URL."""
    url = f"sqlite:///{tmp_path}/wanneng.db"
    if request.param == "postgresql":
        url = await request.getfixturevalue("new_database")()
    await migrate(url)
    stores = sql_stores(Database(url))
    await stores.tenants.add(Tenant("t_1", "Acme", ACTIVE, datetime.now(UTC)))
    yield url, stores
    await stores.close()


async def test_a_batch_is_answered_from_upload_to_download_whatever_its_lines_have(
    stores: tuple[str, Stores],
) -> None:
    """Each line that is poison has exactly one error, and everything else is answered."""
    (url, kept), clock = stores, SystemClock()
    files = Files(
        kept.files, clock, max_file_bytes=100_000_000, max_tenant_file_bytes=1_000_000_000, upload_timeout_s=60
    )
    good = [
        json.dumps({"custom_id": f"c{number}", "url": ENDPOINT, "body": {"text": f"文\0{number}"}}).encode()
        for number in range(LINES)
    ]
    content = b"\n".join(good[:1] + list(POISON.values()) + good[1:])
    file = await files.add("t_1", "in.jsonl", chunks_of(content, 1_000_000))
    batches = Batches(kept.batches, kept.files, clock)
    batch = await batches.create("t_1", file.id, ENDPOINT, WINDOW, {}, "")
    stopping, (port,) = asyncio.Event(), free_ports(1)
    async with serving(gateway) as gateway_url:
        process = create_worker(
            WorkerSettings(database_url=url, gateway_url=gateway_url, internal_key=INTERNAL_KEY, worker_port=port)
        )
        running = asyncio.create_task(process.run(stopping))
        async with asyncio.timeout(20):
            while (await batches.get("t_1", batch.id)).status != COMPLETED:
                await asyncio.sleep(0.02)
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}") as client:
            assert (await client.get("/livez")).json() == {"status": "alive"}
            metrics = (await client.get("/metrics")).text.splitlines()
        assert f'wanneng_batch_lines_total{{result="completed"}} {LINES}.0' in metrics
        assert f'wanneng_batch_lines_total{{result="failed"}} {len(POISON)}.0' in metrics
        assert [line for line in metrics if line.startswith("wanneng_batch_turns_total ")] != [
            "wanneng_batch_turns_total 0.0"
        ]
        stopping.set()
        await running
        await process.close()
    done = await batches.get("t_1", batch.id)
    assert (done.total, done.completed, done.failed) == (LINES + len(POISON), LINES, len(POISON))
    read: list[list[dict[str, Any]]] = []
    for file_id in (done.output_file_id, done.error_file_id):
        assert file_id is not None
        output = b"".join([chunk async for chunk in files.content(await files.get("t_1", file_id))])
        read.append([json.loads(line) for line in output.splitlines()])
    results, errors = read
    assert [result["custom_id"] for result in results] == [f"c{number}" for number in range(LINES)]
    assert [result["response"]["body"]["labels"] for result in results] == [[f"文\0{n}"] for n in range(LINES)]
    assert [error["id"] for error in errors] == [f"{batch.id}_{n}" for n in range(1, len(POISON) + 1)]


async def test_a_receiver_hears_of_a_budget_that_is_used_up(stores: tuple[str, Stores]) -> None:
    url, kept = stores
    await kept.tenants.change("t_1", budget=Budget(10, None, "soft"))
    await kept.usage.add([DailyUsage("t_1", datetime.now(UTC).date(), 1, 9, 0)])
    heard: list[dict[str, Any]] = []

    async def receiver(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            heard.append(await Request(scope, receive).json())
            await JSONResponse({})(scope, receive, send)

    stopping = asyncio.Event()
    async with serving(receiver) as webhook_url:
        settings = WorkerSettings(
            database_url=url,
            internal_key=INTERNAL_KEY,
            budget_webhook_url=webhook_url,
            budget_webhook_secret="s" * 32,
        )
        assert "sss" not in repr(settings)
        process = create_worker(settings)
        running = asyncio.create_task(process.run(stopping))
        async with asyncio.timeout(20):
            while not heard:
                await asyncio.sleep(0.02)
        stopping.set()
        await running
        await process.close()
    (message,) = heard
    assert (message["type"], message["data"]["percent"], message["data"]["used"]) == ("budget.reached", 80, 9)


async def test_a_port_that_is_in_use_is_named_with_its_setting() -> None:
    with socket.create_server(("0.0.0.0", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(SettingsError, match=rf"WANNENG_WORKER_PORT: .* port {port}: Address already in use; "):
            async with served(port, WorkerMetrics()):
                pass
