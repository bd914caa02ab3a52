"""What was used, counted and told."""

from __future__ import annotations

from datetime import date
from typing import Any

import pytest

from gateway.errors import StoreUnavailable
from gateway.tenants import ACTIVE, Tenant
from gateway.usage import Usage, Use
from tests.fakes.clock import FakeClock
from tests.fakes.stores import FakeUsage, Memory
from tests.gateway.test_api import assert_problem
from tests.gateway.test_tenant_api import OPERATOR, bearer, gateway, new_key, new_tenant

TWO_PAIRS: dict[str, Any] = {"text": "我要投诉", "labels": ["投诉", "咨询"]}
TODAY = date(2030, 1, 1)


async def test_answers_are_counted_by_day_and_an_outage_loses_none() -> None:
    clock, memory = FakeClock(), Memory()
    memory.tenants["t"] = Tenant("t", "Acme", ACTIVE, clock.now())
    usage = Usage(FakeUsage(memory), clock)
    usage.count("t", computed=2, cached=1)
    memory.down = True
    with pytest.raises(StoreUnavailable):
        await usage.store()
    usage.count("t", computed=0, cached=3)
    clock.advance(86_400)
    usage.count("t", computed=1, cached=0)
    memory.down = False
    await usage.store()
    await usage.store()
    assert await usage.of("t", None, None) == [Use("t", TODAY, 2, 2, 4), Use("t", date(2030, 1, 2), 1, 1, 0)]


async def test_a_tenant_sees_its_own_use_and_the_operator_any() -> None:
    memory = Memory()
    async with gateway(memory) as client:
        tenant = await new_tenant(client)
        key = bearer((await new_key(client, tenant))["key"])
        for body in (TWO_PAIRS, TWO_PAIRS, TWO_PAIRS | {"labels": []}):
            await client.post("/v1/classify", json=body, headers=key)
    # The end of a gateway keeps what it has counted.
    async with gateway(memory) as client:
        wanted = {"days": [{"day": "2030-01-01", "requests": 2, "pairs_computed": 2, "pairs_cached": 2}]}
        assert (await client.get("/v1/usage", headers=key)).json() == wanted
        assert (await client.get(f"/v1/tenants/{tenant}/usage", headers=OPERATOR)).json() == wanted
        later = await client.get("/v1/usage", params={"from": "2030-01-02", "to": "2030-01-03"}, headers=key)
        assert later.json() == {"days": []}
        for bad in ({"from": "yesterday"}, {"from": "2030-01-02", "to": "2030-01-01"}, {"from": "1900-01-01"}):
            assert_problem(await client.get("/v1/usage", params=bad, headers=key), 422, "invalid_request")
        assert_problem(await client.get(f"/v1/tenants/{tenant}/usage", headers=key), 401, "unauthorized")
        narrow = bearer((await new_key(client, tenant, scopes=["classify"]))["key"])
        assert_problem(await client.get("/v1/usage", headers=narrow), 403, "missing_scope")
