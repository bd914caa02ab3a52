"""A budget on a whole server: used up, told of by a webhook, refused to a batch, raised; each act is recorded."""

from __future__ import annotations

import json
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.e2e.server import TINY, serving
from tests.e2e.webhook import receiving
from tests.polling import until
from wanneng import Client, GatewayRefused

LABELS = ["投诉", "咨询"]


def test_a_budget_is_used_up_told_of_raised_and_recorded(tmp_path: Path) -> None:
    with (
        receiving() as webhook,
        serving(tmp_path, TINY, **webhook.settings) as server,
        ExitStack() as clients,
    ):
        heard = webhook.heard
        admin = clients.enter_context(Client(server.url, (tmp_path / "admin.key").read_text().strip()))
        tenant = admin.tenants.create("acme")
        key = admin.tenants.keys.create(tenant.id)
        admin.tenants.set_budget(tenant.id, pairs_per_month=5)
        admin.tenants.set_budget(tenant.id, key.id, pairs_per_month=1_000, enforcement="shadow")
        client = clients.enter_context(Client(server.url, key.secret))
        for text in ("要求退款", "怎么退货"):
            assert client.classify(text, LABELS).labels
        with pytest.raises(GatewayRefused) as refusal:
            client.classify("快递没到", LABELS)
        assert (refusal.value.status, refusal.value.code) == (429, "budget_exceeded")
        assert (refusal.value.retry_after_s or 0) > 0
        assert client.classify("要求退款", LABELS).labels, "what is cached is free"

        until(lambda: len(heard) == 2, "the webhook is not called")
        told = {(alert["type"], alert["percent"]) for alert in heard}
        assert told == {("budget.reached", 80), ("budget.refused", 80)}, "no request fits, though some is left"
        assert all(alert | {"tenant_id": tenant.id, "limit": 5, "used": 4} == alert for alert in heard)
        own = client.budgets()
        assert (own.tenant.pairs_used, own.tenant.pairs_per_month) == (4, 5)
        assert own.key is not None
        assert (own.key.pairs_used, own.key.enforcement) == (4, "shadow")

        line = {"custom_id": "1", "method": "POST", "url": "/v1/classify"}
        lines = [line | {"custom_id": str(n), "body": {"text": f"第{n}行", "labels": LABELS}} for n in range(3)]
        file = client.batches.upload("\n".join(json.dumps(each) for each in lines).encode())
        batch = client.batches.wait(client.batches.create(file).id)
        assert (batch.status, batch.completed, batch.failed) == ("completed", 0, 3)
        assert len([result for result in client.batches.results(batch) if result.error]) == 3

        admin.tenants.set_budget(tenant.id, pairs_per_month=7, enforcement="soft")
        for text in ("快递没到", "发票丢了"):
            assert client.classify(text, LABELS).labels
        until(
            lambda: sorted(alert["percent"] for alert in heard if alert["limit"] == 7) == [80, 100],
            "the webhook is not called",
        )
        records = list(admin.audit.list(object=f"tenant/{tenant.id}"))
        budgets = [record.after for record in records if record.verb == "tenant.update"]
        assert budgets == [{"pairs_per_month": 7, "enforcement": "soft"}, {"pairs_per_month": 5}]
