"""What the gateway's metrics say, through the whole application."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from pathlib import Path

import httpx

from gateway.bootstrap import create_app
from gateway.observability.metrics import MAX_TENANTS
from gateway.settings import Settings
from stores.api_keys import NewApiKey, generate_key
from stores.budgets import Budget
from tests.fakes.backend import REPLICA, FakeBackend
from tests.fakes.gateway import COMPLAINT, add_key, add_tenant, gateway
from tests.fakes.stores import Memory
from tests.problems import assert_problem

ROOT = Path(__file__).parents[3]
GOOD = "tenants:\n  - {id: local}\n"


async def test_metrics_name_a_bounded_number_of_tenants() -> None:
    memory = Memory()
    keys = [add_key(memory, add_tenant(memory, f"tenant-{number}")) for number in range(MAX_TENANTS + 3)]
    async with gateway(memory=memory, require_key=True) as client:
        for key in keys:
            assert (await client.post("/v1/classify", json=COMPLAINT, headers=key)).status_code == 200
        text = (await client.get("/metrics")).text
    series = [line for line in text.splitlines() if line.startswith("wanneng_tenant_pairs_total{")]
    assert len(series) == MAX_TENANTS + 1
    assert 'wanneng_tenant_pairs_total{tenant="others"} 6.0' in series


async def test_a_database_that_is_gone_refuses_strangers_and_keeps_its_callers() -> None:
    memory = Memory()
    tenant = add_tenant(memory)
    known, stranger = add_key(memory, tenant), add_key(memory, tenant)
    async with gateway(memory=memory, require_key=True) as client:
        assert (await client.post("/v1/classify", json=COMPLAINT, headers=known)).status_code == 200
        memory.down = True
        assert (await client.post("/v1/classify", json=COMPLAINT, headers=known)).status_code == 200
        refused = await client.post("/v1/classify", json=COMPLAINT, headers=stranger)
        assert_problem(refused, 503, "store_unavailable")
        assert int(refused.headers["retry-after"]) >= 1


async def test_a_tenants_file_that_breaks_is_told_and_its_last_good_content_stays(tmp_path: Path) -> None:
    path = tmp_path / "tenants.yaml"
    path.write_text(GOOD, encoding="utf-8")
    app = create_app(Settings(tenants_file=str(path)), backend=FakeBackend())
    transport = httpx.ASGITransport(app)
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as client,
    ):
        assert (await client.post("/v1/classify", json=COMPLAINT)).status_code == 200
        assert "wanneng_tenants_file_valid 1.0" in (await client.get("/metrics")).text
        path.write_text("tenants: [", encoding="utf-8")
        await until_metrics_say(client, "wanneng_tenants_file_valid 0.0")
        assert (await client.post("/v1/classify", json=COMPLAINT)).status_code == 200
        path.write_text(GOOD, encoding="utf-8")
        await until_metrics_say(client, "wanneng_tenants_file_valid 1.0")


async def test_a_changed_tenants_file_acts_at_once_whatever_was_read_of_it_before(tmp_path: Path) -> None:
    """A key that is replaced there, a label set that is changed."""
    one, other = generate_key(), generate_key()

    def content(key: NewApiKey, label: str) -> str:
        label_set = f"{{name: tickets, labels: [投诉, {label}]}}"
        return (
            f"tenants: [{{id: acme, keys: [{{id: '{key.id}', sha256: {key.digest}}}], label_sets: [{label_set}]}}]"
        )

    path = tmp_path / "tenants.yaml"
    path.write_text(content(one, "咨询"), encoding="utf-8")
    app = create_app(
        Settings(tenants_file=str(path), require_key=True, key_cache_ttl_s=600.0), backend=FakeBackend()
    )
    body = {"text": "投诉手机", "label_set": "tickets"}
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://127.0.0.1") as client,
    ):

        async def ask(key: NewApiKey) -> httpx.Response:
            return await client.post("/v1/classify", json=body, headers={"Authorization": f"Bearer {key.key}"})

        assert (await ask(one)).json()["labels"] == ["投诉", "咨询"]
        assert (await ask(other)).status_code == 401
        path.write_text(content(other, "建议"), encoding="utf-8")
        async with asyncio.timeout(10):
            while (await ask(one)).status_code != 401:
                await asyncio.sleep(0.05)
        assert (await ask(other)).json()["labels"] == ["投诉", "建议"]


async def until_metrics_say(client: httpx.AsyncClient, line: str) -> None:
    """The file is read every second."""
    async with asyncio.timeout(10):
        while line not in (await client.get("/metrics")).text:
            await asyncio.sleep(0.05)


def test_a_gateway_does_not_start_on_a_broken_tenants_file(tmp_path: Path) -> None:
    path = tmp_path / "tenants.yaml"
    path.write_text("tenants:\n  - {id: UPPER}\n", encoding="utf-8")
    environment = {"WANNENG_TENANTS_FILE": str(path), "PATH": "/usr/bin"}
    command = [sys.executable, "-m", "gateway"]
    done = subprocess.run(
        command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 1
    (line,) = done.stdout.splitlines()
    assert json.loads(line)["message"].startswith("cannot start: ")
    assert "tenants[0].id" in line
    assert (done.stderr, "Traceback" in line) == ("", False)


async def test_waits_for_a_turn_and_lookups_in_the_cache_are_counted() -> None:
    """Nothing is looked up before the first answer, which tells which engine there is."""
    async with gateway() as client:
        for body in (COMPLAINT, COMPLAINT, COMPLAINT | {"text": "另一段文字"}):
            assert (await client.post("/v1/classify", json=body)).status_code == 200
        lines = (await client.get("/metrics")).text.splitlines()
    assert "wanneng_turn_seconds_count 2.0" in lines
    assert 'wanneng_cache_lookups_total{result="hit",tier="memory"} 2.0' in lines
    assert 'wanneng_cache_lookups_total{result="miss",tier="memory"} 2.0' in lines
    assert "wanneng_cache_evicted_pairs_total 0.0" in lines


async def test_requests_of_a_tenant_are_counted_by_their_outcome() -> None:
    memory = Memory()
    key = add_key(memory, add_tenant(memory, "acme"))
    async with gateway(memory=memory, require_key=True) as client:
        await client.post("/v1/classify", json=COMPLAINT, headers=key)
        await client.post("/v1/classify", json={"text": "x"}, headers=key)
        await client.post("/v1/classify", json=COMPLAINT)
        lines = (await client.get("/metrics")).text.splitlines()
    assert 'wanneng_tenant_request_seconds_bucket{le="+Inf",tenant="acme"} 2.0' in lines
    assert 'wanneng_tenant_request_seconds_count{tenant="acme"} 2.0' in lines
    found = {line for line in lines if line.startswith("wanneng_tenant_requests_total{")}
    assert found == {
        'wanneng_tenant_requests_total{outcome="answered",tenant="acme"} 1.0',
        'wanneng_tenant_requests_total{outcome="invalid",tenant="acme"} 1.0',
    }


async def test_refused_requests_are_counted_by_their_cause() -> None:
    """A quota and a budget are both a 429, and concern different people."""
    memory = Memory()
    quota = add_key(memory, add_tenant(memory, "minute", requests_per_minute=1))
    budget = add_key(memory, add_tenant(memory, "month", budget=Budget(pairs_per_month=3)))
    async with gateway(memory=memory, require_key=True) as client:
        before = (await client.get("/metrics")).text.splitlines()
        for key, number in ((quota, 3), (budget, 2)):
            for text in range(number):
                await client.post("/v1/classify", json=COMPLAINT | {"text": str(text)}, headers=key)
        lines = (await client.get("/metrics")).text.splitlines()
    series = 'wanneng_refused_requests_total{{code="{}",route="/v1/classify"}}'.format
    assert f"{series('quota_exceeded')} 0.0" in before, "otherwise `rate` would miss the first one"
    assert f"{series('quota_exceeded')} 2.0" in lines
    assert f"{series('budget_exceeded')} 1.0" in lines
    assert f"{series('overloaded')} 0.0" in lines


async def test_the_log_says_how_long_a_request_waited_for_whom_also_if_it_fails() -> None:
    written: list[bytes] = []
    backend = FakeBackend()
    async with gateway(backend, lines=written) as client:
        answered = await client.post("/v1/classify", json=COMPLAINT)
        backend.gate = asyncio.Event()
        body, timeout = COMPLAINT | {"text": "另一段文字"}, {"X-Request-Timeout": "0.05"}
        failed = await client.post("/v1/classify", json=body, headers=timeout)
    assert [answered.status_code, failed.status_code] == [200, 504]
    good, bad = (json.loads(line) for lines in written for line in lines.splitlines() if b"/v1/classify" in line)
    assert (good["replicas"], bad["replicas"]) == ([REPLICA], [])
    assert good["triton_s"] > 0.0
    assert bad["triton_s"] >= 0.04
    assert (good["turn_s"], bad["turn_s"]) > (0.0, 0.0)
    assert backend.calls[0].request_ids == (answered.json()["request_id"],)
