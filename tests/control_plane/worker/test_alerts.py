"""Alerts are delivered to a real receiver, signed, at least once, and nowhere else."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, timedelta

import pytest
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.types import Receive, Scope, Send

from control_plane.worker.alerts import ATTEMPTS, FIRST_PAUSE_S, JITTER, BudgetAlerts
from control_plane.worker.webhook import HttpWebhook, NotDelivered, signature
from stores.alerts import BudgetAlert
from stores.budgets import Limit
from tests.fakes.clock import FakeClock
from tests.fakes.server import serving

SECRET = "a-secret-that-both-sides-know-0123456789"
ALERT = BudgetAlert(
    "alert_1", "t_1", "", "tokens", date(2030, 1, 1), 80, 1_000, 812, "soft", datetime(2030, 1, 9, tzinfo=UTC)
)
PATH = "/budgets?of=wanneng"


@dataclass
class Receiver:
    """Answers with each status in turn, then with 204."""

    statuses: list[int] = field(default_factory=list)
    requests: list[tuple[Request, bytes]] = field(default_factory=list)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            request = Request(scope, receive)
            self.requests.append((request, await request.body()))
            status = self.statuses.pop(0) if self.statuses else 204
            response = RedirectResponse("/elsewhere") if status == 307 else Response(status_code=status)
            await response(scope, receive, send)


@dataclass
class FakeAlerts:
    """An `AlertStore` with alerts that are due at times."""

    due: dict[str, tuple[BudgetAlert, datetime | None]] = field(default_factory=dict)
    noticed: int = 0

    async def notice(self, now: datetime) -> None:
        self.noticed += 1

    async def refused(self, limit: Limit, month: date, used: int, now: datetime) -> None:
        raise AssertionError("it is for gateways")

    async def claim(self, now: datetime, until: datetime, most: int) -> Sequence[BudgetAlert]:
        claimed = [alert for alert, at in self.due.values() if at is not None and at <= now][:most]
        for alert in claimed:
            self.due[alert.id] = (alert, until)
        return claimed

    async def delivered(self, alert: BudgetAlert) -> None:
        self.due[alert.id] = (alert, None)

    async def failed(self, alert: BudgetAlert, due_at: datetime | None) -> None:
        self.due[alert.id] = (replace(alert, attempts=alert.attempts + 1), due_at)


def store(clock: FakeClock, count: int = 1) -> FakeAlerts:
    alerts = [replace(ALERT, id=f"alert_{number}") for number in range(count)]
    return FakeAlerts({alert.id: (alert, clock.now()) for alert in alerts})


async def test_an_alert_is_posted_once_with_its_id_its_time_and_a_signature() -> None:
    receiver, clock = Receiver(), FakeClock()
    alerts = store(clock)
    async with serving(receiver) as url:
        webhook = HttpWebhook(url + PATH, SECRET)
        for _ in range(2):
            await BudgetAlerts(alerts, webhook, clock).run_once()
        await webhook.close()
    ((request, body),) = receiver.requests
    assert alerts.noticed == 2
    assert (request.method, request.url.path, request.url.query) == ("POST", "/budgets", "of=wanneng")
    assert request.headers["content-type"] == "application/json"
    assert request.headers["webhook-id"] == "alert_0"
    assert request.headers["webhook-timestamp"] == str(int(clock.now().timestamp()))
    signed = f"alert_0.{request.headers['webhook-timestamp']}.".encode() + body
    digest = hmac.new(SECRET.encode(), signed, hashlib.sha256).digest()
    assert request.headers["webhook-signature"] == "v1," + base64.b64encode(digest).decode()
    assert json.loads(body) == {
        "type": "budget.reached",
        "timestamp": "2030-01-09T00:00:00Z",
        "data": {
            "tenant_id": "t_1",
            "key_id": None,
            "resource": "tokens",
            "percent": 80,
            "limit": 1_000,
            "used": 812,
            "enforcement": "soft",
            "renewed_at": "2030-02-01T00:00:00Z",
        },
    }


async def test_a_refusal_is_told_of_by_another_type() -> None:
    receiver, clock = Receiver(), FakeClock()
    refusal = replace(ALERT, kind="refused", percent=81, enforcement="hard")
    async with serving(receiver) as url:
        webhook = HttpWebhook(url, SECRET)
        await BudgetAlerts(FakeAlerts({refusal.id: (refusal, clock.now())}), webhook, clock).run_once()
        await webhook.close()
    ((_, body),) = receiver.requests
    message = json.loads(body)
    assert (message["type"], message["data"]["percent"]) == ("budget.refused", 81)


async def test_a_signature_depends_on_all_that_is_signed() -> None:
    parts = [
        (b"k", "a", 1, b"x"),
        (b"l", "a", 1, b"x"),
        (b"k", "b", 1, b"x"),
        (b"k", "a", 2, b"x"),
        (b"k", "a", 1, b"y"),
    ]
    assert len({signature(*part) for part in parts}) == len(parts)


@pytest.mark.parametrize("status", [500, 404, 307])
async def test_what_is_not_taken_is_posted_again_later_under_the_same_id(status: int) -> None:
    receiver, clock = Receiver([status, status]), FakeClock()
    alerts = store(clock)
    async with serving(receiver) as url:
        webhook = HttpWebhook(url, SECRET)
        worker = BudgetAlerts(alerts, webhook, clock)
        for pause_s in (FIRST_PAUSE_S, 2 * FIRST_PAUSE_S):
            await worker.run_once()
            clock.advance(pause_s - 0.1)
            posted = len(receiver.requests)
            await worker.run_once()
            assert len(receiver.requests) == posted, "it is not due yet"
            clock.advance(pause_s * JITTER + 0.2)
        await worker.run_once()
        await webhook.close()
    assert [request.headers["webhook-id"] for request, _ in receiver.requests] == ["alert_0"] * 3
    assert {request.url.path for request, _ in receiver.requests} == {"/"}, "no redirect is followed"
    assert alerts.due["alert_0"][1] is None


async def test_it_is_given_up_in_the_end() -> None:
    clock = FakeClock()
    alerts = store(clock)
    webhook = HttpWebhook("http://127.0.0.1:9", SECRET)
    for _ in range(ATTEMPTS):
        await BudgetAlerts(alerts, webhook, clock).run_once()
        clock.advance(7_200)
    await webhook.close()
    alert, due_at = alerts.due["alert_0"]
    assert (alert.attempts, due_at) == (ATTEMPTS, None)
    assert clock.now() - FakeClock().now() > timedelta(days=1)


async def test_many_alerts_are_all_delivered() -> None:
    receiver, clock = Receiver(), FakeClock()
    async with serving(receiver) as url:
        webhook = HttpWebhook(url, SECRET)
        await BudgetAlerts(store(clock, 11), webhook, clock).run_once()
        await webhook.close()
    assert len({request.headers["webhook-id"] for request, _ in receiver.requests}) == 11


@pytest.mark.parametrize(
    "host",
    [
        "169.254.169.254",
        "[fe80::1]",
        "[::ffff:169.254.169.254]",
        "2852039166",
        "100.100.100.200",
        "[fd00:ec2::254]",
        "[fd00:ec2::23]",
        "168.63.129.16",
        "[64:ff9b::169.254.169.254]",
        "[64:ff9b::a83f:8110]",
    ],
)
async def test_addresses_of_a_clouds_metadata_are_not_connected_to(host: str) -> None:
    webhook = HttpWebhook(f"http://{host}:1/", SECRET)
    try:
        with pytest.raises(NotDelivered, match=r"permission denied|not a valid address"):
            await webhook.post("alert_1", 0, b"{}")
    finally:
        await webhook.close()
