"""Signing in to the console with OpenID Connect, in a real Chromium at a real provider."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import jwt
import pytest
from axe_playwright_python.sync_playwright import Axe
from cryptography.hazmat.primitives.asymmetric import rsa
from playwright.sync_api import BrowserContext, Page, Request, expect

from stores.tenants import LOCAL_TENANT_ID
from tests.e2e.provider import Forge, Provider, identity_provider
from tests.e2e.server import Server
from wanneng import Client

ADMIN_KEY, INTERNAL_KEY = "a" * 32, "k" * 32
OWN_KEY = rsa.generate_private_key(public_exponent=65_537, key_size=2_048)
SIGN_IN = "前往 127.0.0.1 登录"

# Of the provider, which runs in this process.
pytestmark = pytest.mark.filterwarnings("ignore:get_jwt_config:DeprecationWarning")


@pytest.fixture(scope="module")
def provider() -> Iterator[Provider]:
    with identity_provider() as running:
        for subject, groups in (("alice", ["acme"]), ("olga", ["admins"]), ("both", ["admins", "acme"])):
            running.add(subject, groups=groups, name=f"{subject} <b>of the provider</b>")
        running.add("stranger", groups=["sales"], name="A stranger")
        yield running


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, provider: Provider) -> Iterator[Server]:
    server = Server(tmp_path_factory.mktemp("serve"))
    client_id, secret = provider.register(f"{server.url}/console")
    scopes = [
        "classify",
        "label_sets:read",
        "label_sets:write",
        "keys:read",
        "keys:write",
        "usage:read",
        "audit:read",
    ]
    roles = {"acme": {"tenant": LOCAL_TENANT_ID, "scopes": scopes}, "admins": {"operator": True}}
    server.settings = {
        "WANNENG_REQUIRE_KEY": "1",
        "WANNENG_ADMIN_KEY": ADMIN_KEY,
        "WANNENG_INTERNAL_KEY": INTERNAL_KEY,
        "WANNENG_OIDC_ISSUER": provider.url,
        "WANNENG_OIDC_CLIENT_ID": client_id,
        "WANNENG_OIDC_CLIENT_SECRET": secret,
        "WANNENG_OIDC_REDIRECT_URLS": f"{server.url}/console",
        "WANNENG_OIDC_ROLES": json.dumps(roles),
        "NO_PROXY": "127.0.0.1",
    }
    server.start()
    try:
        server.wait_until_ready()
        with Client(server.url, ADMIN_KEY) as admin:
            admin.tenants.create("Acme")
        yield server
    finally:
        _, rest = server.stop()
        assert secret not in rest, "the client's secret is in the log"


@pytest.fixture
def console(context: BrowserContext, provider: Provider) -> Iterator[Page]:
    """Fails the test where a script fails."""
    page, problems = context.new_page(), []
    page.on("pageerror", lambda error: problems.append(str(error)))
    yield page
    provider.forge = None
    assert problems == []


def to_provider(page: Page, address: str = "console") -> None:
    page.goto(f"/{address}")
    page.get_by_role("button", name=SIGN_IN).click()
    expect(page.get_by_role("heading", name="Authorize Client")).to_be_visible()


def at_provider(page: Page, subject: str) -> None:
    page.get_by_placeholder("sub").fill(subject)
    page.get_by_role("button", name="Authorize").click()


def sign_in(page: Page, subject: str, address: str = "console") -> None:
    to_provider(page, address)
    at_provider(page, subject)


def test_a_person_of_a_tenant_signs_in_works_and_signs_out(console: Page, server: Server) -> None:
    asked: list[str] = []
    console.on("request", lambda request: asked.append(request.url))
    sign_in(console, "alice", "console#/keys")
    expect(console.locator("#who")).to_have_text("local · alice <b>of the provider</b>")
    expect(console.locator("#title")).to_have_text("密钥")
    assert urlsplit(console.url).query == "", "nothing of the provider's answer stays in the address"
    assert console.context.cookies(server.url) == []
    token = console.evaluate("sessionStorage.getItem('key')")
    assert token.startswith("wns_")
    assert not [url for url in asked if token in url]

    console.get_by_label("名称（可选）").fill("of alice")
    console.get_by_role("button", name="创建").click()
    console.get_by_role("dialog").get_by_role("button", name="关闭").click()
    expect(console.locator("tbody tr").filter(has_text="of alice")).to_have_count(1)
    console.goto("/console#/new-label-set")
    console.get_by_label("名称").fill("of-alice")
    console.get_by_label("标签 1", exact=True).fill("退款")
    console.get_by_role("button", name="创建").click()
    expect(console.get_by_role("status")).to_have_text("已保存为 of-alice@1")
    with Client(server.url, token) as client:
        assert client.classify("要求退款", label_set="of-alice").labels == ("退款",), "at the gateway, too"
        assert client.me().subject == "alice"
    with Client(server.url, ADMIN_KEY) as admin:
        actors = {record.actor for record in admin.audit.list() if record.verb in ("key.create", "label_set.put")}
    assert "oidc:alice" in actors

    console.reload()
    expect(console.locator("#who")).to_contain_text("alice")
    console.get_by_role("button", name="退出登录").click()
    expect(console.get_by_text("请登录。")).to_be_visible()
    assert console.evaluate("JSON.stringify(sessionStorage)") == "{}"


def test_an_operator_signs_in_and_acts_by_name(console: Page, server: Server) -> None:
    sign_in(console, "olga")
    expect(console.locator("#who")).to_have_text("管理员 · olga <b>of the provider</b>")
    console.get_by_label("名称").fill("made by olga")
    console.get_by_role("button", name="创建").click()
    expect(console.locator("#title")).to_have_text("made by olga")
    console.goto("/console#/audit?actor=oidc%3Aolga")
    expect(console.locator("tbody tr").first).to_contain_text("tenant.create")


def test_whoever_has_several_roles_chooses_one(console: Page) -> None:
    sign_in(console, "both")
    expect(console.get_by_text("both <b>of the provider</b>，请选择身份")).to_be_visible()
    assert console.evaluate("sessionStorage.getItem('key')") is None
    console.get_by_role("button", name=LOCAL_TENANT_ID).click()
    expect(console.locator("#who")).to_contain_text("local · both")


def test_an_unknown_group_is_refused_in_both_languages_with_the_way_out(console: Page) -> None:
    sign_in(console, "stranger")
    alert = console.get_by_role("alert")
    expect(alert).to_contain_text("没有任何权限，请联系管理员")
    expect(alert).to_contain_text("'sales'")
    expect(console.get_by_label("密钥", exact=True)).to_be_visible()
    console.get_by_role("button", name="English").click()
    console.get_by_role("button", name="Sign in at 127.0.0.1").click()
    at_provider(console, "stranger")
    expect(alert).to_contain_text("you may do nothing here")
    assert console.evaluate("sessionStorage.getItem('key')") is None


def test_whoever_denies_it_at_the_provider_is_told_so(console: Page) -> None:
    to_provider(console)
    console.get_by_role("button", name="Deny").click()
    expect(console.get_by_role("alert")).to_contain_text("身份提供方拒绝了登录（access_denied）")


def test_a_session_that_ends_keeps_the_draft_for_the_same_person(console: Page, server: Server) -> None:
    sign_in(console, "alice")
    expect(console.locator("#who")).to_contain_text("alice")
    console.goto("/console#/new-label-set")
    console.get_by_label("名称").fill("half-done")
    console.evaluate("sessionStorage.setItem('key', sessionStorage.getItem('key').slice(0, -2))")
    console.get_by_label("标签 1", exact=True).fill("甲")
    console.get_by_role("button", name="创建").click()
    expect(console.get_by_role("alert")).to_contain_text("登录已过期")
    console.get_by_role("button", name=SIGN_IN).click()
    at_provider(console, "alice")
    expect(console.get_by_label("名称")).to_have_value("half-done")


def claims_of(token: str) -> dict[str, Any]:
    claims: dict[str, Any] = jwt.decode(token, options={"verify_signature": False})
    return claims


def signed_again(**changes: Any) -> Forge:
    def forge(token: str) -> str:
        kid = jwt.get_unverified_header(token).get("kid")
        return jwt.encode(claims_of(token) | changes, OWN_KEY, "RS256", headers={"kid": kid} if kid else {})

    return forge


def unsigned(token: str) -> str:
    return jwt.encode(claims_of(token) | {"groups": ["admins"]}, "", "none")


def altered(token: str) -> str:
    head, _, signature = token.split(".")
    return ".".join((head, signed_again(groups=["admins"])(token).split(".")[1], signature))


@pytest.mark.parametrize(
    "forge",
    [
        unsigned,
        altered,
        signed_again(),
        signed_again(exp=int(time.time()) - 3_600),
        signed_again(aud="other"),
        lambda token: "a.b.c",
    ],
    ids=["alg none", "altered", "another key", "expired", "another audience", "no token"],
)
def test_a_token_that_is_not_the_providers_signs_nobody_in(
    console: Page, provider: Provider, forge: Forge
) -> None:
    provider.forge = forge
    sign_in(console, "alice")
    expect(console.get_by_role("alert")).to_contain_text("登录未完成，请重新登录")
    assert console.evaluate("JSON.stringify(sessionStorage)") == "{}"
    provider.forge = None
    console.get_by_role("button", name=SIGN_IN).click()
    at_provider(console, "alice")
    expect(console.locator("#who")).to_contain_text("alice")


def test_an_answer_is_of_no_use_a_second_time_nor_in_another_tab(console: Page, context: BrowserContext) -> None:
    answers: list[str] = []
    sent: list[Any] = []

    def remember(request: Request) -> None:
        if "code=" in request.url:
            answers.append(request.url)
        if request.url.endswith("/sessions"):
            sent.append(request.post_data_json)

    console.on("request", remember)
    sign_in(console, "alice")
    expect(console.locator("#who")).to_contain_text("alice")
    other = context.new_page()
    other.goto(answers[0])
    expect(other.get_by_role("alert")).to_contain_text("不是在本标签页发起的")
    expect(other.locator("#who")).to_have_text("")
    again = console.request.post("/v1/sign-in/sessions", data=sent[0])
    assert (again.status, again.json()["code"]) == (401, "sign_in_failed")
    console.goto(answers[0])
    expect(console.get_by_role("alert")).to_contain_text("不是在本标签页发起的")
    expect(console.locator("#who")).to_contain_text("alice")


def test_somebody_elses_answer_does_not_sign_this_tab_in(console: Page, context: BrowserContext) -> None:
    """As a page would do it that wants its visitor to work in another's account."""
    other, answer = context.new_page(), re.compile(r"/console\?.*code=")
    other.route(answer, lambda route: route.abort())
    to_provider(other)
    with other.expect_request(answer) as sent:
        at_provider(other, "olga")
    to_provider(console)
    console.goto(sent.value.url)
    expect(console.get_by_role("alert")).to_contain_text("登录未完成")
    expect(console.locator("#who")).to_have_text("")


def test_people_are_sent_to_no_other_address_by_us_or_by_the_provider(
    console: Page, server: Server, provider: Provider
) -> None:
    refused = httpx.post(
        f"{server.url}/v1/sign-in", json={"redirect_url": "https://evil.example/console"}, trust_env=False
    )
    assert (refused.status_code, refused.json()["field"]) == (422, "redirect_url")
    to_provider(console)
    asked = parse_qs(urlsplit(console.url).query)
    assert asked["redirect_uri"] == [f"{server.url}/console"]
    assert asked["code_challenge_method"] == ["S256"]
    foreign = console.url.replace("redirect_uri=http%3A%2F%2F127.0.0.1", "redirect_uri=http%3A%2F%2Fevil.example")
    answer = console.goto(foreign)
    assert answer is not None
    assert answer.status == 400


def test_the_screen_to_sign_in_has_nothing_serious_for_axe(console: Page) -> None:
    console.goto("/console")
    expect(console.get_by_role("button", name=SIGN_IN)).to_be_visible()
    violations = Axe().run(console).response["violations"]
    assert [v["id"] for v in violations if v["impact"] in ("serious", "critical")] == []
    console.set_viewport_size({"width": 390, "height": 900})
    assert console.evaluate("document.documentElement.scrollWidth") <= 390


def test_a_provider_that_is_away_is_named_and_keys_go_on(tmp_path: Path, browser: Any, server: Server) -> None:
    """Its own server: the other one has read the provider's configuration."""
    own = Server(tmp_path)
    own.settings = server.settings | {
        "WANNENG_OIDC_ISSUER": f"http://127.0.0.1:{own.ports[4] + 1}",
        "WANNENG_OIDC_REDIRECT_URLS": f"{own.url}/console",
    }
    own.start()
    try:
        own.wait_until_ready()
        page = browser.new_page(locale="zh-CN", base_url=own.url)
        page.goto("/console")
        page.get_by_role("button", name=SIGN_IN).click()
        expect(page.get_by_role("alert")).to_contain_text("身份提供方暂时不可用，请稍后重试，或使用密钥登录")
        page.get_by_label("密钥", exact=True).fill(ADMIN_KEY)
        page.locator("#screen").get_by_role("button", name="登录", exact=True).click()
        expect(page.locator("#who")).to_have_text("管理员")
        page.close()
    finally:
        own.stop()
