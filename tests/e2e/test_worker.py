"""The worker and the gateway: batch lines keep to the tenant's quota, and let every other request go first."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence

import httpx
import pytest

from tests.e2e.batches import assert_each_line_is_answered_once, create_batch, wait_for_end, wait_for_lines
from tests.e2e.paced import LABELS, Paced, paced
from tests.e2e.replicas import OPERATOR

LINES, PAIRS_PER_MINUTE = 100, 600
PAIRS = LINES * len(LABELS)
LINES_AT_ONCE = 64
MANY_LABELS = [f"标签{number}" for number in range(24)]
"""Together more pairs than a request may have ahead of it at the throughput of the paced Triton."""


@pytest.fixture(scope="module")
def slow(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Paced]:
    with paced(tmp_path_factory.mktemp("paced")) as running:
        worker = running.gateway.start_worker(WANNENG_BATCH_LINES_AT_ONCE=str(LINES_AT_ONCE))
        try:
            yield running
        finally:
            worker.kill()
            worker.wait()


@pytest.fixture
def client(slow: Paced, request: pytest.FixtureRequest) -> Iterator[httpx.Client]:
    """With the key of a new tenant."""
    headers = {"Authorization": f"Bearer {slow.new_key(request.node.name)}"}
    with httpx.Client(base_url=slow.gateway.url, headers=headers, timeout=30, trust_env=False) as client:
        yield client


def bodies(lines: int, labels: Sequence[str] = LABELS) -> list[dict[str, object]]:
    """No pair is asked for twice."""
    return [{"text": f"第{number}条", "labels": list(labels)} for number in range(lines)]


def lines_refused(slow: Paced) -> float:
    """For the quota."""
    metrics = httpx.get(f"{slow.gateway.url}/metrics", trust_env=False).text
    prefix = 'wanneng_requests_total{route="batch",status="429"} '
    return sum(float(line.removeprefix(prefix)) for line in metrics.splitlines() if line.startswith(prefix))


def test_a_batch_of_more_pairs_than_a_minutes_quota_waits_and_loses_no_line(
    slow: Paced, client: httpx.Client
) -> None:
    with httpx.Client(base_url=slow.gateway.url, headers=OPERATOR, trust_env=False) as operator:
        (tenant,) = [
            tenant["id"]
            for tenant in operator.get("/v1/tenants?limit=100").json()["tenants"]
            if tenant["name"].startswith("test_a_batch_of_more_pairs")
        ]
        quota = operator.put(f"/v1/tenants/{tenant}/quota", json={"pairs_per_minute": PAIRS_PER_MINUTE})
    assert quota.status_code == 200, quota.text
    created_at = time.monotonic()
    batch = wait_for_end(client, create_batch(client, bodies(LINES)))
    took_s = time.monotonic() - created_at
    assert_each_line_is_answered_once(client, batch, LINES)
    assert lines_refused(slow) > 0, "the quota was never used up"
    # A full bucket at first, then what flows into it.
    assert took_s > (PAIRS - PAIRS_PER_MINUTE) / PAIRS_PER_MINUTE * 60 - 1
    deadline = time.monotonic() + 15
    while not (days := client.get("/v1/usage").json()["days"]) or days[0]["requests"] < LINES:
        assert time.monotonic() < deadline, days
        time.sleep(0.2)
    used = [(day["requests"], day["pairs_computed"], day["pairs_cached"]) for day in days]
    assert used == [(LINES, PAIRS, 0)], "a line that waited was charged twice, or not at all"


def test_a_request_beside_a_batch_of_the_same_tenant_is_answered(
    slow: Paced, client: httpx.Client, verdict: Callable[[str, str], None]
) -> None:
    """As an equal of the lines it would be refused as `overloaded`: so many of its tenant's pairs are queued."""
    batch_id = create_batch(client, bodies(5_000, MANY_LABELS))
    try:
        wait_for_lines(client, batch_id, 2 * LINES_AT_ONCE)
        answers = [
            client.post("/v1/classify", json={"text": f"此时{number}", "labels": list(LABELS)})
            for number in range(20)
        ]
        batch = client.get(f"/v1/batches/{batch_id}").json()
        assert batch["status"] == "in_progress"
        assert [answer.status_code for answer in answers] == [200] * 20, answers[0].text
        before = batch["request_counts"]["completed"]
        assert wait_for_lines(client, batch_id, before + 1)["status"] == "in_progress", "the batch goes on"
    finally:
        client.post(f"/v1/batches/{batch_id}/cancel")
    slowest_s = max(answer.elapsed.total_seconds() for answer in answers)
    verdict("beside a batch", f"0 of 20 requests refused, the slowest took {slowest_s:.1f} s")
