"""Two whole gateways on one Redis."""

from __future__ import annotations

from typing import Any

from tests.fakes.stores import Memory
from tests.gateway.test_tenant_api import bearer, gateway, new_key, new_tenant
from tests.redis_server import RedisServer

TWO_PAIRS: dict[str, Any] = {"text": "我要投诉", "labels": ["投诉", "咨询"]}


async def test_a_pair_that_one_gateway_has_computed_another_knows_but_no_other_tenant(
    redis_server: RedisServer,
) -> None:
    memory = Memory()
    settings: dict[str, Any] = {"redis_url": redis_server.url, "redis_timeout_s": 1.0}
    async with gateway(memory, **settings) as one, gateway(memory, **settings) as other:
        key = bearer((await new_key(one, await new_tenant(one)))["key"])
        stranger = bearer((await new_key(one, await new_tenant(one, "b")))["key"])
        first = (await one.post("/v1/classify", json=TWO_PAIRS, headers=key)).json()
        again = (await other.post("/v1/classify", json=TWO_PAIRS, headers=key)).json()
        strange = (await other.post("/v1/classify", json=TWO_PAIRS, headers=stranger)).json()
        assert [answer["pairs"]["computed"] for answer in (first, again, strange)] == [2, 0, 2]
        assert again["scores"] == first["scores"]
        assert "wanneng_shared_up 1.0" in (await one.get("/metrics")).text
        redis_server.kill()
        fresh = await other.post("/v1/classify", json=TWO_PAIRS | {"text": "别的"}, headers=key)
        assert (fresh.status_code, fresh.json()["pairs"]["computed"]) == (200, 2)
        assert "wanneng_shared_up 0.0" in (await other.get("/metrics")).text
