"""The operator's endpoints and the callers' keys, through the whole application."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from stores.tenants import CLASSIFY, DEFAULT_SCOPES, READ_USAGE
from tests.fakes.control_plane_app import OPERATOR, bearer, control_plane, new_key, new_tenant
from tests.fakes.stores import Memory
from tests.problems import assert_problem


async def ask(client: httpx.AsyncClient, headers: dict[str, str]) -> httpx.Response:
    """For something that needs the scope `classify`."""
    return await client.get("/v1/files", headers=headers)


async def test_a_tenant_gets_a_key_and_is_served_with_it() -> None:
    async with control_plane() as client:
        tenant = await new_tenant(client)
        made = await new_key(client, tenant)
        assert made["key"].startswith(f"wn_{made['id']}_")
        assert (await ask(client, bearer(made["key"]))).status_code == 200
        listed = (await client.get(f"/v1/tenants/{tenant}/keys", headers=OPERATOR)).json()["keys"]
    assert [key["id"] for key in listed] == [made["id"]]
    assert "key" not in listed[0]


async def test_a_refused_key_is_a_401_problem_that_says_how_to_give_one() -> None:
    async with control_plane() as client:
        for headers in ({}, bearer("wn_wrong"), bearer("operator")):
            refused = await ask(client, headers)
            problem = assert_problem(refused, 401, "unauthorized")
            assert refused.headers["www-authenticate"] == 'Bearer realm="wanneng"'
            assert problem["detail"] == "a valid key is needed: Authorization: Bearer wn_…"


async def test_a_key_without_the_scope_is_a_403() -> None:
    async with control_plane() as client:
        made = await new_key(client, await new_tenant(client), scopes=[])
        refused = await ask(client, bearer(made["key"]))
    assert_problem(refused, 403, "missing_scope")


async def test_a_suspended_tenant_is_refused_at_once_and_comes_back_with_all_it_had() -> None:
    async with control_plane() as client:
        tenant = await new_tenant(client)
        key = bearer((await new_key(client, tenant))["key"])
        assert (await ask(client, key)).status_code == 200
        for status, expected in (("suspended", 401), ("active", 200)):
            await client.patch(f"/v1/tenants/{tenant}", json={"status": status}, headers=OPERATOR)
            assert (await ask(client, key)).status_code == expected


async def test_a_rotated_key_works_for_its_overlap_and_a_revoked_one_no_more() -> None:
    async with control_plane() as client:
        tenant = await new_tenant(client)
        old = await new_key(client, tenant)
        path = f"/v1/tenants/{tenant}/keys"
        rotated = await client.post(f"{path}/{old['id']}/rotate", json={"overlap_s": 60}, headers=OPERATOR)
        new = rotated.json()
        for key in (old, new):
            assert (await ask(client, bearer(key["key"]))).status_code == 200
        assert (await client.delete(f"{path}/{old['id']}", headers=OPERATOR)).status_code == 204
        assert (await ask(client, bearer(old["key"]))).status_code == 401


async def test_a_deleted_tenant_takes_its_keys_along() -> None:
    async with control_plane() as client:
        tenant = await new_tenant(client)
        key = bearer((await new_key(client, tenant))["key"])
        assert (await ask(client, key)).status_code == 200
        assert (await client.delete(f"/v1/tenants/{tenant}", headers=OPERATOR)).status_code == 204
        assert (await ask(client, key)).status_code == 401
        assert_problem(await client.get(f"/v1/tenants/{tenant}", headers=OPERATOR), 404, "not_found")


async def test_a_quota_is_set_shown_and_taken_back() -> None:
    limits = ("requests_per_minute", "pairs_per_minute", "pairs_in_flight")
    async with control_plane() as client:
        path = f"/v1/tenants/{await new_tenant(client)}"
        for body, expected in (
            ({"pairs_per_minute": 60_000}, [None, 60_000, None]),
            ({"requests_per_minute": 5, "pairs_in_flight": 7}, [5, None, 7]),
            ({}, [None, None, None]),
        ):
            answer = await client.put(path + "/quota", json=body, headers=OPERATOR)
            assert [answer.json()[limit] for limit in limits] == expected
            assert (await client.get(path, headers=OPERATOR)).json() == answer.json()
        for limit in limits:
            for value in (0, -1, 1_000_000_001):
                refused = await client.put(path + "/quota", json={limit: value}, headers=OPERATOR)
                assert assert_problem(refused, 422, "invalid_request")["field"] == limit


async def test_special_tokens_are_the_models_until_they_are_set() -> None:
    async with control_plane() as client:
        path = f"/v1/tenants/{await new_tenant(client)}"
        assert (await client.get(path, headers=OPERATOR)).json()["special_tokens"] == "model"
        for body, expected in (
            ({"special_tokens": "text"}, "text"),
            ({"name": "other"}, "text"),
            ({"special_tokens": "model"}, "model"),
        ):
            answer = await client.patch(path, json=body, headers=OPERATOR)
            assert answer.json()["special_tokens"] == expected
            assert (await client.get(path, headers=OPERATOR)).json() == answer.json()
        refused = await client.patch(path, json={"special_tokens": "none"}, headers=OPERATOR)
        assert_problem(refused, 422, "invalid_request")


async def test_names_are_unique_and_tenants_are_listed_by_name() -> None:
    async with control_plane() as client:
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
    ("PUT", "/v1/tenants/t_1/quota"),
    ("GET", "/v1/tenants/t_1/usage"),
    ("POST", "/v1/tenants/t_1/keys"),
    ("GET", "/v1/tenants/t_1/keys"),
    ("DELETE", "/v1/tenants/t_1/keys/k"),
    ("POST", "/v1/tenants/t_1/keys/k/rotate"),
    ("GET", "/v1/admin/status"),
]


@pytest.mark.parametrize(("method", "path"), PATHS)
async def test_every_endpoint_of_the_operator_needs_the_admin_key(method: str, path: str) -> None:
    """A tenant's key is none, and without WANNENG_ADMIN_KEY nobody has one."""
    async with control_plane() as client:
        tenants_key = (await new_key(client, await new_tenant(client)))["key"]
        for headers in ({}, bearer(tenants_key), bearer("wrong")):
            assert_problem(await client.request(method, path, headers=headers), 401, "unauthorized")
    async with control_plane(admin_key="") as client:
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
    async with control_plane() as client:
        tenant = await new_tenant(client)
        refused = await client.post(path.format(id=tenant), json=body, headers=OPERATOR)
        assert_problem(refused, status, "invalid_request")


async def test_a_body_may_be_left_out_where_everything_has_a_default() -> None:
    async with control_plane() as client:
        tenant = await new_tenant(client)
        created = await client.post(f"/v1/tenants/{tenant}/keys", headers=OPERATOR)
        assert (created.status_code, created.json()["scopes"]) == (201, list(DEFAULT_SCOPES))
        rotate = f"/v1/tenants/{tenant}/keys/{created.json()['id']}/rotate"
        assert (await client.post(rotate, headers=OPERATOR)).status_code == 201


async def test_a_database_that_is_gone_refuses_strangers_and_keeps_its_callers() -> None:
    memory = Memory()
    async with control_plane(memory) as client:
        key = bearer((await new_key(client, await new_tenant(client), scopes=[READ_USAGE]))["key"])
        assert_problem(await ask(client, key), 403, "missing_scope")
        memory.down = True
        # Known: authenticated as before, and refused for its scope.
        assert_problem(await ask(client, key), 403, "missing_scope")
        refused = await ask(client, bearer(f"wn_{'0' * 12}_{'0' * 48}"))
        assert_problem(refused, 503, "store_unavailable")
        assert refused.headers["retry-after"] == "1"


async def test_ids_never_become_labels_of_a_metric() -> None:
    async with control_plane() as client:
        tenant = await new_tenant(client)
        await client.get(f"/v1/tenants/{tenant}", headers=OPERATOR)
        metrics = (await client.get("/metrics")).text
    assert 'route="/v1/tenants/{tenant_id}"' in metrics
    assert tenant not in metrics


async def test_no_key_is_ever_logged(caplog: pytest.LogCaptureFixture) -> None:
    lines: list[bytes] = []
    with caplog.at_level("DEBUG"):
        async with control_plane(lines=lines) as client:
            tenant = await new_tenant(client)
            key = (await new_key(client, tenant, scopes=[CLASSIFY]))["key"]
            await ask(client, bearer(key))
            await ask(client, bearer(key + "0"))
    packages = ("control_plane", "web", "stores")
    messages = [record.getMessage() for record in caplog.records if record.name.startswith(packages)]
    logged = "\n".join([*messages, *(line.decode() for line in lines)])
    assert tenant in logged
    assert key not in logged
    assert "operator" not in logged
