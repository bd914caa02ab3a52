"""A request that was answered before is treated as any other."""

from __future__ import annotations

import asyncio
import gzip
import json
from typing import Any

from stores.tenants import SUSPENDED
from tests.fakes.backend import FakeBackend
from tests.fakes.clock import FakeClock
from tests.fakes.gateway import COMPLAINT, add_key, add_label_set, add_tenant, gateway
from tests.fakes.stores import Memory
from tests.problems import assert_problem

REQUESTS = 5
"""From the third on the answer is known."""


async def test_known_answers_are_equal_but_for_the_id_of_the_request() -> None:
    memory = Memory()
    add_label_set(memory, ['a "request_id":"" b', "投诉"])
    async with gateway(memory=memory) as client:
        for body in (COMPLAINT, {"texts": ["投诉", "咨询"], "label_set": "tickets"}):
            answers = [
                (await client.post("/v1/classify", json=body, headers={"X-Request-Id": f"id-{number}"})).json()
                for number in range(REQUESTS)
            ]
            assert [answer.pop("request_id") for answer in answers] == [f"id-{n}" for n in range(REQUESTS)]
            assert answers[0]["pairs"]["computed"] > 0
            assert answers[1:] == [answers[1]] * (REQUESTS - 1)
            assert answers[1]["pairs"] == {"computed": 0, "cached": answers[0]["pairs"]["computed"]}


async def test_each_known_answer_is_logged_and_counted() -> None:
    lines: list[bytes] = []
    memory = Memory()
    headers = add_key(memory, add_tenant(memory, pairs_per_minute=100))
    add_label_set(memory, ["投诉", "咨询"], tenant_id="acme")
    body = {"text": "我要投诉", "label_set": "tickets"}
    async with gateway(memory=memory, lines=lines) as client:
        responses = [await client.post("/v1/classify", json=body, headers=headers) for _ in range(REQUESTS)]
        metrics = (await client.get("/metrics")).text
    assert {response.headers["ratelimit"] for response in responses} == {'"pairs";r=98;t=2'}
    logged = [json.loads(line) for line in b"".join(lines).splitlines()]
    unlike = {"request_id", "seconds", "time"}
    cached = [{name: value for name, value in line.items() if name not in unlike} for line in logged[1:]]
    assert cached == [cached[0]] * (REQUESTS - 1)
    assert (cached[0]["labels"], cached[0]["texts"], cached[0]["pairs_cached"]) == (2, 1, 2)
    assert 'wanneng_pairs_total{source="cached"} 8.0' in metrics
    assert 'wanneng_tenant_requests_total{outcome="answered",tenant="acme"} 5.0' in metrics
    (usage,) = memory.usage.values()
    assert (usage.requests, usage.pairs_computed, usage.pairs_cached) == (REQUESTS, 2, 8)


async def test_a_known_answer_takes_from_the_quotas() -> None:
    memory = Memory()
    by_requests = add_key(memory, add_tenant(memory, "one", requests_per_minute=4))
    by_pairs = add_key(memory, add_tenant(memory, "two", pairs_per_minute=5))
    async with gateway(memory=memory, cached_pair_cost=0.5) as client:
        for headers in (by_requests, by_pairs):
            answers = [
                (await client.post("/v1/classify", json=COMPLAINT, headers=headers)).status_code for _ in range(5)
            ]
            assert answers == [200] * 4 + [429]


async def test_a_suspended_tenant_gets_no_known_answer() -> None:
    memory, clock = Memory(), FakeClock()
    headers = add_key(memory, add_tenant(memory))
    async with gateway(memory=memory, clock=clock, key_cache_ttl_s=5, require_key=True) as client:
        for _ in range(3):
            assert (await client.post("/v1/classify", json=COMPLAINT, headers=headers)).status_code == 200
        add_tenant(memory, status=SUSPENDED)
        clock.advance(6)
        assert_problem(await client.post("/v1/classify", json=COMPLAINT, headers=headers), 401, "unauthorized")


async def test_a_deleted_label_set_is_not_found_though_its_answers_were_known() -> None:
    memory, clock = Memory(), FakeClock()
    add_label_set(memory, ["投诉", "咨询"])
    body = {"text": "我要投诉", "label_set": "tickets"}
    async with gateway(memory=memory, clock=clock, key_cache_ttl_s=5) as client:
        for _ in range(3):
            assert (await client.post("/v1/classify", json=body)).status_code == 200
        memory.latest["local", "tickets"] = (1, False)
        clock.advance(6)
        assert_problem(await client.post("/v1/classify", json=body), 404, "not_found")


async def test_options_of_the_caller_come_before_a_known_answer() -> None:
    backend = FakeBackend()
    async with gateway(backend) as client:
        for _ in range(3):
            await client.post("/v1/classify", json=COMPLAINT)
        fresh: dict[str, Any] = {"Cache-Control": "no-cache"}
        answer = (await client.post("/v1/classify", json=COMPLAINT, headers=fresh)).json()
        assert answer["pairs"] == {"computed": 2, "cached": 0}
        refused = await client.post("/v1/classify", json=COMPLAINT, headers={"X-Request-Timeout": "none"})
        assert_problem(refused, 422, "invalid_request")
    assert backend.pairs_computed == 4


async def test_bodies_that_wait_to_be_decoded_count_as_memory() -> None:
    """Seen failing: they were released as soon as they had come, and 256 of 4 MB ended a gateway."""
    content = gzip.compress(json.dumps(COMPLAINT).encode() + b" " * 400_000)
    headers = {"Content-Encoding": "gzip", "Content-Type": "application/json"}
    async with gateway(max_body_bytes=500_000, max_unfinished_bytes=1_000_000) as client:
        asked = [client.post("/v1/classify", content=content, headers=headers) for _ in range(8)]
        statuses = [response.status_code for response in await asyncio.gather(*asked)]
    assert set(statuses) == {200, 408}
