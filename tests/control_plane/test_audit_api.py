"""The audit log over HTTP, on a real SQLite: who acted, which records a caller sees, and the export."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest

from stores.database import Database
from stores.factory import sql_stores
from tests.fakes.control_plane_app import (
    LOCAL,
    OPERATOR,
    bearer,
    control_plane,
    new_caller,
    new_key,
    new_tenant,
)
from tests.fakes.stores import Memory
from tests.problems import assert_problem
from wanneng import verify_chain
from web.authentication import admin_id

ALL, OWN, EXPORT = "/v1/admin/audit", "/v1/audit", "/v1/admin/audit/export"


@pytest.fixture
async def client(tmp_path: Path) -> AsyncIterator[httpx.AsyncClient]:
    database = Database(f"sqlite:///{tmp_path}/wanneng.db")
    await database.prepare()
    async with control_plane(stores=sql_stores(database)) as client:
        yield client


async def records(client: httpx.AsyncClient, path: str, headers: dict[str, str], **params: Any) -> list[Any]:
    answer = await client.get(path, headers=headers, params=params)
    assert answer.status_code == 200, answer.text
    listed: list[Any] = answer.json()["records"]
    return listed


async def test_an_act_has_its_actor_and_its_request(client: httpx.AsyncClient) -> None:
    tenant = await new_tenant(client)
    key = await new_key(client, tenant)
    headers = bearer(key["key"]) | {"X-Request-ID": "mine-1"}
    answer = await client.put("/v1/label-sets/tickets", json={"labels": ["a"]}, headers=headers)
    assert answer.status_code == 201, answer.text
    put, created_key, created = await records(client, ALL, OPERATOR, limit=3)
    assert (put["actor"], put["verb"], put["request_id"]) == (f"key:{key['id']}", "label_set.put", "mine-1")
    operator = f"admin:{admin_id(OPERATOR['Authorization'])}"
    assert {created["actor"], created_key["actor"]} == {operator}
    assert created["object"] == f"tenant/{tenant}"
    assert created["after"]["name"] == "Acme"


async def test_every_kind_of_caller_is_told_apart(client: httpx.AsyncClient, tmp_path: Path) -> None:
    database = Database(f"sqlite:///{tmp_path}/wanneng.db")
    async with database.transaction() as connection:
        await connection.exec_driver_sql(
            "INSERT INTO tenants (id, name, status, created_at) VALUES ('local', 'local', 'active', '2030-01-01')"
        )
    await database.close()
    assert (await client.put("/v1/label-sets/a", json={"labels": ["a"]}, headers=LOCAL)).status_code == 201
    (put, migration) = await records(client, ALL, OPERATOR)
    assert put["actor"] == "local"
    assert migration["actor"].startswith("command:")


async def test_a_tenant_sees_acts_on_its_own_alone(client: httpx.AsyncClient) -> None:
    first, second = [await new_caller(client, name) for name in ("first", "second")]
    for caller in (first, second):
        answer = await client.put("/v1/label-sets/shared-name", json={"labels": ["a"]}, headers=caller)
        assert answer.status_code == 201
    seen = {caller["Authorization"]: await records(client, OWN, caller) for caller in (first, second)}
    owners = [{act["tenant_id"] for act in acts} for acts in seen.values()]
    assert [len(owner) for owner in owners] == [1, 1]
    assert owners[0] != owners[1]
    assert all(len(acts) == 3 for acts in seen.values())
    (other,) = owners[1]
    for params in ({"tenant_id": other}, {"object": f"tenant/{other}"}, {"object": "label_set/shared-name"}):
        answer = await client.get(OWN, headers=first, params=params)
        assert other not in answer.text
        assert "second" not in answer.text


async def test_who_may_read(client: httpx.AsyncClient) -> None:
    tenant = await new_tenant(client)
    without = bearer((await new_key(client, tenant, scopes=["classify"]))["key"])
    reader = bearer((await new_key(client, tenant, scopes=["audit:read"]))["key"])
    assert_problem(await client.get(OWN, headers=without), 403, "missing_scope")
    assert (await client.get(OWN, headers=reader)).status_code == 200
    for path in (ALL, EXPORT):
        for headers in ({}, reader, LOCAL):
            assert_problem(await client.get(path, headers=headers), 401, "unauthorized")


async def test_a_secret_is_in_no_record(client: httpx.AsyncClient) -> None:
    tenant = await new_tenant(client)
    key = await new_key(client, tenant)
    rotated = await client.post(f"/v1/tenants/{tenant}/keys/{key['id']}/rotate", json={}, headers=OPERATOR)
    assert rotated.status_code == 201
    exported = (await client.get(EXPORT, headers=OPERATOR)).text
    for secret in (key["key"], rotated.json()["key"], OPERATOR["Authorization"].split()[1]):
        assert secret not in exported.replace("admin:operator", "")
        assert secret.rpartition("_")[2] not in exported


async def test_an_export_can_be_verified_and_continued(client: httpx.AsyncClient) -> None:
    for number in range(5):
        await new_tenant(client, f"名称 {number}")
    answer = await client.get(EXPORT, headers=OPERATOR)
    assert answer.headers["content-type"].startswith("application/x-ndjson")
    lines = answer.text.splitlines()
    assert verify_chain(lines).records == 6
    rest = await client.get(EXPORT, headers=OPERATOR, params={"after": 4})
    assert rest.text.splitlines() == lines[4:]
    chosen = await client.get(EXPORT, headers=OPERATOR, params={"object": json.loads(lines[2])["object"]})
    assert chosen.text.splitlines() == [lines[2]]
    assert (await client.get(EXPORT, headers=OPERATOR, params={"after": 6})).text == ""


async def test_acts_are_listed_newest_first_by_page_and_time(client: httpx.AsyncClient) -> None:
    for number in range(5):
        await new_tenant(client, f"tenant {number}")
    first = (await client.get(ALL, headers=OPERATOR, params={"limit": 4})).json()
    assert [act["sequence"] for act in first["records"]] == [6, 5, 4, 3]
    assert (first["has_more"], first["last_id"]) == (True, "3")
    rest = (await client.get(ALL, headers=OPERATOR, params={"limit": 4, "after": "3"})).json()
    assert [act["sequence"] for act in rest["records"]] == [2, 1]
    assert not rest["has_more"]
    tomorrow = (datetime.now(UTC) + timedelta(days=1)).isoformat()
    assert await records(client, ALL, OPERATOR, **{"from": tomorrow}) == []
    assert len(await records(client, ALL, OPERATOR, to=tomorrow)) == 6


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("from", "2030-01-31"),
        ("from", "2030-01-31T00:00:00"),
        ("to", "0001-01-01T00:00:00+08:00"),
        ("to", "9999-12-31T23:00:00-08:00"),
        ("actor", ""),
        ("object", "a\x00b"),
        ("tenant_id", "x" * 201),
        ("after", "abc"),
        ("after", "9" * 30),
        ("limit", "0"),
    ],
)
async def test_a_bad_filter_is_a_422_that_names_it(client: httpx.AsyncClient, field: str, value: str) -> None:
    refused = await client.get(ALL, headers=OPERATOR, params={field: value})
    assert assert_problem(refused, 422, "invalid_request")["field"] == field


async def test_a_database_that_is_down_is_a_503_and_not_an_empty_export() -> None:
    memory = Memory(down=True)
    async with control_plane(memory) as client:
        for path in (ALL, EXPORT):
            assert_problem(await client.get(path, headers=OPERATOR), 503, "store_unavailable")
