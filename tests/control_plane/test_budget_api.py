"""Budgets and prices through the whole application."""

from __future__ import annotations

from datetime import date
from typing import Any

import httpx
import pytest

from stores.budgets import Used
from stores.usage import DailyUsage
from tests.fakes.control_plane_app import OPERATOR, bearer, control_plane, new_key, new_tenant
from tests.fakes.stores import Memory
from tests.problems import assert_problem

TODAY = date(2030, 1, 1)
UNLIMITED = {
    "key_id": None,
    "pairs_per_month": None,
    "tokens_per_month": None,
    "enforcement": "hard",
    "pairs_used": 0,
    "tokens_used": 0,
    "renewed_at": "2030-02-01T00:00:00Z",
}


async def put(client: httpx.AsyncClient, path: str, **budget: Any) -> httpx.Response:
    return await client.put(path, json=budget, headers=OPERATOR)


async def test_a_budget_is_set_read_and_removed() -> None:
    memory = Memory()
    async with control_plane(memory) as client:
        tenant = await new_tenant(client)
        memory.usage[tenant, TODAY] = DailyUsage(tenant, TODAY, 2, 3, 4, 50)
        path = f"/v1/tenants/{tenant}/budget"
        used = {"pairs_used": 3, "tokens_used": 50}
        assert (await client.get(path, headers=OPERATOR)).json() == UNLIMITED | used
        limited = UNLIMITED | used | {"pairs_per_month": 7, "enforcement": "soft"}
        assert (await put(client, path, pairs_per_month=7, enforcement="soft")).json() == limited
        assert (await client.get(path, headers=OPERATOR)).json() == limited
        renamed = await client.patch(f"/v1/tenants/{tenant}", json={"name": "b"}, headers=OPERATOR)
        assert renamed.status_code == 200
        assert (await client.get(path, headers=OPERATOR)).json() == limited
        assert (await client.put(path, headers=OPERATOR)).json() == UNLIMITED | used


async def test_a_key_has_one_of_its_own_which_its_successor_keeps() -> None:
    memory = Memory()
    async with control_plane(memory) as client:
        tenant, other = await new_tenant(client), await new_tenant(client, "Other")
        key = (await new_key(client, tenant))["id"]
        memory.key_usage[key, TODAY] = Used(1, 9)
        path = f"/v1/tenants/{tenant}/keys/{key}/budget"
        set_ = await put(client, path, tokens_per_month=10)
        assert set_.json() == UNLIMITED | {
            "key_id": key,
            "tokens_per_month": 10,
            "pairs_used": 1,
            "tokens_used": 9,
        }
        rotated = await client.post(f"/v1/tenants/{tenant}/keys/{key}/rotate", headers=OPERATOR)
        new = rotated.json()["id"]
        answer = await client.get(f"/v1/tenants/{tenant}/keys/{new}/budget", headers=OPERATOR)
        assert answer.json() == set_.json() | {"key_id": new}
        for wrong in (f"/v1/tenants/{other}/keys/{key}/budget", f"/v1/tenants/{tenant}/keys/none/budget"):
            assert_problem(await client.get(wrong, headers=OPERATOR), 404, "not_found")
            assert_problem(await put(client, wrong, tokens_per_month=1), 404, "not_found")
        assert_problem(await put(client, "/v1/tenants/none/budget"), 404, "not_found")


async def test_a_tenant_sees_its_own_and_its_keys_and_sets_none() -> None:
    async with control_plane() as client:
        tenant = await new_tenant(client)
        key = await new_key(client, tenant)
        caller = bearer(key["key"])
        await put(client, f"/v1/tenants/{tenant}/budget", pairs_per_month=5)
        await put(client, f"/v1/tenants/{tenant}/keys/{key['id']}/budget", pairs_per_month=3)
        answer = (await client.get("/v1/budget", headers=caller)).json()
        assert answer["tenant"] == UNLIMITED | {"pairs_per_month": 5}
        assert answer["key"] == UNLIMITED | {"pairs_per_month": 3, "key_id": key["id"]}
        for path in (f"/v1/tenants/{tenant}/budget", f"/v1/tenants/{tenant}/keys/{key['id']}/budget"):
            assert_problem(await client.put(path, json={}, headers=caller), 401, "unauthorized")
        narrow = bearer((await new_key(client, tenant, scopes=["classify"]))["key"])
        assert_problem(await client.get("/v1/budget", headers=narrow), 403, "missing_scope")


@pytest.mark.parametrize(
    "body",
    [
        {"pairs_per_month": 0},
        {"tokens_per_month": -1},
        {"pairs_per_month": 10**15},
        {"tokens_per_month": 1.5},
        {"enforcement": "strict"},
        {"pairs_per_day": 1},
    ],
    ids=str,
)
async def test_what_cannot_be_a_budget_is_refused_by_its_field(body: dict[str, Any]) -> None:
    async with control_plane() as client:
        tenant = await new_tenant(client)
        refused = await put(client, f"/v1/tenants/{tenant}/budget", **body)
        assert next(iter(body)) in assert_problem(refused, 422, "invalid_request")["detail"]


async def test_usage_is_summed_with_its_price() -> None:
    memory = Memory()
    async with control_plane(memory, price_per_million_tokens=0.1, currency="EUR") as client:
        tenant = await new_tenant(client)
        for day, tokens in ((TODAY, 1_000_000), (TODAY.replace(year=2029, month=12, day=31), 234_567)):
            memory.usage[tenant, day] = DailyUsage(tenant, day, 1, 2, 3, tokens)
        total = (await client.get(f"/v1/tenants/{tenant}/usage", headers=OPERATOR)).json()["total"]
    assert total == {
        "requests": 2,
        "pairs_computed": 4,
        "pairs_cached": 6,
        "tokens": 1_234_567,
        "cost": "0.1234567",
        "price_per_million_tokens": "0.1",
        "currency": "EUR",
    }
