"""What was used is counted by tenant and day, and reaches the store."""

from __future__ import annotations

from datetime import date

import pytest

from gateway.tenancy.usage import MAX_LABEL_SETS, UsageCounter
from stores.budgets import Used
from stores.errors import StoreUnavailable
from stores.tenants import CLASSIFY
from stores.usage import DailyUsage
from tests.fakes.clock import FakeClock
from tests.fakes.gateway import COMPLAINT, add_key, add_label_set, add_tenant, gateway
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


async def test_a_label_set_is_counted_by_its_name_whichever_version_was_asked() -> None:
    memory = Memory()
    key = add_key(memory, add_tenant(memory))
    for _ in range(2):
        add_label_set(memory, ["投诉", "咨询"], tenant_id="acme")
    async with gateway(memory=memory, require_key=True) as client:
        for reference in ("tickets", "tickets@1", "none"):
            await client.post("/v1/classify", json={"text": "我要投诉", "label_set": reference}, headers=key)
        await client.post("/v1/classify", json=COMPLAINT | {"text": "别的"}, headers=key)
    assert list(memory.label_set_usage.values()) == [DailyUsage("acme", TODAY, 2, 2, 2, 8, "tickets")]
    assert memory.usage["acme", TODAY].requests == 3


async def test_so_many_label_sets_of_a_tenant_and_day_are_counted_by_name() -> None:
    clock, memory = FakeClock(), Memory()
    for name in ("acme", "other"):
        add_tenant(memory, name)
    usage = UsageCounter(FakeUsage(memory), clock)
    for number in range(MAX_LABEL_SETS + 5):
        usage.count(ACME, f"set-{number}", computed=1, cached=0)
    usage.count(Caller("other", (CLASSIFY,)), "set-999", computed=1, cached=0)
    clock.advance(86_400)
    usage.count(ACME, "set-999", computed=1, cached=0)
    await usage.store()
    assert len(memory.label_set_usage) == MAX_LABEL_SETS + 2
    assert memory.usage["acme", TODAY].pairs_computed == MAX_LABEL_SETS + 5


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
