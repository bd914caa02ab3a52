"""The contract of budgets: the same for dictionaries, SQLite and PostgreSQL; and months."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta, timezone

import pytest

from stores.audit import AuditFilter
from stores.budgets import Budget, Limit, Used, limits_of, month_of, next_month
from stores.errors import NotFound
from stores.factory import Stores
from stores.tenants import ApiKey, Replaced, Tenant
from stores.usage import DailyUsage, KeyUsage

THEN = datetime(2030, 1, 31, 12, tzinfo=UTC)
JANUARY, FEBRUARY = date(2030, 1, 1), date(2030, 2, 1)
KEY = ApiKey("abc", "t_1", "d" * 64, ("classify",), THEN, None, budget=Budget(7, None, "soft"))
LARGE = Budget(10**14, 10**14, "shadow")


@pytest.mark.usefixtures("tenants")
async def test_budgets_of_tenants_and_keys_are_kept(stores: Stores, acme: Tenant) -> None:
    changed = replace(acme, budget=LARGE)
    await stores.tenants.change("t_1", budget=LARGE)
    await stores.api_keys.add(KEY, 10)
    assert await stores.api_keys.find("abc") == (KEY, changed)
    await stores.api_keys.set_budget("t_1", "abc", LARGE)
    assert await stores.api_keys.find("abc") == (replace(KEY, budget=LARGE), changed)
    for tenant_id, key_id in (("t_2", "abc"), ("t_1", "none"), ("t_9", "abc")):
        with pytest.raises(NotFound):
            await stores.api_keys.set_budget(tenant_id, key_id, LARGE)


@pytest.mark.usefixtures("tenants")
async def test_a_budget_is_an_act_of_the_audit_log(stores: Stores, acme: Tenant) -> None:
    await stores.tenants.change("t_1", budget=Budget(5))
    await stores.api_keys.add(KEY, 10)
    await stores.api_keys.set_budget("t_1", "abc", Budget(8))
    records = await stores.audit.read(AuditFilter(tenant_id="t_1"), 10)
    acts = {record.verb: (record.object, record.before, record.after) for record in records}
    if acts:  # The stores in memory keep no log.
        assert acts["tenant.update"] == ("tenant/t_1", {"pairs_per_month": None}, {"pairs_per_month": 5})
        before, after = (
            {"pairs_per_month": 7, "enforcement": "soft"},
            {"pairs_per_month": 8, "enforcement": "hard"},
        )
        assert acts["key.update"] == ("key/abc", before, after)


@pytest.mark.usefixtures("tenants")
async def test_a_month_is_summed_by_tenant_and_by_key(stores: Stores) -> None:
    await stores.api_keys.add(KEY, 10)
    daily = [
        DailyUsage("t_1", date(2029, 12, 31), 1, 100, 0, 100),
        DailyUsage("t_1", JANUARY, 1, 2, 50, 20),
        DailyUsage("t_1", date(2030, 1, 31), 1, 3, 50, 30),
        DailyUsage("t_1", FEBRUARY, 1, 100, 0, 100),
        DailyUsage("t_2", JANUARY, 1, 100, 0, 100),
    ]
    of_keys = [
        KeyUsage("abc", JANUARY, Used(2, 20)),
        KeyUsage("abc", FEBRUARY, Used(9, 9)),
        KeyUsage("none", JANUARY, Used(1, 1)),
    ]
    await stores.usage.add(daily, of_keys)
    await stores.usage.add([], [KeyUsage("abc", JANUARY, Used(1, 5))])
    assert await stores.usage.used("t_1", "", JANUARY) == Used(5, 50)
    assert await stores.usage.used("t_1", "abc", JANUARY) == Used(3, 25)
    assert await stores.usage.used("t_1", "abc", date(2030, 3, 1)) == Used()
    assert await stores.usage.used("t_9", "", JANUARY) == Used()


@pytest.mark.usefixtures("tenants")
async def test_a_rotated_key_goes_on_with_what_the_old_one_had_used(stores: Stores) -> None:
    await stores.api_keys.add(KEY, 10)
    await stores.usage.add([], [KeyUsage("abc", JANUARY, Used(3, 25))])
    new = replace(KEY, id="abd", digest="e" * 64)
    await stores.api_keys.add(new, 10, Replaced("abc", THEN + timedelta(hours=1)))
    assert await stores.usage.used("t_1", "abd", JANUARY) == Used(3, 25)


@pytest.mark.parametrize(
    ("now", "month", "renewed_at"),
    [
        (datetime(2030, 1, 1, tzinfo=UTC), JANUARY, datetime(2030, 2, 1, tzinfo=UTC)),
        (datetime(2030, 12, 31, 23, 59, 59, tzinfo=UTC), date(2030, 12, 1), datetime(2031, 1, 1, tzinfo=UTC)),
        (datetime(2030, 2, 1, 3, tzinfo=timezone(timedelta(hours=8))), JANUARY, datetime(2030, 2, 1, tzinfo=UTC)),
    ],
)
def test_a_month_is_that_of_utc(now: datetime, month: date, renewed_at: datetime) -> None:
    assert (month_of(now), next_month(month_of(now))) == (month, renewed_at)


def test_what_is_unlimited_is_no_limit() -> None:
    assert limits_of("t", Budget()) == ()
    assert limits_of("t", Budget(None, 5, "soft"), "abc") == (Limit("t", "abc", "tokens", 5, "soft"),)
