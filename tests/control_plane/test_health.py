"""What machines ask every few seconds."""

from __future__ import annotations

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
