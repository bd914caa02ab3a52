"""The planes are isolated: no fault and no flood of the control plane fails a classification; its changes arrive.

The first test is the short form of `make planes`, which also compares latency.
"""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import httpx
import pytest

from benchmarks.neighbour import RATE
from benchmarks.planes import Scale, measure_planes
from stores.database import migrate
from tests.e2e.replicas import ADMIN_KEY, OPERATOR, GatewayProcess
from tests.e2e.server import ROOT, Server

SHORT = Scale(
    warm_up_s=1.0, undisturbed_s=4.0, disturbed_s=5.0, stopped_s=5.0, tenants=100, label_sets=50, files=50
)
PROPAGATION_S = 5.0
"""Longest time until a change acts in every gateway: the default of WANNENG_KEY_CACHE_TTL_S."""


def test_no_classification_fails_whatever_becomes_of_the_control_plane(
    tmp_path: Path, verdict: Callable[[str, str], None]
) -> None:
    """It and its database are stopped or killed, all upload the largest file at once, all is listed in a loop."""
    measurements = measure_planes(tmp_path, SHORT, ROOT / "tests/golden/small")
    for measurement in measurements:
        failed, ratio = measurement.promises()
        verdict(
            measurement.disturbance, f"{failed.measured} requests failed, p99 over undisturbed {ratio.measured}"
        )
    assert [measurement.disturbance for measurement in measurements] == [
        "control plane killed",
        "control plane stopped for 5 s",
        "16 uploads of 64 MB at once",
        "everything listed in a loop",
        "undisturbed, at the end",
        "PostgreSQL stopped for 5 s",
        "undisturbed, at the end",
    ]
    for measurement in measurements:
        assert not measurement.faults, (measurement.disturbance, measurement.faults)
        assert len(measurement.samples) > RATE * SHORT.undisturbed_s / 2, measurement.disturbance
    uploads, listings = measurements[2:4]
    # On SQLite, uploads that wait for each other for too long are told to come again.
    assert set(uploads.responses) <= {"200", "503"}
    assert uploads.responses.total() == SHORT.uploads
    assert set(listings.responses) == {"200"}


@pytest.fixture
async def gateways(
    server: Server, tmp_path: Path, new_database: Callable[[], Awaitable[str]]
) -> AsyncIterator[tuple[GatewayProcess, GatewayProcess]]:
    """Two on one PostgreSQL; the first forwards what is changed here."""
    url = await new_database()
    await migrate(url)
    settings = {
        "WANNENG_DATABASE_URL": url,
        "WANNENG_REQUIRE_KEY": "true",
        "WANNENG_ADMIN_KEY": ADMIN_KEY,
    }
    triton_url = f"http://{server.triton_http}"
    first = GatewayProcess(triton_url, tmp_path, settings=settings)
    second = GatewayProcess(
        triton_url,
        tmp_path,
        settings=settings,
        with_control_plane=False,
        control_plane_port=first.control_plane_port,
    )
    for gateway in (first, second):
        gateway.start()
    yield first, second
    for gateway in (second, first):
        gateway.stop()


def new_key(gateway: GatewayProcess) -> tuple[str, dict[str, str]]:
    """The path at which the key of a new tenant is revoked, and the header with it."""
    with httpx.Client(
        base_url=gateway.url, headers=OPERATOR, timeout=30, trust_env=False, verify=False
    ) as operator:
        tenant = operator.post("/v1/tenants", json={"name": "acme"}).json()["id"]
        created = operator.post(f"/v1/tenants/{tenant}/keys", json={}).json()
    return f"/v1/tenants/{tenant}/keys/{created['id']}", {"Authorization": f"Bearer {created['key']}"}


def classify(gateway: GatewayProcess, headers: dict[str, str], **body: object) -> httpx.Response:
    url = f"{gateway.url}/v1/classify"
    return httpx.post(
        url, json={"text": "要求退款"} | body, headers=headers, timeout=30, trust_env=False, verify=False
    )


def seconds_until(gateway: GatewayProcess, acts: Callable[[GatewayProcess], bool]) -> float:
    """When the first request that saw the change began; none may miss it that begins after `PROPAGATION_S`."""
    changed_at = time.monotonic()
    while True:
        began_s = time.monotonic() - changed_at
        if acts(gateway):
            return began_s
        assert began_s < PROPAGATION_S
        time.sleep(0.1)


def test_a_changed_label_set_acts_at_once_where_it_was_changed_and_soon_everywhere(
    gateways: tuple[GatewayProcess, GatewayProcess], verdict: Callable[[str, str], None]
) -> None:
    first, second = gateways
    _, headers = new_key(first)

    def put(labels: list[str], **condition: str) -> None:
        url = f"{first.url}/v1/label-sets/tickets"
        answer = httpx.put(
            url, json={"labels": labels}, headers=headers | condition, timeout=30, trust_env=False, verify=False
        )
        answer.raise_for_status()

    def version(gateway: GatewayProcess) -> str:
        answer = classify(gateway, headers, label_set="tickets").raise_for_status().json()
        return str(answer["label_set"])

    put(["投诉", "咨询"])
    assert [version(gateway) for gateway in gateways] == ["tickets@1"] * 2
    put(["投诉", "咨询", "建议"], **{"If-Match": '"1"'})
    assert version(first) == "tickets@2"
    took_s = seconds_until(second, lambda gateway: version(gateway) == "tickets@2")
    verdict("a label set changed", f"acts in another gateway after {took_s:.1f} s, promised {PROPAGATION_S:g} s")


def test_a_revoked_key_is_refused_at_once_where_it_was_revoked_and_soon_everywhere(
    gateways: tuple[GatewayProcess, GatewayProcess], verdict: Callable[[str, str], None]
) -> None:
    first, second = gateways
    path, headers = new_key(first)

    def status(gateway: GatewayProcess) -> int:
        return classify(gateway, headers, labels="投诉,咨询").status_code

    assert [status(gateway) for gateway in gateways] == [200, 200]
    httpx.delete(
        f"{first.url}{path}", headers=OPERATOR, timeout=30, trust_env=False, verify=False
    ).raise_for_status()
    assert status(first) == 401
    took_s = seconds_until(second, lambda gateway: status(gateway) == 401)
    verdict("a key revoked", f"refused in another gateway after {took_s:.1f} s, promised {PROPAGATION_S:g} s")
