"""A worker as its process runs it: SQLite, and a gateway over real HTTP."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.types import Receive, Scope, Send

from control_plane.batches import ENDPOINT, WINDOW, Batches
from control_plane.bootstrap import create_worker
from control_plane.files import Files
from control_plane.settings import WorkerSettings
from stores.batches import COMPLETED
from stores.clock import SystemClock
from stores.database import Database
from stores.factory import sql_stores
from stores.tenants import ACTIVE, Tenant
from tests.fakes.chunks import chunks_of
from tests.fakes.server import serving

INTERNAL_KEY = "k" * 32
LINES = 100


async def gateway(scope: Scope, receive: Receive, send: Send) -> None:
    """Knows the internal key and one tenant; answers with the text as the label."""
    if scope["type"] != "http":
        return
    request = Request(scope, receive)
    text = (await request.json())["text"]
    known = request.headers["authorization"] == f"Bearer {INTERNAL_KEY}"
    status = 200 if known and request.headers["x-wanneng-tenant"] == "t_1" else 401
    await JSONResponse({"labels": [text]}, status)(scope, receive, send)


async def test_a_batch_is_answered_from_upload_to_download(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/wanneng.db"
    database, clock = Database(url), SystemClock()
    await database.prepare()
    stores = sql_stores(database)
    await stores.tenants.add(Tenant("t_1", "Acme", ACTIVE, clock.now()))
    files = Files(
        stores.files, clock, max_file_bytes=1_000_000, max_tenant_file_bytes=1_000_000, upload_timeout_s=60
    )
    lines = [
        {"custom_id": f"c{number}", "url": ENDPOINT, "body": {"text": f"文{number}"}} for number in range(LINES)
    ]
    content = "\n".join(json.dumps(line) for line in lines).encode()
    file = await files.add("t_1", "in.jsonl", chunks_of(content, 1_000))
    batches = Batches(stores.batches, stores.files, clock)
    batch = await batches.create("t_1", file.id, ENDPOINT, WINDOW, {}, "")
    stopping = asyncio.Event()
    async with serving(gateway) as gateway_url:
        process = create_worker(
            WorkerSettings(database_url=url, gateway_url=gateway_url, internal_key=INTERNAL_KEY)
        )
        running = asyncio.create_task(process.run(stopping))
        async with asyncio.timeout(20):
            while (await batches.get("t_1", batch.id)).status != COMPLETED:
                await asyncio.sleep(0.02)
        stopping.set()
        await running
        await process.close()
    done = await batches.get("t_1", batch.id)
    assert done.output_file_id is not None
    output = b"".join([chunk async for chunk in files.content(await files.get("t_1", done.output_file_id))])
    results = [json.loads(line) for line in output.splitlines()]
    assert [result["custom_id"] for result in results] == [f"c{number}" for number in range(LINES)]
    assert [result["response"]["body"]["labels"] for result in results] == [[f"文{n}"] for n in range(LINES)]
    await stores.close()
