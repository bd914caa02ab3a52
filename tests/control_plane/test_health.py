"""What machines ask every few seconds."""

from __future__ import annotations

import asyncio
from datetime import timedelta

from stores.batches import IN_PROGRESS, Batch
from stores.tenants import ACTIVE, Quota, Tenant
from tests.fakes.clock import FakeClock
from tests.fakes.control_plane_app import LOCAL, control_plane
from tests.fakes.stores import Memory
from web.server import Draining


async def test_the_process_is_ready_while_its_database_answers() -> None:
    memory = Memory()
    async with control_plane(memory) as client:
        assert (await client.get("/readyz")).status_code == 200
        memory.down = True
        refused = await client.get("/readyz")
        assert (refused.status_code, refused.json()) == (503, {"status": "the database does not answer"})
        assert (await client.get("/livez")).status_code == 200


async def test_a_process_that_is_about_to_stop_is_alive_and_not_ready() -> None:
    draining = Draining()
    async with control_plane(draining=draining) as client:
        draining.begun = True
        assert (await client.get("/readyz")).status_code == 503
        alive = await client.get("/livez")
        assert (alive.status_code, alive.headers["connection"]) == (200, "close")


async def test_requests_are_counted_and_logged_and_those_of_machines_are_not() -> None:
    lines: list[bytes] = []
    async with control_plane(lines=lines, headers=LOCAL) as client:
        for path in ("/livez", "/readyz", "/v1/files", "/nowhere"):
            await client.get(path)
        metrics = (await client.get("/metrics")).text
    assert 'wanneng_requests_total{route="/v1/files",status="200"} 1.0' in metrics
    assert 'wanneng_requests_total{route="unknown",status="404"} 1.0' in metrics
    assert "livez" not in metrics
    log = b"".join(lines).decode().splitlines()
    assert len(log) == 2
    assert '"route":"/v1/files"' in log[0]
    assert '"tenant_id":"local"' in log[0]


async def test_what_workers_have_to_do_is_known_without_a_worker_and_without_the_database() -> None:
    memory, clock = Memory(), FakeClock()
    memory.tenants["acme"] = Tenant("acme", "acme", ACTIVE, clock.now(), Quota())
    created = clock.now() - timedelta(hours=2)
    batch = Batch("b", "acme", "f", IN_PROGRESS, created, clock.now() + timedelta(days=1), total=7, completed=2)
    memory.batches["b"] = batch

    async def counted() -> list[str]:
        for _ in range(100):
            lines = (await client.get("/metrics")).text.splitlines()
            if "wanneng_batches_unfinished 1.0" in lines:
                return lines
            await asyncio.sleep(0.01)
        raise AssertionError(lines)

    async with control_plane(memory, clock=clock) as client:
        lines = await counted()
        memory.down = True
        assert "wanneng_batch_lines_unfinished 5.0" in lines
        assert "wanneng_oldest_batch_age_seconds 7200.0" in lines
        assert "wanneng_batches_unfinished 1.0" in (await client.get("/metrics")).text.splitlines()


async def test_tenants_are_named_in_metrics_where_the_operator_allows_it() -> None:
    memory, clock = Memory(), FakeClock()
    for number in range(230):
        name = f'Acme "{number}"\\'
        memory.tenants[f"t{number}"] = Tenant(f"t{number}", name, ACTIVE, clock.now(), Quota())

    def named(text: str) -> list[str]:
        return [line for line in text.splitlines() if line.startswith("wanneng_tenant_info{")]

    async with control_plane(memory, clock=clock) as client:
        assert named((await client.get("/metrics")).text) == []
    async with control_plane(memory, clock=clock, tenant_names_in_metrics=True) as client:
        for _ in range(100):
            series = named((await client.get("/metrics")).text)
            if series:
                break
            await asyncio.sleep(0.01)
        memory.down = True
        assert named((await client.get("/metrics")).text) == series
    assert len(series) == 230
    assert 'wanneng_tenant_info{name="Acme \\"7\\"\\\\",tenant="t7"} 1.0' in series


async def test_metrics_have_a_port_of_their_own_where_one_is_set() -> None:
    """So that whoever may scrape them need not reach the API."""
    async with control_plane(control_plane_internal_port=8082) as client:
        assert (await client.get("/metrics")).status_code == 404
        assert (await client.get("/livez")).status_code == 200
        internal = "http://control-plane:8082"
        assert "wanneng_batches_unfinished" in (await client.get(f"{internal}/metrics")).text
        assert (await client.get(f"{internal}/v1/tenants")).status_code == 404
