"""Signing in with OpenID Connect through the whole control plane, at a provider in this process."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from control_plane.settings import Role
from control_plane.sign_in import FLOW_S
from stores.database import Database
from stores.factory import Stores, sql_stores
from stores.tenants import ACTIVE, DEFAULT_SCOPES, SUSPENDED, WRITE_KEYS, Tenant
from tests.fakes.clock import FakeClock
from tests.fakes.control_plane_app import OPERATOR, bearer, control_plane, new_tenant
from tests.fakes.identity_provider import AUTHORIZE, FakeIdentityProvider
from tests.fakes.stores import fake_stores
from tests.problems import assert_problem

CONSOLE, OTHER_CONSOLE = "https://classifier.example/console", "http://localhost:8090/console"
SESSION_S = 600
ROLES = {
    "admins": Role(operator=True),
    "acme": Role(tenant="t_acme", scopes=("usage:read", "classify")),
    "acme-keys": Role(tenant="t_acme", scopes=(WRITE_KEYS, "classify")),
    "globex": Role(tenant="t_globex"),
    "gone": Role(tenant="t_gone"),
}


class World:
    """A control plane with a provider, whose tenants are Acme and Globex."""

    def __init__(self, client: httpx.AsyncClient, provider: FakeIdentityProvider, clock: FakeClock) -> None:
        self.client = client
        self.provider = provider
        self.clock = clock

    async def begin(self, redirect_url: str = CONSOLE) -> dict[str, str]:
        begun = await self.client.post("/v1/sign-in", json={"redirect_url": redirect_url})
        assert begun.status_code == 200, begun.text
        return {"redirect_url": redirect_url, **begun.json()}

    async def finish(self, begun: dict[str, str], **answer: Any) -> httpx.Response:
        sent = {"redirect_url": begun["redirect_url"], "flow": begun["flow"], **answer}
        return await self.client.post("/v1/sign-in/sessions", json=sent)

    async def sign_in(self, **claims: Any) -> httpx.Response:
        begun = await self.begin()
        return await self.finish(begun, **self.provider.sign_in(begun["authorization_url"], **claims))

    async def session(self, **claims: Any) -> dict[str, str]:
        """The header of the only session."""
        answer = await self.sign_in(**claims)
        assert answer.status_code == 201, answer.text
        (session,) = answer.json()["sessions"]
        return bearer(session["token"])


@asynccontextmanager
async def world(stores: Stores | None = None, **settings: Any) -> AsyncIterator[World]:
    stores, provider, clock = stores or fake_stores(), FakeIdentityProvider(), FakeClock()
    for name in ("acme", "globex"):
        await stores.tenants.add(Tenant(f"t_{name}", name, ACTIVE, clock.now()))
    values: dict[str, Any] = {
        "oidc_issuer": "https://login.example",
        "oidc_client_id": "console",
        "oidc_redirect_urls": (CONSOLE, OTHER_CONSOLE),
        "oidc_roles": ROLES,
        "oidc_session_s": SESSION_S,
    }
    async with control_plane(clock=clock, stores=stores, provider=provider, **(values | settings)) as client:
        yield World(client, provider, clock)


@pytest.fixture
async def sql(tmp_path: Path) -> Stores:
    """A real SQLite, which has an audit log."""
    database = Database(f"sqlite:///{tmp_path}/wanneng.db")
    await database.prepare()
    return sql_stores(database)


async def test_without_a_provider_the_console_says_so_and_nobody_signs_in() -> None:
    async with control_plane() as client:
        assert (await client.get("/v1/sign-in")).json() == {"provider": None}
        refused = await client.post("/v1/sign-in", json={"redirect_url": CONSOLE})
        assert_problem(refused, 404, "not_found")


async def test_a_person_gets_a_session_for_the_tenant_of_the_role_with_its_scopes() -> None:
    async with world() as w:
        assert (await w.client.get("/v1/sign-in")).json() == {"provider": "login.example"}
        answer = await w.sign_in(groups=["staff", "acme"], name="Alice Doe")
        assert answer.headers["Cache-Control"] == "no-store"
        assert answer.json()["name"] == "Alice Doe"
        (session,) = answer.json()["sessions"]
        assert (session["tenant_id"], session["is_operator"]) == ("t_acme", False)
        me = (await w.client.get("/v1/me", headers=bearer(session["token"]))).json()
        assert (me["tenant_id"], me["subject"], me["key_id"]) == ("t_acme", "alice", None)
        assert set(me["scopes"]) == {"usage:read", "classify"}
        refused = await w.client.get("/v1/label-sets", headers=bearer(session["token"]))
        assert_problem(refused, 403, "missing_scope")
        assert_problem(await w.client.get("/v1/tenants", headers=bearer(session["token"])), 401, "unauthorized")


async def test_a_session_sees_nothing_of_another_tenant() -> None:
    async with world() as w:
        globex = await w.session(groups="globex")
        made = await w.client.put("/v1/label-sets/secret", json={"labels": ["a"]}, headers=globex)
        assert made.status_code == 201
        other = await new_tenant(w.client, "Other")
        key = (await w.client.post(f"/v1/tenants/{other}/keys", headers=OPERATOR)).json()["key"]
        assert (await w.client.get("/v1/label-sets/secret", headers=bearer(key))).status_code == 404


async def test_the_scopes_of_several_roles_at_a_tenant_add_up() -> None:
    async with world() as w:
        me = (await w.client.get("/v1/me", headers=await w.session(groups=["acme", "acme-keys"]))).json()
        assert set(me["scopes"]) == {"usage:read", "classify", WRITE_KEYS}


async def test_whoever_has_several_roles_gets_a_session_for_each() -> None:
    async with world() as w:
        answer = await w.sign_in(groups=["globex", "admins", "acme"])
        found = [(each["is_operator"], each["tenant_id"]) for each in answer.json()["sessions"]]
        assert found == [(True, None), (False, "t_globex"), (False, "t_acme")]
        assert answer.json()["sessions"][1]["scopes"] == list(DEFAULT_SCOPES)


async def test_an_operator_may_do_what_the_admin_key_may_and_is_named_in_the_audit_log(sql: Stores) -> None:
    async with world(sql) as w:
        operator = await w.session(groups=["admins"])
        assert (await w.client.post("/v1/tenants", json={"name": "New"}, headers=operator)).status_code == 201
        (record, *_) = (await w.client.get("/v1/admin/audit", headers=operator)).json()["records"]
        assert (record["actor"], record["verb"]) == ("oidc:alice", "tenant.create")
        assert_problem(await w.client.get("/v1/me", headers=operator), 401, "unauthorized")


async def test_a_persons_acts_are_recorded_by_the_subject_and_a_long_one_by_its_digest(sql: Stores) -> None:
    async with world(sql) as w:
        for subject in ("alice", "x" * 300, "老李"):
            headers = await w.session(groups=["globex"], sub=subject)
            await w.client.put(f"/v1/label-sets/of-{len(subject)}", json={"labels": ["a"]}, headers=headers)
        records = (await w.client.get("/v1/audit", headers=headers)).json()["records"]
        actors = {record["actor"] for record in records if record["verb"] == "label_set.put"}
        assert len(actors) == 3
        assert {len(actor) for actor in actors - {"oidc:alice"}} == {len("oidc:") + 64}


async def test_keys_that_a_person_makes_outlive_the_session_and_may_do_no_more() -> None:
    async with world() as w:
        headers = await w.session(groups=["acme", "acme-keys"])
        made = await w.client.post("/v1/keys", json={"name": "mine"}, headers=headers)
        assert made.status_code == 201
        assert made.json()["expires_at"] is None
        assert set(made.json()["scopes"]) == {"usage:read", "classify"}
        more = await w.client.post("/v1/keys", json={"scopes": ["batches:write"]}, headers=headers)
        assert_problem(more, 403, "missing_scope")
        rotated = await w.client.post(f"/v1/keys/{made.json()['id']}/rotate", headers=headers)
        assert rotated.status_code == 201
        without = await w.session(groups=["acme"])
        assert_problem(await w.client.post("/v1/keys", headers=without), 403, "missing_scope")


async def test_a_session_ends() -> None:
    async with world() as w:
        tenant, operator = await w.session(groups=["acme"]), await w.session(groups=["admins"])
        w.clock.advance(SESSION_S)
        assert_problem(await w.client.get("/v1/me", headers=tenant), 401, "unauthorized")
        assert_problem(await w.client.get("/v1/tenants", headers=operator), 401, "unauthorized")


async def test_a_session_ends_with_its_tenant() -> None:
    async with world() as w:
        headers = await w.session(groups=["acme"])
        await w.client.patch("/v1/tenants/t_acme", json={"status": SUSPENDED}, headers=OPERATOR)
        assert_problem(await w.client.get("/v1/me", headers=headers), 401, "unauthorized")
        refused = await w.sign_in(groups=["acme"])
        assert_problem(refused, 403, "no_role")
        assert "suspended" in refused.json()["detail"]


@pytest.mark.parametrize(
    ("claims", "said"),
    [
        ({"groups": ["sales", "acme "]}, "'sales', 'acme '"),
        ({"groups": []}, "has no text in the claim 'groups'"),
        ({}, "has no text in the claim 'groups'"),
        ({"groups": {"acme": True}}, "has no text in the claim 'groups'"),
        ({"groups": [["acme"], None, 1]}, "has no text in the claim 'groups'"),
        ({"roles": ["acme"]}, "has no text in the claim 'groups'"),
        ({"groups": ["gone"]}, "suspended or do not exist"),
        ({"groups": [str(number) for number in range(1_000)]}, "'9'; ask the operator"),
    ],
)
async def test_whoever_has_no_role_is_refused_and_told_why(claims: dict[str, Any], said: str) -> None:
    async with world() as w:
        refused = await w.sign_in(**claims)
        assert_problem(refused, 403, "no_role")
        assert said in refused.json()["detail"]


async def test_the_operator_names_the_claim() -> None:
    async with world(oidc_claim="https://example.com/roles") as w:
        answer = await w.sign_in(**{"https://example.com/roles": ["acme"], "groups": ["admins"]})
        assert [each["tenant_id"] for each in answer.json()["sessions"]] == ["t_acme"]


@pytest.mark.parametrize(
    "redirect_url",
    [
        "https://evil.example/console",
        f"{CONSOLE}/",
        f"{CONSOLE}?next=https://evil.example",
        "https://classifier.example@evil.example/console",
        "",
    ],
)
async def test_nobody_is_sent_to_an_address_that_the_operator_has_not_named(redirect_url: str) -> None:
    async with world() as w:
        refused = await w.client.post("/v1/sign-in", json={"redirect_url": redirect_url})
        assert_problem(refused, 422, "invalid_request")
        assert AUTHORIZE not in refused.text


async def test_an_answer_is_of_use_once_and_for_its_own_sign_in_alone() -> None:
    async with world() as w:
        first, second = await w.begin(), await w.begin()
        assert first["authorization_url"] != second["authorization_url"]
        answer = w.provider.sign_in(first["authorization_url"], groups=["acme"])
        for begun in (second, first | {"redirect_url": OTHER_CONSOLE}):
            assert_problem(await w.finish(begun, **answer), 401, "sign_in_failed")
        # The state of another sign-in with the code of this one.
        foreign = {"code": answer["code"], "state": w.provider.sign_in(second["authorization_url"])["state"]}
        assert_problem(await w.finish(first, **foreign), 401, "sign_in_failed")
        assert (await w.finish(first, **answer)).status_code == 201
        assert_problem(await w.finish(first, **answer), 401, "sign_in_failed")


async def test_a_code_that_was_given_to_another_sign_in_is_refused() -> None:
    """As whoever has stolen it would use it: PKCE."""
    async with world() as w:
        victims, thiefs = await w.begin(), await w.begin()
        stolen = w.provider.sign_in(victims["authorization_url"], groups=["admins"])["code"]
        own = w.provider.sign_in(thiefs["authorization_url"])
        assert_problem(await w.finish(thiefs, **(own | {"code": stolen})), 401, "sign_in_failed")


async def test_a_sign_in_ends_and_cannot_be_prolonged() -> None:
    async with world() as w:
        begun = await w.begin()
        answer = w.provider.sign_in(begun["authorization_url"], groups=["acme"])
        end, _, rest = begun["flow"].partition(".")
        longer = begun | {"flow": f"{int(end) + 1_000}.{rest}"}
        w.clock.advance(FLOW_S + 1)
        assert_problem(await w.finish(longer, **answer), 401, "sign_in_failed")
        assert "600 s ago" in (await w.finish(begun, **answer)).json()["detail"]


@pytest.mark.parametrize("flow", ["", ".", "x", "99999999999.abc", "e" * 5_000])
async def test_a_flow_that_nobody_has_begun_is_refused(flow: str) -> None:
    async with world() as w:
        refused = await w.finish(await w.begin() | {"flow": flow}, code="c", state="s")
        assert refused.status_code in (401, 422)
