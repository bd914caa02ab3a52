"""`/livez`, `/readyz` and `/metrics`, for machines."""

from __future__ import annotations

import asyncio
import json
import re

from gateway.errors import TritonUnavailable
from tests.fakes.backend import FakeBackend
from tests.fakes.gateway import COMPLAINT, add_tenant, bearer, gateway
from tests.fakes.stores import Memory
from tests.problems import assert_problem
from web.server import Draining


async def test_live_before_ready_and_ready_after_an_answer() -> None:
    backend = FakeBackend(failure=TritonUnavailable("starting"))
    async with gateway(backend) as client:
        assert (await client.get("/livez")).status_code == 200
        assert (await client.get("/readyz")).status_code == 503
        backend.failure = None
        async with asyncio.timeout(5):
            while (await client.get("/readyz")).status_code != 200:
                await asyncio.sleep(0.02)


async def test_a_name_without_addresses_is_an_unavailable_classifier() -> None:
    """Such as the Service of a pool that is scaled to zero."""
    async with gateway(triton_url="dns+http://triton.invalid:8000") as client:
        refused = await client.post("/v1/classify", json=COMPLAINT)
        assert_problem(refused, 503, "triton_unavailable")
        assert refused.headers["retry-after"] == "2"
        assert (await client.get("/readyz")).status_code == 503
        assert "wanneng_ready 0.0" in (await client.get("/metrics")).text


async def test_metrics_count_requests_and_pairs_by_known_routes() -> None:
    async with gateway() as client:
        await client.post("/v1/classify", json=COMPLAINT)
        await client.get("/nowhere/" + "x" * 50)
        text = (await client.get("/metrics")).text
    assert 'wanneng_requests_total{route="/v1/classify",status="200"} 1.0' in text
    assert 'wanneng_requests_total{route="unknown",status="404"} 1.0' in text
    assert 'wanneng_pairs_total{source="computed"} 2.0' in text
    assert "wanneng_pairs_in_flight 0.0" in text


async def test_a_gateway_that_is_about_to_stop_is_alive_and_not_ready() -> None:
    draining = Draining()
    async with gateway(draining=draining) as client:
        async with asyncio.timeout(5):
            while (await client.get("/readyz")).status_code != 200:
                await asyncio.sleep(0.02)
        draining.begun = True
        answer = await client.get("/readyz")
        assert (answer.status_code, answer.json()) == (503, {"status": "stopping"})
        assert answer.headers["connection"] == "close"
        assert (await client.get("/livez")).status_code == 200
        assert (await client.post("/v1/classify", json=COMPLAINT)).status_code == 200


async def test_machines_requests_are_neither_counted_nor_logged() -> None:
    lines: list[bytes] = []
    async with gateway(lines=lines) as client:
        for path in ("/livez", "/readyz", "/metrics"):
            await client.get(path)
        text = (await client.get("/metrics")).text
    assert "wanneng_requests_total{" not in text
    assert lines == []


async def test_batch_lines_are_a_route_of_their_own() -> None:
    """Nobody waits for them: they are no latency and no errors of `/v1/classify`."""
    memory, lines = Memory(), list[bytes]()
    add_tenant(memory)
    worker = bearer("w" * 32) | {"X-Wanneng-Tenant": "acme"}
    async with gateway(memory=memory, lines=lines, internal_key="w" * 32) as client:
        await client.post("/v1/classify", json=COMPLAINT, headers=worker)
        await client.post("/v1/classify", json=COMPLAINT | {"labels": []}, headers=worker)
        text = (await client.get("/metrics")).text
    assert 'wanneng_requests_total{route="batch",status="200"} 1.0' in text
    assert 'wanneng_requests_total{route="batch",status="422"} 1.0' in text
    assert not re.search(r'wanneng_request\w+{[^}]*route="/v1/classify"', text)
    assert 'wanneng_tenant_pairs_total{tenant="acme"} 2.0' in text
    logged = [json.loads(line) for line in b"".join(lines).splitlines()]
    assert [(line["route"], line["tenant_id"]) for line in logged] == [("batch", "acme")] * 2
