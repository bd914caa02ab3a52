"""Faults of what stands beside Triton, under load: Redis, PostgreSQL, the disk, the gateway, the clock.

Seen failing: Redis with a time-out of 10 s (the slowest answer), PostgreSQL with keys that all are looked up at
once while it hangs (the slowest answer) and with `OUTAGE_S` of 0 (503), the disk with a usage that forgets what
could not be stored, the gateway's end with a client of one attempt.
"""

from __future__ import annotations

import asyncio
import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import timedelta
from pathlib import Path

import httpx
import pytest

from gateway.bootstrap import create_app
from gateway.settings import Settings
from stores.api_keys import generate_key
from stores.tenants import ACTIVE, SCOPES, ApiKey, Tenant
from tests.e2e.pressure import BODIES, FRESH, Load, Say, judge, load, until
from tests.e2e.replicas import ADMIN_KEY, OPERATOR, GatewayProcess
from tests.e2e.server import ROOT, Server, command_line, descendants, serving
from tests.fakes.backend import FakeBackend
from tests.fakes.clock import FakeClock
from tests.fakes.stores import Memory, fake_stores
from tests.postgresql import PostgresServer
from tests.redis_server import RedisServer
from wanneng.client import AsyncClient

PAIRS = 1_000
"""A quota a minute."""
ATTEMPTS = 7
"""Their pauses are longer than the start of a gateway takes on a machine that is busy with other things."""
Start = Callable[..., GatewayProcess]


@pytest.fixture
def start(server: Server, tmp_path: Path) -> Iterator[Start]:
    """Starts gateways before the shared Triton, with settings of their own."""
    with ExitStack() as stack:

        def started(**settings: str) -> GatewayProcess:
            gateway = GatewayProcess(f"http://{server.triton_http}", tmp_path, settings=settings)
            gateway.start()
            stack.callback(gateway.stop)
            return gateway

        yield started


async def going_on(seen: Load, count: int = 100) -> None:
    done = len(seen.answers)
    await until(lambda: len(seen.answers) > done + count, "answers come")


def redis_is_up(gateway: GatewayProcess) -> bool:
    metrics = httpx.get(f"{gateway.url}/metrics", headers=OPERATOR, trust_env=False).text
    return "wanneng_redis_up 1.0" in metrics


@pytest.mark.parametrize("fault", ["killed", "stopped"])
async def test_redis_is_not_missed(fault: str, redis_server: RedisServer, start: Start, verdict: Say) -> None:
    gateway = start(WANNENG_REDIS_URL=redis_server.url, WANNENG_ADMIN_KEY=ADMIN_KEY)
    bodies = [{"text": f"{i}要求退款", "labels": "投诉,咨询"} for i in range(2_000)]
    async with load(gateway.url, bodies, {}, clients=4) as seen:
        await going_on(seen)
        assert redis_is_up(gateway)
        harm, heal = {
            "killed": (redis_server.kill, redis_server.start),
            "stopped": (lambda: redis_server.signal(signal.SIGSTOP), lambda: redis_server.signal(signal.SIGCONT)),
        }[fault]
        harm()
        await until(lambda: not redis_is_up(gateway), "the loss is noticed")
        await going_on(seen, 200)
        heal()
        await until(lambda: redis_is_up(gateway), "it is asked again")
        await going_on(seen)
    judge(f"Redis {fault}", seen, verdict, slowest_s=2.0)


@pytest.mark.parametrize("fault", ["killed", "stopped"])
async def test_known_keys_outlast_postgresql(
    fault: str, own_postgresql: PostgresServer, start: Start, verdict: Say
) -> None:
    """New keys cannot be looked up meanwhile, and are told so within the bound of a wait for the database."""
    gateway, known, unknown = with_keys(own_postgresql, start)
    bearer = {"Authorization": f"Bearer {unknown}"}
    async with load(gateway.url, BODIES, FRESH | {"Authorization": f"Bearer {known}"}, clients=8) as seen:
        await going_on(seen)
        own_postgresql.signal(signal.SIGKILL if fault == "killed" else signal.SIGSTOP)
        # Longer than a key is remembered, so that it would be looked up.
        await asyncio.sleep(3.0)
        began = time.monotonic()
        async with httpx.AsyncClient(base_url=gateway.url, timeout=30, trust_env=False) as http:
            refused = await http.post("/v1/classify", json=BODIES[0], headers=bearer)
            refused_s = time.monotonic() - began
            assert (refused.status_code, refused.json()["code"]) == (503, "store_unavailable")
            assert int(refused.headers["retry-after"]) >= 1
            await going_on(seen)
            if fault == "killed":
                await asyncio.to_thread(own_postgresql.start)
            else:
                own_postgresql.signal(signal.SIGCONT)
            await until(lambda: httpx.get(f"{gateway.url}/livez", trust_env=False).is_success, "it lives")
            healed = time.monotonic()
            while (await http.post("/v1/classify", json=BODIES[0], headers=bearer)).is_error:
                assert time.monotonic() - healed < 20, "new keys are not looked up again"
                await asyncio.sleep(0.1)
        await going_on(seen)
    verdict(f"PostgreSQL {fault}, a new key", f"refused after {refused_s:.1f} s")
    assert refused_s < 11
    judge(f"PostgreSQL {fault}, a known key", seen, verdict, slowest_s=11)
    slow = sum(answer.seconds > 2 for answer in seen.answers)
    assert slow <= 3, f"{slow} callers waited for the database"


def with_keys(postgresql: PostgresServer, start: Start) -> tuple[GatewayProcess, str, str]:
    """A gateway on a migrated database, and two keys, neither of which it has looked up."""
    database = {"WANNENG_DATABASE_URL": f"{postgresql.url}/postgres"}
    migrate = [sys.executable, "-m", "control_plane", "migrate"]
    subprocess.run(migrate, cwd=ROOT, env=dict(os.environ) | database, check=True, timeout=60)
    own = {"WANNENG_ADMIN_KEY": ADMIN_KEY, "WANNENG_REQUIRE_KEY": "true", "WANNENG_KEY_CACHE_TTL_S": "1"}
    gateway = start(**database, **own)
    with httpx.Client(base_url=gateway.url, headers=OPERATOR, timeout=30, trust_env=False) as operator:
        tenant = operator.post("/v1/tenants", json={"name": "acme"}).json()["id"]
        known, unknown = (operator.post(f"/v1/tenants/{tenant}/keys", json={}).json()["key"] for _ in range(2))
    return gateway, known, unknown


async def test_a_full_disk_refuses_what_must_be_kept_and_nothing_else(start: Start, verdict: Say) -> None:
    """The disk is full for both planes: no file of theirs may grow, their logs among them."""
    gateway = start()
    labels = {"labels": ["投诉", "咨询"]}
    async with (
        load(gateway.url, clients=4) as seen,
        httpx.AsyncClient(base_url=gateway.url, timeout=30, trust_env=False) as http,
    ):
        assert (await http.put("/v1/label-sets/before", json=labels)).status_code == 201
        limit_file_size(gateway, 1)
        refused = await http.put("/v1/label-sets/meanwhile", json=labels)
        assert (refused.status_code, refused.json()["code"]) == (503, "store_unavailable")
        assert "disk" in refused.json()["detail"]
        known = await http.post("/v1/classify", json={"text": "要求退款", "label_set": "before"})
        assert known.status_code == 200
        # Usage is stored every 5 s; that has to fail once, and to lose nothing.
        await asyncio.sleep(6)
        await going_on(seen)
        limit_file_size(gateway, resource.RLIM_INFINITY)
        assert (await http.put("/v1/label-sets/meanwhile", json=labels)).status_code == 201
        await going_on(seen)
    judge("the disk full", seen, verdict, slowest_s=3.0)
    deadline = time.monotonic() + 15
    while (used := used_requests(gateway)) < len(seen.answers) + 1:
        assert time.monotonic() < deadline, f"{used} of {len(seen.answers) + 1} requests were counted"
        await asyncio.sleep(0.5)


def limit_file_size(gateway: GatewayProcess, max_bytes: int) -> None:
    assert gateway.control_plane is not None
    for pid in (gateway.process.pid, gateway.control_plane.pid):
        resource.prlimit(pid, resource.RLIMIT_FSIZE, (max_bytes, resource.RLIM_INFINITY))


def used_requests(gateway: GatewayProcess) -> int:
    days = httpx.get(f"{gateway.url}/v1/usage", trust_env=False).json()["days"]
    return sum(day["requests"] for day in days)


async def test_a_killed_gateway_is_not_seen_through_the_client(tmp_path: Path, verdict: Say) -> None:
    """The Python client tries again; whoever does not sees a closed connection at once."""
    with serving(tmp_path, ROOT / "tests/golden/small") as own:
        answered: list[float] = []
        stopping = asyncio.Event()

        async def client() -> None:
            async with AsyncClient(own.url, attempts=ATTEMPTS) as asking:
                while not stopping.is_set():
                    began = time.monotonic()
                    await asking.classify("要求退款", ["投诉", "咨询"])
                    answered.append(time.monotonic() - began)

        async with asyncio.TaskGroup() as clients:
            for _ in range(4):
                clients.create_task(client())
            await until(lambda: len(answered) > 50, "answers")
            (pid,) = [p for p in descendants(own.process.pid) if "-m gateway " in command_line(p)]
            os.kill(pid, signal.SIGKILL)
            done = len(answered)
            await until(lambda: len(answered) > done + 50, "answers come again")
            stopping.set()
    verdict("the gateway killed", f"0 of {len(answered)} calls failed, the slowest took {max(answered):.1f} s")


async def test_a_clock_that_jumps_changes_no_answer(verdict: Say) -> None:
    """A day on, two back: keys, quotas and usage go on. Through the clock that the gateway is given."""
    clock, memory = FakeClock(), Memory()
    stores, key = fake_stores(memory), generate_key()
    await stores.tenants.add(Tenant("t_acme", "acme", ACTIVE, clock.now()))
    await stores.api_keys.add(ApiKey(key.id, "t_acme", key.digest, SCOPES, clock.now(), None), max_keys=1)
    app = create_app(
        Settings(require_key=True, pairs_per_minute=PAIRS), backend=FakeBackend(), stores=stores, clock=clock
    )
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    statuses = []
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(transport=transport, base_url="http://gateway") as http,
    ):
        bearer = {"Authorization": f"Bearer {key.key}"}
        for step in (timedelta(), timedelta(days=1), timedelta(days=-2), timedelta(hours=1)):
            clock.at += step
            for number in range(10):
                body = {"text": f"{step}{number}", "labels": "投诉,咨询"}
                answer = await http.post("/v1/classify", json=body, headers=bearer)
                statuses.append(answer.status_code)
                left = int(answer.headers["ratelimit"].split(";")[1].removeprefix("r="))
                # Steady time passes as before: no jump refills a quota, none empties it.
                spent = 2 * len(statuses)
                assert PAIRS - spent - 1 <= left < PAIRS - spent / 2
    verdict("the clock jumps", f"{statuses.count(200)} of {len(statuses)} answered")
    assert set(statuses) == {200}
    assert sum(usage.requests for usage in memory.usage.values()) == len(statuses)
    assert len(memory.usage) == 3, "of three days"
