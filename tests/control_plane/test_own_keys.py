"""A tenant's own keys over HTTP, on a real SQLite: no key makes one that may do more than itself."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest

from stores.database import Database
from stores.factory import sql_stores
from stores.tenants import CLASSIFY, DEFAULT_SCOPES, READ_KEYS, READ_USAGE, SCOPES, WRITE_KEYS
from tests.fakes.clock import FakeClock
from tests.fakes.control_plane_app import LOCAL, OPERATOR, bearer, control_plane, new_key, new_tenant
from tests.fakes.stores import Memory
from tests.problems import assert_problem

KEYS = "/v1/keys"


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
async def client(tmp_path: Path, clock: FakeClock) -> AsyncIterator[httpx.AsyncClient]:
    database = Database(f"sqlite:///{tmp_path}/wanneng.db")
    await database.prepare()
    async with control_plane(stores=sql_stores(database), clock=clock) as client:
        yield client


async def maker(client: httpx.AsyncClient, tenant: str, **body: Any) -> tuple[str, dict[str, str]]:
    """Id and header of a key that may make keys."""
    made = await new_key(client, tenant, **{"scopes": list(SCOPES)} | body)
    return made["id"], bearer(made["key"])


async def test_a_key_is_made_with_a_name_used_listed_rotated_and_revoked(client: httpx.AsyncClient) -> None:
    tenant = await new_tenant(client)
    maker_id, headers = await maker(client, tenant)
    answer = await client.post(KEYS, json={"name": "import", "scopes": [CLASSIFY, READ_KEYS]}, headers=headers)
    assert answer.status_code == 201, answer.text
    made = answer.json()
    assert (made["name"], made["scopes"]) == ("import", [CLASSIFY, READ_KEYS])
    listed = (await client.get(KEYS, headers=bearer(made["key"]))).json()["keys"]
    assert {key["id"]: key["name"] for key in listed} == {maker_id: "", made["id"]: "import"}
    assert all("key" not in key for key in listed)
    new = (await client.post(f"{KEYS}/{made['id']}/rotate", json={"overlap_s": 60}, headers=headers)).json()
    assert (new["name"], new["scopes"]) == ("import", [CLASSIFY, READ_KEYS])
    for key in (made, new):
        assert (await client.get(KEYS, headers=bearer(key["key"]))).status_code == 200
        assert (await client.delete(f"{KEYS}/{key['id']}", headers=headers)).status_code == 204
        assert_problem(await client.get(KEYS, headers=bearer(key["key"])), 401, "unauthorized")


async def test_the_audit_log_names_the_key_that_acted(client: httpx.AsyncClient) -> None:
    tenant = await new_tenant(client)
    maker_id, headers = await maker(client, tenant)
    made = (await client.post(KEYS, json={"name": "import"}, headers=headers)).json()
    rotated = (await client.post(f"{KEYS}/{made['id']}/rotate", headers=headers)).json()
    await client.delete(f"{KEYS}/{made['id']}", headers=headers)
    acts = (await client.get("/v1/audit", params={"limit": 3}, headers=headers)).json()["records"]
    assert [(act["actor"], act["verb"], act["object"]) for act in acts] == [
        (f"key:{maker_id}", verb, f"key/{made['id']}") for verb in ("key.revoke", "key.rotate", "key.create")
    ]
    assert acts[2]["after"]["name"] == "import"
    for key in (made, rotated):
        assert key["key"].rpartition("_")[2] not in str(acts)


async def test_a_key_gives_only_scopes_that_it_has_and_by_default_not_the_one_to_make_keys(
    client: httpx.AsyncClient,
) -> None:
    tenant = await new_tenant(client)
    _, headers = await maker(client, tenant, scopes=[CLASSIFY, WRITE_KEYS])
    assert (await client.post(KEYS, headers=headers)).json()["scopes"] == [CLASSIFY]
    given = await client.post(KEYS, json={"scopes": [WRITE_KEYS]}, headers=headers)
    assert given.json()["scopes"] == [WRITE_KEYS]
    for scope in set(SCOPES) - {CLASSIFY, WRITE_KEYS}:
        refused = await client.post(KEYS, json={"scopes": [CLASSIFY, scope]}, headers=headers)
        assert repr(scope) in assert_problem(refused, 403, "missing_scope")["detail"]
    refused = await client.post(KEYS, json={"scopes": ["fly"]}, headers=headers)
    assert assert_problem(refused, 422, "invalid_request")["field"] == "scopes"


async def test_a_key_with_more_scopes_cannot_be_rotated_into_ones_hands(client: httpx.AsyncClient) -> None:
    tenant = await new_tenant(client)
    wide = await new_key(client, tenant, scopes=[READ_USAGE])
    _, headers = await maker(client, tenant, scopes=[CLASSIFY, WRITE_KEYS])
    refused = await client.post(f"{KEYS}/{wide['id']}/rotate", headers=headers)
    assert_problem(refused, 403, "missing_scope")
    assert (await client.delete(f"{KEYS}/{wide['id']}", headers=headers)).status_code == 204


async def test_a_key_that_ends_makes_none_that_works_longer(client: httpx.AsyncClient, clock: FakeClock) -> None:
    tenant, end = await new_tenant(client), clock.now() + timedelta(days=9)
    maker_id, headers = await maker(client, tenant, expires_at=end.isoformat())
    later, sooner = (end + timedelta(seconds=1)).isoformat(), (end - timedelta(days=1)).isoformat()
    refused = await client.post(KEYS, json={"expires_at": later}, headers=headers)
    assert assert_problem(refused, 422, "invalid_request")["field"] == "expires_at"
    ends = {}
    for body in ({}, {"expires_at": sooner}):
        made = (await client.post(KEYS, json=body, headers=headers)).json()
        ends[made["id"]] = datetime.fromisoformat(made["expires_at"])
    assert [*ends.values()] == [end, end - timedelta(days=1)]
    clock.advance(86_400)
    endless = (await new_key(client, tenant))["id"]
    # Its own rotation comes last: from then on it ends with the overlap.
    for key_id in (*ends, endless, maker_id):
        rotated = (await client.post(f"{KEYS}/{key_id}/rotate", headers=headers)).json()
        assert datetime.fromisoformat(rotated["expires_at"]) == end


async def test_a_key_with_a_budget_makes_no_key_beside_it(client: httpx.AsyncClient) -> None:
    tenant = await new_tenant(client)
    maker_id, headers = await maker(client, tenant)
    path = f"/v1/tenants/{tenant}/keys/{maker_id}/budget"
    await client.put(path, json={"pairs_per_month": 5}, headers=OPERATOR)
    for refused in (
        await client.post(KEYS, headers=headers),
        await client.post(f"{KEYS}/{maker_id}/rotate", headers=headers),
    ):
        assert "budget of its own" in assert_problem(refused, 409, "conflict")["detail"]


async def test_another_tenants_keys_are_not_there(client: httpx.AsyncClient) -> None:
    other = await new_key(client, await new_tenant(client, "Other"))
    _, headers = await maker(client, await new_tenant(client))
    assert other["id"] not in (await client.get(KEYS, headers=headers)).text
    for answer in (
        await client.delete(f"{KEYS}/{other['id']}", headers=headers),
        await client.post(f"{KEYS}/{other['id']}/rotate", headers=headers),
    ):
        assert_problem(answer, 404, "not_found")
    assert (await client.get(KEYS, headers=bearer(other["key"]))).status_code == 200


async def test_keys_are_changed_only_with_the_scope_for_it(client: httpx.AsyncClient) -> None:
    """Which neither a key has by default, nor a caller without a key."""
    tenant = await new_tenant(client)
    made = await new_key(client, tenant)
    assert made["scopes"] == list(DEFAULT_SCOPES)
    assert (await client.get(KEYS, headers=bearer(made["key"]))).status_code == 200
    for headers, sentence in ((bearer(made["key"]), "the key lacks"), (LOCAL, "this needs a key, with")):
        for answer in (
            await client.post(KEYS, headers=headers),
            await client.post(f"{KEYS}/{made['id']}/rotate", headers=headers),
            await client.delete(f"{KEYS}/{made['id']}", headers=headers),
        ):
            assert sentence in assert_problem(answer, 403, "missing_scope")["detail"]
    _, headers = await maker(client, tenant, scopes=[WRITE_KEYS])
    assert_problem(await client.get(KEYS, headers=headers), 403, "missing_scope")


@pytest.mark.parametrize("name", [" ", "a" * 101, "a\nb"])
async def test_a_name_of_a_key_is_printable_and_short(client: httpx.AsyncClient, name: str) -> None:
    tenant = await new_tenant(client)
    _, headers = await maker(client, tenant)
    for path, caller in ((KEYS, headers), (f"/v1/tenants/{tenant}/keys", OPERATOR)):
        refused = await client.post(path, json={"name": name}, headers=caller)
        assert assert_problem(refused, 422, "invalid_request")["field"] == "name"


async def test_what_one_tenant_does_with_its_keys_makes_nothing_of_another_forgotten() -> None:
    """Not even what fails; or it would send every tenant's requests to the database."""
    memory = Memory()
    async with control_plane(memory) as client:
        tenant, other = await new_tenant(client), await new_tenant(client, "Other")
        (_, headers), (_, others) = await maker(client, tenant), await maker(client, other)
        assert (await client.get(KEYS, headers=others)).status_code == 200
        lookups = memory.lookups
        assert_problem(await client.delete(f"{KEYS}/k_1", headers=headers), 404, "not_found")
        assert (await client.post(KEYS, json={}, headers=headers)).status_code == 201
        assert (await client.put(f"/v1/tenants/{tenant}/budget", json={}, headers=OPERATOR)).status_code == 200
        own_lookups = memory.lookups
        assert (await client.get(KEYS, headers=others)).status_code == 200
        assert memory.lookups == own_lookups > lookups
