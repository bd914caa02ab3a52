"""Quotas through the whole application: headers, refusals, and what known pairs cost."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from tests.gateway.test_api import assert_problem
from tests.gateway.test_tenant_api import OPERATOR, bearer, gateway, new_key, new_tenant

TWO_PAIRS: dict[str, Any] = {"text": "我要投诉", "labels": ["投诉", "咨询"]}


async def with_quota(client: httpx.AsyncClient, name: str = "Acme", **quota: int) -> dict[str, str]:
    """The header of a tenant with this quota."""
    tenant = await new_tenant(client, name)
    done = await client.put(f"/v1/tenants/{tenant}/quota", json=quota, headers=OPERATOR)
    assert done.status_code == 200, done.text
    return bearer((await new_key(client, tenant))["key"])


async def test_a_used_up_quota_is_a_429_with_the_time_to_wait_and_another_tenant_goes_on() -> None:
    async with gateway() as client:
        key, other = (
            await with_quota(client, pairs_per_minute=4),
            await with_quota(client, "b", pairs_per_minute=4),
        )
        for text, left in (("a", 2), ("b", 0)):
            answer = await client.post("/v1/classify", json=TWO_PAIRS | {"text": text}, headers=key)
            assert answer.headers["ratelimit-policy"] == '"pairs";q=4;w=60'
            assert answer.headers["ratelimit"].startswith(f'"pairs";r={left};t=')
        refused = await client.post("/v1/classify", json=TWO_PAIRS | {"text": "c"}, headers=key)
        problem = assert_problem(refused, 429, "quota_exceeded")
        assert problem["detail"] == "the quota is 4 pairs a minute"
        assert 25 <= int(refused.headers["retry-after"]) <= 30
        assert refused.headers["ratelimit"].startswith('"pairs";r=0;')
        assert (await client.post("/v1/classify", json=TWO_PAIRS, headers=other)).status_code == 200


async def test_known_pairs_cost_nothing_unless_the_operator_says_so() -> None:
    for cost, left in ((0.0, 2), (0.5, 1)):
        async with gateway(cached_pair_cost=cost) as client:
            key = await with_quota(client, pairs_per_minute=4)
            for _ in range(2):
                answer = await client.post("/v1/classify", json=TWO_PAIRS, headers=key)
            assert answer.json()["pairs"] == {"computed": 0, "cached": 2}
            assert answer.headers["ratelimit"].startswith(f'"pairs";r={left};')


async def test_requests_have_a_quota_of_their_own() -> None:
    async with gateway(requests_per_minute=2) as client:
        key = bearer((await new_key(client, await new_tenant(client)))["key"])
        statuses = [(await client.post("/v1/classify", json=TWO_PAIRS, headers=key)).status_code for _ in range(3)]
    assert statuses == [200, 200, 429]


async def test_counting_tokens_takes_a_request_and_no_pairs() -> None:
    async with gateway(requests_per_minute=2, pairs_per_minute=1) as client:
        key = bearer((await new_key(client, await new_tenant(client)))["key"])
        statuses = [(await client.post("/v1/tokenize", json=TWO_PAIRS, headers=key)).status_code for _ in range(3)]
    assert statuses == [200, 200, 429]


async def test_a_tenants_own_quota_goes_before_the_gateways() -> None:
    async with gateway(pairs_per_minute=2) as client:
        key = await with_quota(client, pairs_per_minute=100)
        for text in "abc":
            answer = await client.post("/v1/classify", json=TWO_PAIRS | {"text": text}, headers=key)
            assert answer.status_code == 200


async def test_more_than_the_quota_at_once_is_refused_without_a_time_to_wait() -> None:
    async with gateway() as client:
        key = await with_quota(client, pairs_per_minute=1)
        refused = await client.post("/v1/classify", json=TWO_PAIRS, headers=key)
    assert_problem(refused, 429, "quota_exceeded")
    assert "retry-after" not in refused.headers


async def test_a_refused_request_takes_no_quota_and_no_place() -> None:
    """Neither the quota of what is refused for load, nor the place of what is refused for its quota."""
    async with gateway(max_pairs_in_flight=2) as client:
        key = await with_quota(client, pairs_per_minute=3)
        crowded = {"text": "x", "labels": ["a", "b", "c"]}
        assert_problem(await client.post("/v1/classify", json=crowded, headers=key), 503, "overloaded")
        assert (await client.post("/v1/classify", json=TWO_PAIRS, headers=key)).status_code == 200
        for _ in range(3):
            beyond = await client.post("/v1/classify", json=TWO_PAIRS | {"text": "y"}, headers=key)
            assert_problem(beyond, 429, "quota_exceeded")
        one = {"text": "y", "labels": ["a"]}
        assert (await client.post("/v1/classify", json=one, headers=key)).status_code == 200
        assert "wanneng_pairs_in_flight 0.0" in (await client.get("/metrics")).text


@pytest.mark.parametrize(
    "quota", [{"pairs_per_minute": 0}, {"requests_per_minute": -1}, {"pairs_per_minute": 10**10}]
)
async def test_a_quota_is_a_positive_number(quota: dict[str, int]) -> None:
    async with gateway() as client:
        tenant = await new_tenant(client)
        refused = await client.put(f"/v1/tenants/{tenant}/quota", json=quota, headers=OPERATOR)
        problem = assert_problem(refused, 422, "invalid_request")
    assert problem["field"] in quota


async def test_pairs_in_flight_have_a_quota_of_their_own() -> None:
    async with gateway(tenant_pairs_in_flight=1) as client:
        key = bearer((await new_key(client, await new_tenant(client)))["key"])
        refused = await client.post("/v1/classify", json=TWO_PAIRS, headers=key)
        assert_problem(refused, 429, "quota_exceeded")
        wider = await with_quota(client, "b", pairs_in_flight=2)
        assert (await client.post("/v1/classify", json=TWO_PAIRS, headers=wider)).status_code == 200
        metrics = (await client.get("/metrics")).text
    assert "wanneng_pairs_refused_total 2.0" in metrics
