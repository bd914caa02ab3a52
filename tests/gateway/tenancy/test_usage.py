"""What was used is counted by tenant and day, and reaches the store."""

from __future__ import annotations

from datetime import date

import pytest

from gateway.tenancy.usage import UsageCounter
from stores.budgets import Used
from stores.errors import StoreUnavailable
from stores.tenants import CLASSIFY
from stores.usage import DailyUsage
from tests.fakes.clock import FakeClock
from tests.fakes.gateway import COMPLAINT, add_key, add_tenant, gateway
from tests.fakes.stores import FakeUsage, Memory
from web.authentication import Caller

ACME = Caller("acme", (CLASSIFY,), key_id="abc")
TODAY, TOMORROW = date(2030, 1, 1), date(2030, 1, 2)


async def test_answers_are_counted_by_day_and_an_outage_loses_none() -> None:
    clock, memory = FakeClock(), Memory()
    add_tenant(memory)
    usage = UsageCounter(FakeUsage(memory), clock)
    usage.count(ACME, computed=2, cached=1)
    memory.down = True
    with pytest.raises(StoreUnavailable):
        await usage.store()
    usage.count(ACME, computed=0, cached=3)
    clock.advance(86_400)
    usage.count(ACME, computed=1, cached=0)
    memory.down = False
    await usage.store()
    await usage.store()
    assert list(memory.usage.values()) == [
        DailyUsage("acme", TODAY, 2, 2, 4),
        DailyUsage("acme", TOMORROW, 1, 1, 0),
    ]
    assert memory.key_usage == {}, "the store knows no such key"


async def test_the_end_of_a_gateway_keeps_what_it_has_counted() -> None:
    memory = Memory()
    key = add_key(memory, add_tenant(memory))
    async with gateway(memory=memory, require_key=True) as client:
        for body in (COMPLAINT, COMPLAINT, COMPLAINT | {"labels": []}):
            await client.post("/v1/classify", json=body, headers=key)
        await client.post("/v1/tokenize", json=COMPLAINT, headers=key)
    assert list(memory.usage.values()) == [DailyUsage("acme", TODAY, 2, 2, 2, 8)]
    (key_id,) = memory.keys
    assert memory.key_usage == {(key_id, TODAY): Used(2, 8)}
