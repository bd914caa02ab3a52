"""Every resource of the client, blocking and for asyncio, against a gateway that keeps what it is told."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal

import pytest

from tests.wanneng.client.fake_gateway import FakeGateway, collected, jsonl, resolved
from wanneng import (
    AsyncClient,
    Batch,
    BatchResult,
    Client,
    DayOfUsage,
    File,
    GatewayRefused,
    RequestError,
    SetLabel,
    TotalUsage,
    Usage,
    UsageOfLabelSet,
)
from wanneng.client import Evaluation

Either = Client | AsyncClient
NOW = datetime(2026, 11, 21, 10, 0, 0, 500_000, tzinfo=UTC)


async def test_a_tenant_is_created_found_changed_and_deleted(client: Either, gateway: FakeGateway) -> None:
    created = await resolved(client.tenants.create("acme"))
    assert (created.name, created.status, created.created_at) == ("acme", "active", NOW)
    assert await resolved(client.tenants.list()) == [created]
    assert await resolved(client.tenants.get(created.id)) == created
    for name_or_id in ("acme", created.id):
        assert await resolved(client.tenants.find(name_or_id)) == created
    with pytest.raises(RequestError, match="there is no tenant 'nobody'"):
        await resolved(client.tenants.find("nobody"))
    assert (await resolved(client.tenants.rename(created.id, "other"))).name == "other"
    assert (await resolved(client.tenants.suspend(created.id))).status == "suspended"
    assert (await resolved(client.tenants.resume(created.id))).status == "active"
    quota = await resolved(client.tenants.set_quota(created.id, pairs_per_minute=600))
    assert (quota.requests_per_minute, quota.pairs_per_minute, quota.pairs_in_flight) == (None, 600, None)
    await resolved(client.tenants.delete(created.id))
    assert gateway.tenants == {}


async def test_a_key_shows_its_secret_once_and_may_be_rotated_and_revoked(client: Either) -> None:
    tenant = await resolved(client.tenants.create("acme"))
    expiry = datetime(2027, 1, 31, tzinfo=UTC)
    key = await resolved(client.tenants.keys.create(tenant.id, scopes=["usage:read"], expires_at=expiry))
    assert (key.secret, key.scopes, key.expires_at) == ("wn_k0_secret", ("usage:read",), expiry)
    assert "secret" not in repr(key)
    (listed,) = await resolved(client.tenants.keys.list(tenant.id))
    assert (listed.id, listed.created_at, listed.last_used_at) == (key.id, NOW, None)
    assert not hasattr(listed, "secret")
    new = await resolved(client.tenants.keys.rotate(tenant.id, key.id, overlap_s=7))
    assert new.secret == "wn_new_secret"
    old, _ = await resolved(client.tenants.keys.list(tenant.id))
    assert old.expires_at == datetime(2026, 11, 21, 10, 0, 7, tzinfo=UTC)
    await resolved(client.tenants.keys.revoke(tenant.id, key.id))
    assert [key.id for key in await resolved(client.tenants.keys.list(tenant.id))] == ["new"]


async def test_a_tenants_own_keys_are_made_rotated_and_revoked_by_one_of_them(client: Either) -> None:
    expiry = datetime(2027, 1, 31, tzinfo=UTC)
    key = await resolved(client.keys.create(name="import", scopes=["classify"], expires_at=expiry))
    assert (key.name, key.secret, key.scopes, key.expires_at) == ("import", "wn_k0_secret", ("classify",), expiry)
    assert [listed.name for listed in await resolved(client.keys.list())] == ["import"]
    new = await resolved(client.keys.rotate(key.id, overlap_s=7))
    assert (new.name, new.secret) == ("import", "wn_new_secret")
    await resolved(client.keys.revoke(key.id))
    assert [key.id for key in await resolved(client.keys.list())] == ["new"]


async def test_the_status_is_of_each_gateway_and_of_all(client: Either) -> None:
    status = await resolved(client.status())
    answered, silent = status.gateways
    assert (answered.workers, answered.redis_up, answered.figures) == (2, False, status.total)
    assert (silent.error, silent.ready, silent.figures) == ("it does not answer within 2 s", None, None)
    assert (status.pools[0].ejected, status.pools[0].engines) == (1, {"e1": 2, "e2": 1})
    assert (status.tenants[0].tenant_id, status.tenants[0].refused) == ("t_1", 3)


async def test_usage_is_a_tenants_own_or_any_ones_by_day(client: Either) -> None:
    total = TotalUsage(3, 6, 1, 90, Decimal("0.00018"), Decimal(2), "CNY")
    tickets = UsageOfLabelSet("tickets", 3, 6, 1, 90)
    expected = Usage([DayOfUsage(date(2026, 11, 21), 3, 6, 1, 90)], total, [tickets])
    assert await resolved(client.usage()) == expected
    usage = await resolved(client.tenants.usage("t0", date(2026, 11, 1), date(2026, 11, 30)))
    assert [day.day for day in usage.days] == [date(2026, 11, 1)]
    for usage in (
        await resolved(client.usage(label_set="mails")),
        await resolved(client.tenants.usage("t0", label_set="mails")),
    ):
        assert [used.label_set for used in usage.label_sets] == ["mails"]


async def test_a_key_knows_its_tenant(client: Either) -> None:
    me = await resolved(client.me())
    assert (me.tenant_id, me.tenant_name, me.key_id, me.scopes) == ("t1", "a", "k0", ("classify",))
    assert me.subject is None, "nobody has signed in"


async def test_budgets_are_set_of_tenants_and_keys_and_read_by_both(client: Either) -> None:
    tenant = await resolved(client.tenants.create("acme"))
    key = await resolved(client.tenants.keys.create(tenant.id))
    budget = await resolved(client.tenants.set_budget(tenant.id, pairs_per_month=5, enforcement="soft"))
    assert (budget.pairs_per_month, budget.tokens_per_month, budget.enforcement) == (5, None, "soft")
    assert (budget.key_id, budget.pairs_used, budget.renewed_at) == (None, 6, datetime(2026, 12, 1, tzinfo=UTC))
    assert await resolved(client.tenants.budget(tenant.id)) == budget
    of_key = await resolved(client.tenants.set_budget(tenant.id, key.id, tokens_per_month=7))
    assert (of_key.key_id, of_key.tokens_per_month, of_key.enforcement) == (key.id, 7, "hard")
    own = await resolved(client.budgets())
    assert (own.tenant, own.key) == (budget, of_key)


async def test_a_label_set_has_versions_and_is_rolled_back(client: Either, gateway: FakeGateway) -> None:
    labels: list[str | SetLabel] = ["投诉", SetLabel("咨询", "用户在咨询")]
    first = await resolved(client.label_sets.put("tickets", labels, threshold=0.3))
    assert (first.reference, first.threshold, first.created_at) == ("tickets@1", 0.3, NOW)
    assert first.labels == (SetLabel("投诉"), SetLabel("咨询", "用户在咨询"))
    second = await resolved(client.label_sets.put("tickets", ["建议"], multi_label=True, replaces=1))
    assert (second.version, second.multi_label, second.threshold) == (2, True, None)
    assert await resolved(client.label_sets.get("tickets")) == second
    assert await resolved(client.label_sets.get("tickets@1")) == first
    assert await resolved(client.label_sets.list()) == [second]
    assert await resolved(client.label_sets.versions("tickets")) == [second, first]
    third = await resolved(client.label_sets.rollback("tickets", 1, replaces=2))
    assert (third.version, third.labels, third.threshold) == (3, first.labels, 0.3)
    await resolved(client.label_sets.delete("tickets"))
    assert gateway.versions == []


async def test_a_version_has_the_numbers_that_it_was_saved_with(client: Either, gateway: FakeGateway) -> None:
    numbers = Evaluation(NOW.astimezone(timezone(timedelta(hours=8))), "e1", texts=9, labelled=8, correct=6)
    saved = await resolved(client.label_sets.put("tickets", ["投诉"], evaluation=numbers))
    assert saved.evaluation == numbers
    assert saved.evaluation is not None
    assert saved.evaluation.accuracy == 0.75
    assert Evaluation(NOW, None, 1).accuracy is None
    assert gateway.versions[0]["evaluation"]["evaluated_at"] == "2026-11-21T10:00:00.500000+00:00"


async def test_a_change_of_what_somebody_else_has_changed_is_refused(client: Either) -> None:
    await resolved(client.label_sets.put("tickets", ["投诉"]))
    for replaces in (None, 2):
        with pytest.raises(GatewayRefused) as refusal:
            await resolved(client.label_sets.put("tickets", ["建议"], replaces=replaces))
        assert (refusal.value.status, refusal.value.code) == (412, "precondition_failed")


async def test_a_name_is_one_segment_of_the_path(client: Either, gateway: FakeGateway) -> None:
    with pytest.raises(GatewayRefused):
        await resolved(client.label_sets.get("a/../../v1/tenants?x"))
    assert gateway.requests[-1].url.raw_path == b"/v1/label-sets/a%2F..%2F..%2Fv1%2Ftenants%3Fx"


async def test_a_batch_is_uploaded_created_watched_and_read(client: Either, gateway: FakeGateway) -> None:
    file_id = await resolved(client.batches.upload(b'{"custom_id": "1"}\n{}'))
    batch = await resolved(client.batches.create(file_id, idempotency_key="once"))
    assert gateway.requests[-1].headers["Idempotency-Key"] == "once"
    assert (batch.input_file_id, batch.status, batch.done) == (file_id, "completed", True)
    assert (batch.total, batch.completed, batch.failed, batch.errors) == (2, 2, 0, ())
    assert await resolved(client.batches.get(batch.id)) == batch
    assert await resolved(client.batches.content(file_id)) == b'{"custom_id": "1"}\n{}'
    cancelled = await resolved(client.batches.cancel(batch.id))
    assert (cancelled.done, cancelled.errors) == (False, ("line 1",))


async def test_a_batch_is_waited_for_and_its_results_are_read(client: Either, gateway: FakeGateway) -> None:
    """A refused line has its error: the gateway's, or of a line that could not be sent."""
    answer = {"labels": ["投诉"], "scores": [1.0], "truncated": False}
    gateway.files["out"] = jsonl({"custom_id": "1", "response": {"status_code": 200, "body": answer}})
    refused = {
        "custom_id": "2",
        "response": {"status_code": 422, "body": {"detail": "text: empty"}},
        "error": None,
    }
    unreadable = {"custom_id": None, "response": None, "error": {"code": "not_json", "message": "no", "line": 3}}
    gateway.files["errors"] = jsonl(refused, unreadable)
    created = await resolved(client.batches.create("file-1", metadata={"source": "a.csv"}))
    gateway.running = 3
    seen: list[Batch] = []
    batch = await resolved(client.batches.wait(created.id, progress=seen.append))
    assert [one.done for one in seen] == [False, False, False, True]
    assert batch.metadata == {"source": "a.csv"}
    gateway.batches[batch.id] |= {"output_file_id": "out", "error_file_id": "errors"}
    results = await collected(client.batches.results(await resolved(client.batches.get(batch.id))))
    assert results == [
        BatchResult("1", answer, None, None),
        BatchResult("2", {}, "text: empty", None),
        BatchResult(None, {}, "no", 3),
    ]
    assert await resolved(client.batches.list()) == [await resolved(client.batches.get(batch.id))]


async def test_a_batch_is_not_waited_for_for_ever(client: Either, gateway: FakeGateway) -> None:
    batch = await resolved(client.batches.create("file-1"))
    gateway.running = 1_000
    with pytest.raises(RequestError, match="batch-1 is not done after 60 s"):
        await resolved(client.batches.wait(batch.id, timeout_s=60))
    assert sum(gateway.pauses) == 60


async def test_files_are_listed_and_deleted(client: Either, gateway: FakeGateway) -> None:
    file_id = await resolved(client.batches.upload(b"{}\n"))
    assert await resolved(client.batches.files()) == [File(file_id, "batch.jsonl", 3)]
    assert await resolved(client.batches.file(file_id)) == File(file_id, "batch.jsonl", 3)
    await resolved(client.batches.delete_file(file_id))
    assert gateway.files == {}


async def test_any_other_call_can_be_made(client: Either, gateway: FakeGateway) -> None:
    assert await resolved(client.request("POST", "/v1/tenants", json={"name": "a"})) == gateway.tenants["t0"]
    with pytest.raises(GatewayRefused) as refusal:
        await resolved(client.request("POST", "/v1/nothing", json={}))
    assert refusal.value.status == 404


async def test_an_answer_that_lacks_what_it_should_have_is_an_error(client: Either, gateway: FakeGateway) -> None:
    gateway.tenants["t0"] = {"id": "t0"}
    with pytest.raises(
        RequestError, match=r"http://gateway/v1/tenants\?limit=100 answered 200, but not as a wanneng gateway does"
    ):
        await resolved(client.tenants.list())


async def test_lists_are_whole_however_many_pages_they_have(client: Either, gateway: FakeGateway) -> None:
    created = [await resolved(client.tenants.create(f"tenant {number}")) for number in range(5)]
    assert await resolved(client.tenants.list()) == created
    keys = [await resolved(client.tenants.keys.create("t0")) for _ in range(5)]
    assert [key.id for key in await resolved(client.tenants.keys.list("t0"))] == [key.id for key in keys]
    versions = [await resolved(client.label_sets.put("tickets", ["a"], replaces=n or None)) for n in range(5)]
    assert await resolved(client.label_sets.versions("tickets")) == versions[::-1]
    gateway.requests.clear()
    assert await resolved(client.tenants.find("tenant 2")) == created[2]
    assert len(gateway.requests) == 2, "no page more than it takes"


async def test_a_list_that_does_not_go_on_is_an_error(client: Either, gateway: FakeGateway) -> None:
    """As of a server that knows no pages."""
    for _ in range(5):
        await resolved(client.tenants.create("same"))
    for tenant in gateway.tenants.values():
        tenant["id"] = "t0"
    with pytest.raises(RequestError, match="the list does not go on"):
        await resolved(client.tenants.list())
