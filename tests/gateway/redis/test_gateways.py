"""Two whole gateways on one Redis."""

from __future__ import annotations

from typing import Any

from tests.fakes.gateway import COMPLAINT, add_key, add_tenant, gateway
from tests.fakes.stores import Memory
from tests.redis_server import RedisServer


async def test_a_pair_that_one_gateway_has_computed_another_knows_but_no_other_tenant(
    redis_server: RedisServer,
) -> None:
    memory = Memory()
    key, stranger = (add_key(memory, add_tenant(memory, name)) for name in ("acme", "other"))
    settings: dict[str, Any] = {
        "redis_url": redis_server.url,
        "redis_timeout_s": 1.0,
        "internal_key": "i" * 32,
        "require_key": True,
    }
    async with gateway(memory=memory, **settings) as one, gateway(memory=memory, **settings) as other:
        first = (await one.post("/v1/classify", json=COMPLAINT, headers=key)).json()
        again = (await other.post("/v1/classify", json=COMPLAINT, headers=key)).json()
        strange = (await other.post("/v1/classify", json=COMPLAINT, headers=stranger)).json()
        assert [answer["pairs"]["computed"] for answer in (first, again, strange)] == [2, 0, 2]
        assert again["scores"] == first["scores"]
        assert "wanneng_redis_up 1.0" in (await one.get("/metrics")).text
        redis_server.kill()
        fresh = await other.post("/v1/classify", json=COMPLAINT | {"text": "别的"}, headers=key)
        assert (fresh.status_code, fresh.json()["pairs"]["computed"]) == (200, 2)
        assert "wanneng_redis_up 0.0" in (await other.get("/metrics")).text
