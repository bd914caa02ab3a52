"""Quotas through the whole application: headers, refusals, and what known pairs cost."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import httpx

from gateway.classification.tokens import MIN_PAIR_TOKENS
from tests.fakes.gateway import COMPLAINT, add_key, add_tenant, gateway
from tests.fakes.stores import Memory
from tests.problems import assert_problem


@dataclass
class World:
    """A gateway that asks for keys."""

    client: httpx.AsyncClient
    memory: Memory = field(default_factory=Memory)

    def key(self, name: str = "acme", **quota: Any) -> dict[str, str]:
        """The header of a new tenant with this quota."""
        return add_key(self.memory, add_tenant(self.memory, name, **quota))

    async def classify(self, key: dict[str, str], **change: Any) -> httpx.Response:
        return await self.client.post("/v1/classify", json=COMPLAINT | change, headers=key)


@asynccontextmanager
async def world_of(**settings: Any) -> AsyncIterator[World]:
    memory = Memory()
    async with gateway(memory=memory, require_key=True, **settings) as client:
        yield World(client, memory)


async def test_a_used_up_quota_is_a_429_with_the_time_to_wait_and_another_tenant_goes_on() -> None:
    async with world_of() as world:
        key, other = world.key(pairs_per_minute=4), world.key("other", pairs_per_minute=4)
        for text, left in (("a", 2), ("b", 0)):
            answer = await world.classify(key, text=text)
            assert answer.headers["ratelimit-policy"] == '"pairs";q=4;w=60'
            assert answer.headers["ratelimit"].startswith(f'"pairs";r={left};t=')
        refused = await world.classify(key, text="c")
        problem = assert_problem(refused, 429, "quota_exceeded")
        assert problem["detail"] == "the quota is 4 pairs a minute"
        assert 25 <= int(refused.headers["retry-after"]) <= 30
        assert refused.headers["ratelimit"].startswith('"pairs";r=0;')
        assert (await world.classify(other)).status_code == 200


async def test_known_pairs_cost_nothing_unless_the_operator_says_so() -> None:
    for cost, left in ((0.0, 2), (0.5, 1)):
        async with world_of(cached_pair_cost=cost) as world:
            key = world.key(pairs_per_minute=4)
            for _ in range(2):
                answer = await world.classify(key)
            assert answer.json()["pairs"] == {"computed": 0, "cached": 2}
            assert answer.headers["ratelimit"].startswith(f'"pairs";r={left};')


async def test_requests_have_a_quota_of_their_own() -> None:
    async with world_of(requests_per_minute=2) as world:
        key = world.key()
        statuses = [(await world.classify(key)).status_code for _ in range(3)]
    assert statuses == [200, 200, 429]


async def test_counting_tokens_takes_a_request_and_no_pairs() -> None:
    async with world_of(requests_per_minute=2, pairs_per_minute=1) as world:
        key = world.key()
        statuses = [
            (await world.client.post("/v1/tokenize", json=COMPLAINT, headers=key)).status_code for _ in range(3)
        ]
    assert statuses == [200, 200, 429]


async def test_a_tenants_own_quota_goes_before_the_gateways() -> None:
    async with world_of(pairs_per_minute=2) as world:
        key = world.key(pairs_per_minute=100)
        for text in "abc":
            assert (await world.classify(key, text=text)).status_code == 200


async def test_more_than_the_quota_at_once_is_refused_without_a_time_to_wait() -> None:
    async with world_of() as world:
        refused = await world.classify(world.key(pairs_per_minute=1))
    assert_problem(refused, 429, "quota_exceeded")
    assert "retry-after" not in refused.headers


async def test_a_refused_request_takes_no_quota_and_no_room() -> None:
    """Neither the quota of what is refused for load, nor the room of what is refused for its quota."""
    async with world_of(max_tokens_in_flight=MIN_PAIR_TOKENS * 2) as world:
        key = world.key(pairs_per_minute=3)
        assert_problem(await world.classify(key, text="x", labels=["a", "b", "c"]), 503, "overloaded")
        assert (await world.classify(key)).status_code == 200
        for _ in range(3):
            assert_problem(await world.classify(key, text="y"), 429, "quota_exceeded")
        assert (await world.classify(key, text="y", labels=["a"])).status_code == 200
        assert "wanneng_pairs_in_flight 0.0" in (await world.client.get("/metrics")).text


async def test_pairs_in_flight_have_a_quota_of_their_own() -> None:
    async with world_of(tenant_pairs_in_flight=1) as world:
        assert_problem(await world.classify(world.key()), 429, "quota_exceeded")
        assert (await world.classify(world.key("wider", pairs_in_flight=2))).status_code == 200
        metrics = (await world.client.get("/metrics")).text
    assert "wanneng_pairs_refused_total 2.0" in metrics


async def test_a_batch_line_takes_from_its_tenants_quota() -> None:
    async with world_of(internal_key="w" * 32) as world:
        key = world.key(pairs_per_minute=4)
        worker = {"Authorization": f"Bearer {'w' * 32}", "X-Wanneng-Tenant": "acme"}
        assert (await world.classify(worker, text="a")).headers["ratelimit"].startswith('"pairs";r=2;')
        assert (await world.classify(key, text="b")).headers["ratelimit"].startswith('"pairs";r=0;')
        refused = await world.classify(worker, text="c")
        assert_problem(refused, 429, "quota_exceeded")
        assert 25 <= int(refused.headers["retry-after"]) <= 30
