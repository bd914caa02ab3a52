"""The operator's paths and the callers' keys, through the whole application."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest

from gateway.app import create_app
from gateway.line_log import LineLog
from gateway.settings import Settings
from gateway.telemetry import TENANTS_NAMED
from tests.fakes.classifier import FakeClassifier
from tests.fakes.clock import FakeClock
from tests.fakes.stores import Memory, fake_stores
from tests.gateway.test_api import GOOD, assert_problem

OPERATOR = {"Authorization": "Bearer operator"}


@asynccontextmanager
async def gateway(
    memory: Memory | None = None, lines: list[bytes] | None = None, **settings: Any
) -> AsyncIterator[httpx.AsyncClient]:
    given: dict[str, Any] = {"admin_key": "operator", "require_key": True} | settings
    app = create_app(
        Settings(**given),
        classifier=FakeClassifier(),
        stores=fake_stores(memory),
        clock=FakeClock(),
        log=LineLog((lines if lines is not None else []).append),
    )
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(transport=transport, base_url="http://gateway") as client,
    ):
        yield client


async def new_tenant(client: httpx.AsyncClient, name: str = "Acme") -> str:
    created = await client.post("/v1/tenants", json={"name": name}, headers=OPERATOR)
    assert created.status_code == 201, created.text
    return str(created.json()["id"])


async def new_key(client: httpx.AsyncClient, tenant: str, **wishes: Any) -> dict[str, Any]:
    made = await client.post(f"/v1/tenants/{tenant}/keys", json=wishes, headers=OPERATOR)
    assert made.status_code == 201, made.text
    answer: dict[str, Any] = made.json()
    return answer


def bearer(key: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {key}"}


async def test_a_tenant_gets_a_key_and_classifies_with_it() -> None:
    async with gateway() as client:
        tenant = await new_tenant(client)
        made = await new_key(client, tenant)
        assert made["key"].startswith(f"wn_{made['id']}_")
        answer = await client.post("/v1/classify", json=GOOD, headers=bearer(made["key"]))
        assert answer.status_code == 200
        listed = (await client.get(f"/v1/tenants/{tenant}/keys", headers=OPERATOR)).json()["keys"]
    assert [key["id"] for key in listed] == [made["id"]]
    assert "key" not in listed[0]


async def test_a_refused_key_is_a_401_problem_that_says_how_to_give_one() -> None:
    async with gateway() as client:
        for headers in ({}, bearer("wn_wrong"), bearer("operator")):
            refused = await client.post("/v1/classify", json=GOOD, headers=headers)
            problem = assert_problem(refused, 401, "unauthorized")
            assert refused.headers["www-authenticate"] == 'Bearer realm="wanneng"'
            assert problem["detail"] == "a valid key is needed: Authorization: Bearer wn_…"


async def test_a_key_without_the_scope_is_a_403() -> None:
    async with gateway() as client:
        made = await new_key(client, await new_tenant(client), scopes=[])
        refused = await client.post("/v1/classify", json=GOOD, headers=bearer(made["key"]))
    assert_problem(refused, 403, "missing_scope")


async def test_a_suspended_tenant_is_refused_at_once_and_comes_back_with_all_it_had() -> None:
    async with gateway() as client:
        tenant = await new_tenant(client)
        key = bearer((await new_key(client, tenant))["key"])
        assert (await client.post("/v1/classify", json=GOOD, headers=key)).status_code == 200
        for status, expected in (("suspended", 401), ("active", 200)):
            await client.patch(f"/v1/tenants/{tenant}", json={"status": status}, headers=OPERATOR)
            assert (await client.post("/v1/classify", json=GOOD, headers=key)).status_code == expected


async def test_a_rotated_key_works_for_its_overlap_and_a_revoked_one_no_more() -> None:
    async with gateway() as client:
        tenant = await new_tenant(client)
        old = await new_key(client, tenant)
        path = f"/v1/tenants/{tenant}/keys"
        rotated = await client.post(f"{path}/{old['id']}/rotate", json={"overlap_s": 60}, headers=OPERATOR)
        new = rotated.json()
        for made in (old, new):
            assert (await client.post("/v1/classify", json=GOOD, headers=bearer(made["key"]))).status_code == 200
        assert (await client.delete(f"{path}/{old['id']}", headers=OPERATOR)).status_code == 204
        assert (await client.post("/v1/classify", json=GOOD, headers=bearer(old["key"]))).status_code == 401


async def test_a_deleted_tenant_takes_its_keys_along() -> None:
    async with gateway() as client:
        tenant = await new_tenant(client)
        key = bearer((await new_key(client, tenant))["key"])
        assert (await client.delete(f"/v1/tenants/{tenant}", headers=OPERATOR)).status_code == 204
        assert (await client.post("/v1/classify", json=GOOD, headers=key)).status_code == 401
        assert_problem(await client.get(f"/v1/tenants/{tenant}", headers=OPERATOR), 404, "not_found")


async def test_names_are_there_once_and_tenants_are_listed_by_name() -> None:
    async with gateway() as client:
        for name in ("b", "a"):
            await new_tenant(client, name)
        assert_problem(await client.post("/v1/tenants", json={"name": "a"}, headers=OPERATOR), 409, "conflict")
        listed = (await client.get("/v1/tenants", headers=OPERATOR)).json()["tenants"]
    assert [tenant["name"] for tenant in listed] == ["a", "b"]


PATHS = [
    ("POST", "/v1/tenants"),
    ("GET", "/v1/tenants"),
    ("GET", "/v1/tenants/t_1"),
    ("PATCH", "/v1/tenants/t_1"),
    ("DELETE", "/v1/tenants/t_1"),
    ("POST", "/v1/tenants/t_1/keys"),
    ("GET", "/v1/tenants/t_1/keys"),
    ("DELETE", "/v1/tenants/t_1/keys/k"),
    ("POST", "/v1/tenants/t_1/keys/k/rotate"),
]


@pytest.mark.parametrize(("method", "path"), PATHS)
async def test_every_path_of_the_operator_wants_the_admin_key(method: str, path: str) -> None:
    """A tenant's key is none, and without WANNENG_ADMIN_KEY nobody has one."""
    async with gateway() as client:
        tenants_key = (await new_key(client, await new_tenant(client)))["key"]
        for headers in ({}, bearer(tenants_key), bearer("wrong")):
            assert_problem(await client.request(method, path, headers=headers), 401, "unauthorized")
    async with gateway(admin_key="") as client:
        assert_problem(await client.request(method, path, headers=bearer("")), 404, "not_found")


@pytest.mark.parametrize(
    ("path", "body", "status"),
    [
        ("/v1/tenants", {}, 422),
        ("/v1/tenants", {"name": 5}, 422),
        ("/v1/tenants", {"name": "x", "extra": 1}, 422),
        ("/v1/tenants/{id}/keys", {"scopes": ["fly"]}, 422),
        ("/v1/tenants/{id}/keys", {"expires_at": "yesterday"}, 422),
        ("/v1/tenants/{id}/keys", {"expires_at": "2001-01-01T00:00:00Z"}, 422),
    ],
)
async def test_bad_bodies_are_refused_by_their_field(path: str, body: dict[str, Any], status: int) -> None:
    async with gateway() as client:
        tenant = await new_tenant(client)
        refused = await client.post(path.format(id=tenant), json=body, headers=OPERATOR)
        assert_problem(refused, status, "invalid_request")


async def test_a_database_that_is_gone_refuses_strangers_and_keeps_its_callers() -> None:
    memory = Memory()
    async with gateway(memory) as client:
        key = bearer((await new_key(client, await new_tenant(client)))["key"])
        assert (await client.post("/v1/classify", json=GOOD, headers=key)).status_code == 200
        memory.down = True
        assert (await client.post("/v1/classify", json=GOOD, headers=key)).status_code == 200
        refused = await client.post("/v1/classify", json=GOOD, headers=bearer(f"wn_{'0' * 12}_{'0' * 48}"))
        assert_problem(refused, 503, "store_unavailable")
        assert refused.headers["retry-after"] == "1"


@pytest.mark.parametrize(
    ("host", "status"),
    [("127.0.0.1", 200), ("::1", 200), ("localhost", 200), ("0.0.0.0", 401), ("10.1.2.3", 401), ("gateway", 401)],
)
async def test_on_loopback_alone_no_key_is_needed(host: str, status: int) -> None:
    async with gateway(require_key=False, host=host) as client:
        assert (await client.post("/v1/classify", json=GOOD)).status_code == status


async def test_ids_never_become_labels_of_a_metric() -> None:
    async with gateway() as client:
        tenant = await new_tenant(client)
        await client.get(f"/v1/tenants/{tenant}", headers=OPERATOR)
        metrics = (await client.get("/metrics")).text
    assert 'route="/v1/tenants/{tenant_id}"' in metrics
    assert tenant not in metrics


async def test_no_key_is_ever_logged(caplog: pytest.LogCaptureFixture) -> None:
    lines: list[bytes] = []
    with caplog.at_level("DEBUG"):
        async with gateway(lines=lines) as client:
            tenant = await new_tenant(client)
            key = (await new_key(client, tenant))["key"]
            await client.post("/v1/classify", json=GOOD, headers=bearer(key))
            await client.post("/v1/classify", json=GOOD, headers=bearer(key + "0"))
    said = [record.getMessage() for record in caplog.records if record.name.startswith("gateway")]
    ours = "\n".join([*said, *(line.decode() for line in lines)])
    assert tenant in ours
    assert key not in ours
    assert "operator" not in ours


async def test_metrics_name_a_bounded_number_of_tenants() -> None:
    async with gateway() as client:
        for number in range(TENANTS_NAMED + 3):
            key = (await new_key(client, await new_tenant(client, f"tenant {number}")))["key"]
            await client.post("/v1/classify", json=GOOD, headers=bearer(key))
        text = (await client.get("/metrics")).text
    series = [line for line in text.splitlines() if line.startswith("wanneng_tenant_pairs_total{")]
    assert len(series) == TENANTS_NAMED + 1
    assert 'wanneng_tenant_pairs_total{tenant="others"} 6.0' in series
