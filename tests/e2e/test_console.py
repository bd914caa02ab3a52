"""The console in a real Chromium, as tenants use it."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import BrowserContext, Page, Route, expect

from tests.e2e.conftest import MAX_QUEUE_DELAY_S
from tests.e2e.server import Server, serving
from wanneng import Client

LABELS = ["投诉", "咨询", "建议"]


@dataclass(frozen=True)
class Tenant:
    """One of the server's tenants, with a key that may do everything, and names that no other tenant has."""

    id: str
    name: str
    key: str
    set_name: str


def new_tenant(server: Server, name: str, set_name: str) -> Tenant:
    with Client(server.url, admin_key(server)) as admin:
        tenant = admin.tenants.create(name)
        key = admin.tenants.keys.create(tenant.id).secret
    with Client(server.url, key) as client:
        client.label_sets.put(set_name, LABELS)
    return Tenant(tenant.id, name, key, set_name)


def admin_key(server: Server) -> str:
    return (server.state_dir / "admin.key").read_text(encoding="utf-8").strip()


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """One that serves nobody without a key."""
    folder = tmp_path_factory.mktemp("serve")
    with serving(folder, WANNENG_REQUIRE_KEY="1", WANNENG_MAX_QUEUE_DELAY_S=MAX_QUEUE_DELAY_S) as running:
        yield running


@pytest.fixture(scope="module")
def acme(server: Server) -> Tenant:
    return new_tenant(server, "Acme of the console", "acme-tickets")


@pytest.fixture(scope="module")
def globex(server: Server) -> Tenant:
    """Of whom Acme must never see anything."""
    return new_tenant(server, "Globex of the console", "globex-secrets")


@pytest.fixture
def console(context: BrowserContext, acme: Tenant, globex: Tenant) -> Iterator[Page]:
    """Signed in as Acme. Fails the test where a script fails, or an answer has something of Globex."""
    page = context.new_page()
    problems: list[str] = []
    answers: list[tuple[str, str]] = []

    def record(route: Route) -> None:
        answer = route.fetch()
        answers.append((route.request.url, answer.text()))
        route.fulfill(response=answer)

    page.route("**/v1/**", record)
    page.on("pageerror", lambda error: problems.append(str(error)))
    page.on("console", lambda message: problems.append(message.text) if message.type == "error" else None)
    sign_in(page, acme.key)
    expect(page.locator("#who")).to_contain_text(acme.name)
    yield page
    assert not [problem for problem in problems if "the server responded with a status of 4" not in problem]
    assert any(acme.name in body for _, body in answers)
    for url, body in answers:
        assert not [word for word in (globex.id, globex.name, globex.set_name) if word in body], url


def sign_in(page: Page, key: str) -> None:
    page.goto("/console#/sign-in")
    page.get_by_label("密钥", exact=True).fill(key)
    page.locator("#screen").get_by_role("button", name="登录").click()


def open_screen(page: Page, address: str, title: str) -> None:
    page.goto(f"/console#/{address}")
    expect(page.locator("#title")).to_have_text(title)


def serious(page: Page) -> list[tuple[str, str]]:
    violations: list[dict[str, Any]] = Axe().run(page).response["violations"]
    return [(v["id"], v["nodes"][0]["html"]) for v in violations if v["impact"] in ("serious", "critical")]


class TestSigningIn:
    def test_the_key_stays_in_the_tab_and_signing_out_clears_it_with_all_drafts(
        self, console: Page, acme: Tenant
    ) -> None:
        console.goto("/console#/new-label-set")
        console.get_by_label("名称").fill("half-done")
        console.reload()
        expect(console.get_by_label("名称")).to_have_value("half-done")
        assert acme.key not in console.url
        assert acme.key not in json.dumps(console.context.storage_state())
        assert console.context.cookies() == []
        console.get_by_role("button", name="退出登录").click()
        expect(console.get_by_text("请登录。")).to_be_visible()
        expect(console.get_by_role("navigation").get_by_role("link")).to_have_count(0)
        assert console.evaluate("JSON.stringify(sessionStorage)") == "{}"

    def test_a_key_that_nobody_has_is_refused_and_the_drafts_stay(self, console: Page, acme: Tenant) -> None:
        console.goto("/console#/new-label-set")
        console.get_by_label("名称").fill("half-done")
        sign_in(console, f"wn_{'0' * 12}_{'0' * 48}")
        expect(console.get_by_role("alert")).to_contain_text("密钥无效")
        console.goto("/console#/new-label-set")
        expect(console.get_by_label("名称")).to_have_value("half-done")
        expect(console.locator("#who")).to_contain_text(acme.name)

    def test_a_key_that_is_revoked_ends_the_session_and_keeps_what_was_written(
        self, context: BrowserContext, server: Server, acme: Tenant
    ) -> None:
        with Client(server.url, admin_key(server)) as admin:
            key = admin.tenants.keys.create(acme.id)
            page = context.new_page()
            sign_in(page, key.secret)
            expect(page.locator("#who")).to_contain_text(key.id)
            open_screen(page, f"label-sets/{acme.set_name}", f"{acme.set_name}@1")
            page.get_by_label("假设模板").fill("这是{}")
            admin.tenants.keys.revoke(acme.id, key.id)
        page.get_by_role("button", name="保存为新版本").click()
        expect(page.get_by_role("alert")).to_contain_text("密钥已失效")
        page.get_by_label("密钥", exact=True).fill(acme.key)
        page.locator("#screen").get_by_role("button", name="登录").click()
        expect(page.get_by_label("假设模板")).to_have_value("这是{}")

    def test_a_key_sees_the_screens_of_its_scopes_alone(
        self, context: BrowserContext, server: Server, acme: Tenant
    ) -> None:
        with Client(server.url, admin_key(server)) as admin:
            narrow = admin.tenants.keys.create(acme.id, scopes=["label_sets:read"]).secret
        page = context.new_page()
        sign_in(page, narrow)
        expect(page.get_by_role("navigation", name="功能").get_by_role("link")).to_have_text(["标签集"])
        page.get_by_role("link", name=acme.set_name).click()
        expect(page.get_by_role("heading", name="历史版本")).to_be_visible()
        for name in ("保存为新版本", "恢复此版本", "删除标签集"):
            expect(page.get_by_role("button", name=name)).to_have_count(0)
        page.goto("/console#/new-label-set")
        expect(page.get_by_role("alert")).to_contain_text("没有所需的权限")

    def test_the_admin_key_is_the_operator(self, context: BrowserContext, server: Server) -> None:
        page = context.new_page()
        sign_in(page, admin_key(server))
        expect(page.locator("#who")).to_have_text("管理员")


class TestLabelSets:
    def test_one_is_created_changed_compared_rolled_back_and_deleted(self, console: Page) -> None:
        console.get_by_role("link", name="新建标签集").click()
        console.get_by_label("名称").fill("made-here")
        console.get_by_label("标签 1", exact=True).fill("退款")
        console.get_by_label("标签 1 的假设").fill("顾客要求退款")
        console.get_by_role("button", name="添加标签").click()
        console.get_by_label("标签 2", exact=True).fill("物流")
        console.get_by_role("button", name="创建").click()
        expect(console.get_by_role("status")).to_have_text("已保存为 made-here@1")
        console.get_by_label("阈值").fill("0.4")
        console.get_by_role("button", name="移除标签 2").press("Enter")
        console.reload()
        expect(console.get_by_label("标签 2", exact=True)).to_have_count(0)
        expect(console.locator("form .notice").first).to_contain_text("未保存草稿")
        console.get_by_role("button", name="保存为新版本").click()
        expect(console.get_by_role("status")).to_have_text("已保存为 made-here@2")
        console.get_by_role("region", name="历史版本").get_by_role("link", name="比较").click()
        changed = console.locator("td.changed")
        expect(changed).to_have_text(["物流", "—", "—", "0.4"])
        console.get_by_label("右侧版本").select_option("1")
        expect(console.get_by_text("这两个版本内容相同。")).to_be_visible()
        console.go_back()
        console.go_back()
        console.get_by_role("button", name="恢复此版本").click()
        console.get_by_role("dialog").get_by_role("button", name="恢复此版本").click()
        expect(console.get_by_role("status")).to_have_text("已恢复，最新版本是 made-here@3")
        expect(console.get_by_label("标签 2", exact=True)).to_have_value("物流")
        console.get_by_role("button", name="删除标签集").click()
        console.keyboard.press("Escape")
        expect(console.get_by_role("dialog")).to_have_count(0)
        console.get_by_role("button", name="删除标签集").click()
        console.get_by_role("dialog").get_by_role("button", name="删除").click()
        expect(console.get_by_role("status")).to_have_text("已删除 made-here")

    def test_who_edits_an_old_version_overwrites_nothing(
        self, console: Page, server: Server, acme: Tenant
    ) -> None:
        with Client(server.url, acme.key) as client:
            first = client.label_sets.put("contested", LABELS)
            open_screen(console, "label-sets/contested", "contested@1")
            console.get_by_label("假设模板").fill("这是{}")
            client.label_sets.put("contested", [*LABELS, "表扬"], replaces=first.version)
            console.get_by_role("button", name="保存为新版本").click()
            expect(console.get_by_text("而现在最新的是版本 2")).to_be_visible()
            assert client.label_sets.get("contested").version == 2
            console.get_by_role("button", name="改为基于版本 2").click()
            console.get_by_role("button", name="保存为新版本").click()
            expect(console.get_by_role("status")).to_have_text("已保存为 contested@3")
            assert client.label_sets.get("contested").hypothesis_template == "这是{}"

    def test_a_correction_is_kept_while_the_labels_stay_and_said_to_be_lost_before_they_change(
        self, console: Page, server: Server, acme: Tenant
    ) -> None:
        with Client(server.url, acme.key) as client:
            correction = {"biases": [0.5, 0, 0], "temperature": 1.0, "map": None}
            body = {"labels": LABELS, "correction": correction}
            client.request("PUT", "/v1/label-sets/corrected", json=body)
            open_screen(console, "label-sets/corrected", "corrected@1")
            console.get_by_label("阈值").fill("0.2")
            console.get_by_role("button", name="保存为新版本").click()
            expect(console.get_by_role("status")).to_have_text("已保存为 corrected@2")
            kept = client.label_sets.get("corrected").correction
            assert kept is not None
            assert list(kept.biases) == correction["biases"]
            console.get_by_label("标签 1", exact=True).fill("不满")
            expect(console.get_by_text("新版本不再带有校正")).to_be_visible()
            console.get_by_role("button", name="保存为新版本").click()
            expect(console.get_by_role("status")).to_have_text("已保存为 corrected@3")
            assert client.label_sets.get("corrected").correction is None

    def test_lines_that_are_pasted_become_labels(self, console: Page) -> None:
        console.goto("/console#/new-label-set")
        console.get_by_label("标签 1", exact=True).evaluate(
            """(input) => {
              const clipboardData = new DataTransfer();
              clipboardData.setData("text/plain", "甲\\n乙\\t这是乙\\n丙");
              input.dispatchEvent(new ClipboardEvent("paste", { clipboardData, bubbles: true, cancelable: true }));
            }"""
        )
        expect(console.locator(".editor tbody tr")).to_have_count(3)
        expect(console.get_by_label("标签 2 的假设")).to_have_value("这是乙")

    def test_a_list_has_pages_that_a_reload_keeps(self, console: Page, server: Server, acme: Tenant) -> None:
        with Client(server.url, acme.key) as client:
            for index in range(21):
                client.label_sets.put(f"many-{index:02}", ["a", "b"])
        console.goto("/console#/label-sets")
        console.get_by_role("link", name="下一页").click()
        expect(console.locator("tbody tr").first).not_to_contain_text(acme.set_name)
        second = console.locator("tbody").inner_text()
        console.reload()
        expect(console.locator("tbody")).to_have_text(re.compile("many-"))
        assert console.locator("tbody").inner_text() == second
        console.get_by_role("link", name="第一页").click()
        expect(console.locator("tbody tr").first).to_contain_text(acme.set_name)


def test_every_word_is_in_both_languages(console: Page) -> None:
    """In the same form: a text twice, or a function of the same values twice."""
    wrong = console.evaluate(
        """async () => {
          const { SCREENS } = await import(`${location.origin}/ui/console/screens.js`);
          const { WORDS } = await import(`${location.origin}/ui/console/words.js`);
          const isPair = ([zh, en, ...more]) => zh && en && !more.length && typeof zh === typeof en
            && (typeof zh === "string" || zh.length === en.length);
          const unknown = SCREENS.filter(({ title }) => !WORDS[title]);
          return [...Object.keys(WORDS).filter((name) => !isPair(WORDS[name])), ...unknown];
        }"""
    )
    assert wrong == []


def test_the_language_is_switched_without_losing_a_draft(console: Page, acme: Tenant) -> None:
    open_screen(console, f"label-sets/{acme.set_name}", f"{acme.set_name}@1")
    console.get_by_label("假设模板").fill("about {}")
    console.get_by_role("button", name="English").click()
    expect(console.get_by_label("Hypothesis template")).to_have_value("about {}")
    expect(console.get_by_role("button", name="Save as a new version")).to_be_visible()
    assert console.locator("html").get_attribute("lang") == "en"
    console.get_by_role("button", name="Discard the draft").click()
    expect(console.get_by_label("Hypothesis template")).to_have_value("{}")


def test_no_page_shows_the_console_in_a_frame(console: Page, server: Server) -> None:
    response = console.request.get("/console")
    policy = response.headers["content-security-policy"]
    assert "frame-ancestors 'none'" in policy
    assert "unsafe" not in policy


SCREENS = ["sign-in", "label-sets", "new-label-set", "label-sets/acme-tickets", "label-sets/acme-tickets/compare"]


@pytest.mark.parametrize("width", [390, 1_280])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing_serious_and_nothing_is_wider_than_the_page(
    console: Page, scheme: str, width: int
) -> None:
    console.emulate_media(color_scheme=scheme, reduced_motion="reduce")  # type: ignore[arg-type]
    console.set_viewport_size({"width": width, "height": 900})
    for screen in SCREENS:
        console.goto(f"/console#/{screen}")
        expect(console.locator("#screen > div > *").first).to_be_visible()
        console.wait_for_load_state("networkidle")
        assert serious(console) == [], screen
        assert console.evaluate("document.documentElement.scrollWidth") <= width, screen


def test_the_console_is_used_by_keyboard_alone(console: Page, acme: Tenant) -> None:
    console.goto("/console#/label-sets")
    expect(console.locator("#title")).to_have_text("标签集")
    console.reload()
    expect(console.get_by_role("link", name="新建标签集")).to_be_visible()
    console.keyboard.press("Tab")
    expect(console.get_by_role("link", name="跳到内容")).to_be_focused()
    console.keyboard.press("Enter")
    expect(console.locator("#title")).to_be_focused()
    console.keyboard.press("Tab")
    expect(console.get_by_role("link", name="新建标签集")).to_be_focused()
    console.keyboard.press("Enter")
    expect(console.locator("#title")).to_have_text("新建标签集")
    expect(console.locator("#title")).to_be_focused()
