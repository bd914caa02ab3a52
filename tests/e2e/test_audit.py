"""A control plane that is killed while it acts loses no act that it has answered."""

from __future__ import annotations

import asyncio
import itertools
import os
import signal
import subprocess
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path

import httpx
from msgspec import structs

from stores.audit import AuditFilter, canonical
from stores.database import Database, migrate
from stores.factory import sql_stores
from tests.e2e.server import free_ports
from wanneng import verify_chain

ROOT = Path(__file__).parents[2]
ADMIN_KEY = "a" * 40
OPERATOR = {"Authorization": f"Bearer {ADMIN_KEY}"}
ROUNDS, ANSWERS = 2, 20
"""Kills, and answered acts before each."""


async def test_no_answered_act_is_lost_when_the_control_plane_is_killed(
    new_database: Callable[[], Awaitable[str]],
) -> None:
    url = await new_database()
    environment = {"PATH": os.environ["PATH"], "WANNENG_DATABASE_URL": url, "WANNENG_ADMIN_KEY": ADMIN_KEY}
    program = [sys.executable, "-m", "control_plane"]
    await migrate(url)
    answered: list[str] = []
    names = itertools.count()
    for round_number in range(ROUNDS):
        port = free_ports(1)[0]
        process = subprocess.Popen(
            [*program, "serve"],
            cwd=ROOT,
            env=environment | {"WANNENG_CONTROL_PLANE_PORT": str(port)},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", headers=OPERATOR) as client:
                await _ready(client)
                wanted = (round_number + 1) * ANSWERS
                askers = [asyncio.create_task(_create(client, names, answered)) for _ in range(4)]
                async with asyncio.timeout(120):
                    while len(answered) < wanted:
                        await asyncio.sleep(0.01)
                process.send_signal(signal.SIGKILL)
                await asyncio.gather(*askers)
        finally:
            process.kill()
            process.wait(30)
    stores = sql_stores(Database(url))
    records = await stores.audit.read(AuditFilter(), 10_000)
    created = {record.object.removeprefix("tenant/") for record in records if record.verb == "tenant.create"}
    assert set(answered) <= created
    # And no act is recorded that was not done.
    for tenant_id in created:
        assert await stores.tenants.get(tenant_id) is not None
    await stores.close()
    verified = verify_chain(canonical(structs.asdict(record)) for record in records)
    assert verified.records >= ROUNDS * ANSWERS


async def _ready(client: httpx.AsyncClient) -> None:
    async with asyncio.timeout(120):
        while True:
            try:
                if (await client.get("/readyz")).status_code == httpx.codes.OK:
                    return
            except httpx.TransportError:
                pass
            await asyncio.sleep(0.1)


async def _create(client: httpx.AsyncClient, names: itertools.count[int], answered: list[str]) -> None:
    """Tenants one after another, until the control plane is gone."""
    while True:
        try:
            answer = await client.post("/v1/tenants", json={"name": f"tenant {next(names)}"})
        except httpx.TransportError:
            return
        assert answer.status_code == httpx.codes.CREATED, answer.text
        answered.append(answer.json()["id"])
