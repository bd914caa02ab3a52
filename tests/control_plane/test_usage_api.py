"""Usage by day through the whole application."""

from __future__ import annotations

from datetime import date, timedelta

from control_plane.usage import MAX_LABEL_SETS
from stores.usage import DailyUsage
from tests.fakes.control_plane_app import OPERATOR, bearer, control_plane, new_key, new_tenant
from tests.fakes.stores import FakeUsage, Memory
from tests.problems import assert_problem

TODAY = date(2030, 1, 1)
COUNTS = ("requests", "pairs_computed", "pairs_cached", "tokens")
NO_PRICE = dict.fromkeys(("cost", "price_per_million_tokens", "currency"))


async def test_a_tenant_sees_its_own_usage_and_the_operator_any() -> None:
    memory = Memory()
    async with control_plane(memory) as client:
        tenant, other = await new_tenant(client), await new_tenant(client, "Other")
        key, others_key = [bearer((await new_key(client, one))["key"]) for one in (tenant, other)]
        memory.usage[tenant, TODAY] = DailyUsage(tenant, TODAY, 2, 3, 4, 50)
        day = {"day": "2030-01-01", "requests": 2, "pairs_computed": 3, "pairs_cached": 4, "tokens": 50}
        expected = {"days": [day], "total": {name: day[name] for name in COUNTS} | NO_PRICE, "label_sets": []}
        nothing = {"days": [], "total": dict.fromkeys(COUNTS, 0) | NO_PRICE, "label_sets": []}
        assert (await client.get("/v1/usage", headers=key)).json() == expected
        assert (await client.get(f"/v1/tenants/{tenant}/usage", headers=OPERATOR)).json() == expected
        assert (await client.get("/v1/usage", headers=others_key)).json() == nothing
        later = await client.get("/v1/usage", params={"from": "2030-01-02", "to": "2030-01-03"}, headers=key)
        assert later.json() == nothing
        for bad in (
            {"label_set": ""},
            {"label_set": "tickets@1"},
            {"label_set": "\0"},
            {"from": "yesterday"},
            {"from": "2030-01-02", "to": "2030-01-01"},
            {"from": "1900-01-01"},
        ):
            assert_problem(await client.get("/v1/usage", params=bad, headers=key), 422, "invalid_request")
        assert_problem(await client.get(f"/v1/tenants/{tenant}/usage", headers=key), 401, "unauthorized")
        narrow = bearer((await new_key(client, tenant, scopes=["classify"]))["key"])
        assert_problem(await client.get("/v1/usage", headers=narrow), 403, "missing_scope")


async def test_usage_is_told_by_label_set_and_of_one() -> None:
    memory = Memory()
    async with control_plane(memory) as client:
        tenant = await new_tenant(client)
        key = bearer((await new_key(client, tenant))["key"])
        usage = [
            DailyUsage(tenant, TODAY, 1, 9, 0, 90),
            DailyUsage(tenant, TODAY, 2, 3, 4, 50, "mails"),
            DailyUsage(tenant, TODAY - timedelta(days=1), 1, 5, 0, 60, "tickets"),
        ]
        await FakeUsage(memory).add(usage)
        everything = (await client.get("/v1/usage", headers=key)).json()
        of_mails = (await client.get("/v1/usage", params={"label_set": "mails"}, headers=key)).json()
        of_none = (await client.get("/v1/usage", params={"label_set": "none"}, headers=key)).json()
    tickets, mails = everything["label_sets"]
    assert tickets == {"label_set": "tickets", "requests": 1, "pairs_computed": 5, "pairs_cached": 0, "tokens": 60}
    assert mails == {"label_set": "mails", "requests": 2, "pairs_computed": 3, "pairs_cached": 4, "tokens": 50}
    assert everything["total"]["pairs_computed"] == 17
    assert of_mails["label_sets"] == [mails]
    assert of_mails["days"] == [{"day": "2030-01-01"} | {name: mails[name] for name in COUNTS}]
    assert of_mails["total"]["tokens"] == 50
    assert (of_none["days"], of_none["label_sets"]) == ([], [])


async def test_a_label_set_beyond_those_of_a_report_can_be_asked_for() -> None:
    memory = Memory()
    async with control_plane(memory) as client:
        tenant = await new_tenant(client)
        key = bearer((await new_key(client, tenant))["key"])
        usage = [
            DailyUsage(tenant, TODAY, 1, 1 + number, 0, 9, f"s{number}") for number in range(MAX_LABEL_SETS + 1)
        ]
        await FakeUsage(memory).add(usage)
        everything = (await client.get("/v1/usage", headers=key)).json()
        least = (await client.get("/v1/usage", params={"label_set": "s0"}, headers=key)).json()
    assert len(everything["label_sets"]) == MAX_LABEL_SETS
    assert [used["label_set"] for used in least["label_sets"]] == ["s0"]
    assert least["label_sets"][0]["pairs_computed"] == least["total"]["pairs_computed"] == 1


async def test_without_dates_it_is_the_last_30_days() -> None:
    memory = Memory()
    days = [TODAY - timedelta(days=age) for age in (30, 29, 0)]
    async with control_plane(memory) as client:
        tenant = await new_tenant(client)
        for day in days:
            memory.usage[tenant, day] = DailyUsage(tenant, day, 1, 1, 1)
        answer = (await client.get(f"/v1/tenants/{tenant}/usage", headers=OPERATOR)).json()
    assert [usage["day"] for usage in answer["days"]] == [day.isoformat() for day in days[1:]]
