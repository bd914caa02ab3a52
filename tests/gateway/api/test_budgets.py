"""Budgets through the whole application: headers, refusals, keys, and what is free."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from stores.budgets import Budget
from stores.tenants import CLASSIFY
from tests.fakes.backend import FakeBackend
from tests.fakes.clock import FakeClock
from tests.fakes.gateway import COMPLAINT, add_key, add_tenant, bearer, gateway
from tests.fakes.stores import Memory
from tests.problems import assert_problem
from web.authentication import KEY_HEADER, TENANT_HEADER

INTERNAL_KEY = "the-internal-key-0123456789-abcdef"
HEADER = "x-wanneng-budget"
MONTH_S = 31 * 86_400


async def ask(client: httpx.AsyncClient, key: dict[str, str], text: str = "a", **change: Any) -> httpx.Response:
    """Two pairs."""
    return await client.post("/v1/classify", json=COMPLAINT | {"text": text} | change, headers=key)


async def test_a_used_up_budget_is_a_429_until_the_month_ends_and_cached_pairs_are_free() -> None:
    memory, clock = Memory(), FakeClock()
    tenant = add_tenant(memory, budget=Budget(5))
    key, other = add_key(memory, tenant), add_key(memory, add_tenant(memory, "other", budget=Budget(5)))
    async with gateway(memory=memory, clock=clock, require_key=True) as client:
        clock.advance(86_400)
        assert HEADER not in (await ask(client, key)).headers
        told = (await ask(client, key, "b")).headers[HEADER]
        assert told == 'tenant-pairs;limit=5;used=4;renewed="2030-02-01T00:00:00Z"'
        refused = await ask(client, key, "c")
        problem = assert_problem(refused, 429, "budget_exceeded")
        assert "5 pairs a month, and 1 are left" in problem["detail"]
        assert "renewed at 2030-02-01T00:00:00Z" in problem["detail"]
        assert int(refused.headers["retry-after"]) == MONTH_S - 86_400
        assert refused.headers[HEADER] == told
        assert (await ask(client, key)).json()["pairs"] == {"computed": 0, "cached": 2}
        assert (await ask(client, key, "c", labels=["d"])).status_code == 200
        assert (await ask(client, other)).status_code == 200
        metrics = (await client.get("/metrics")).text
        assert 'wanneng_budget_exceeded_requests_total{enforcement="hard"} 1.0' in metrics
        clock.advance(MONTH_S - 86_400)
        assert (await ask(client, key, "c")).status_code == 200


@pytest.mark.parametrize(("enforcement", "is_told"), [("soft", True), ("shadow", False)])
async def test_soft_and_shadow_budgets_refuse_nothing(enforcement: Any, is_told: bool) -> None:
    memory = Memory()
    key = add_key(memory, add_tenant(memory, budget=Budget(3, None, enforcement)))
    async with gateway(memory=memory, require_key=True) as client:
        answers = [await ask(client, key, text) for text in ("a", "b", "c")]
        assert [answer.status_code for answer in answers] == [200, 200, 200]
        assert (HEADER in answers[-1].headers) is is_told
        metrics = (await client.get("/metrics")).text
    assert f'wanneng_budget_exceeded_requests_total{{enforcement="{enforcement}"}} 2.0' in metrics


async def test_a_key_has_a_budget_of_its_own_beside_the_tenants() -> None:
    memory = Memory()
    tenant = add_tenant(memory, budget=Budget(6))
    narrow, wide = add_key(memory, tenant, budget=Budget(2)), add_key(memory, tenant)
    async with gateway(memory=memory, require_key=True) as client:
        assert (await ask(client, narrow)).headers[HEADER].startswith("key-pairs;limit=2;used=2;")
        assert (
            "the key's budget" in assert_problem(await ask(client, narrow, "b"), 429, "budget_exceeded")["detail"]
        )
        assert (await ask(client, wide, "b")).status_code == 200
        assert (await ask(client, wide, "c")).status_code == 200
        refused = await ask(client, wide, "d")
        assert "the tenant's budget" in assert_problem(refused, 429, "budget_exceeded")["detail"]


async def test_tokens_are_reserved_by_an_estimate_and_charged_as_the_engine_counts_them() -> None:
    memory = Memory()
    key = add_key(memory, add_tenant(memory, budget=Budget(None, 80)))
    async with gateway(memory=memory, require_key=True) as client:
        spent = 0
        for number in range(20):
            answer = await ask(client, key, f"{number:02}")
            if answer.status_code != 200:
                break
            spent += answer.json()["usage"]["total_tokens"]
    assert_problem(answer, 429, "budget_exceeded")
    assert 80 - 64 < spent <= 80, "the refused one needed up to 64"


async def test_a_failed_request_costs_what_it_costs_in_usage() -> None:
    memory, backend = Memory(), FakeBackend(delay_s=60.0)
    key = add_key(memory, add_tenant(memory, budget=Budget(4)))
    async with gateway(backend, memory=memory, require_key=True) as client:
        late = await client.post("/v1/classify", json=COMPLAINT, headers=key | {"X-Request-Timeout": "0.05"})
        assert_problem(late, 504, "deadline_exceeded")
        assert_problem(await ask(client, key, "", labels=["a"]), 422, "invalid_request")
        backend.delay_s = 0.0
        assert (await ask(client, key, "b")).status_code == 200
        assert_problem(await ask(client, key, "c"), 429, "budget_exceeded")
    assert sum(use.pairs_computed for use in memory.usage.values()) == 4


async def test_what_is_refused_for_another_reason_costs_nothing() -> None:
    memory = Memory()
    key = add_key(memory, add_tenant(memory, budget=Budget(6), pairs_per_minute=2))
    async with gateway(memory=memory, require_key=True) as client:
        assert (await ask(client, key)).status_code == 200
        for _ in range(5):
            assert_problem(await ask(client, key, "b"), 429, "quota_exceeded")
        assert HEADER not in (await ask(client, key)).headers


async def test_lines_of_a_batch_are_paid_by_the_key_that_created_it() -> None:
    memory = Memory()
    tenant = add_tenant(memory)
    add_key(memory, tenant, [CLASSIFY], budget=Budget(2))
    (key_id,) = memory.keys
    headers = bearer(INTERNAL_KEY) | {TENANT_HEADER: "acme", KEY_HEADER: key_id}
    async with gateway(memory=memory, require_key=True, internal_key=INTERNAL_KEY) as client:
        assert (await ask(client, headers)).status_code == 200
        assert_problem(await ask(client, headers, "b"), 429, "budget_exceeded")
        assert (await ask(client, headers | {KEY_HEADER: "revoked"}, "b")).status_code == 200
    assert [used.pairs for used in memory.key_usage.values()] == [2]


async def test_another_tenants_key_pays_for_nothing() -> None:
    memory = Memory()
    add_key(memory, add_tenant(memory, "other"), budget=Budget(1))
    add_tenant(memory)
    (key_id,) = memory.keys
    headers = bearer(INTERNAL_KEY) | {TENANT_HEADER: "acme", KEY_HEADER: key_id}
    async with gateway(memory=memory, require_key=True, internal_key=INTERNAL_KEY) as client:
        assert (await ask(client, headers)).status_code == 200
    assert memory.key_usage == {}
