"""The console in a real Chromium, as the operator uses it."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import BrowserContext, Dialog, Page, expect

from tests.e2e.conftest import MAX_QUEUE_DELAY_S
from tests.e2e.console import admin_key, foreign_elements, sign_in
from tests.e2e.hostile_words import HOSTILE
from tests.e2e.server import TINY, Server, serving
from tests.e2e.webhook import Webhook, receiving
from tests.polling import until
from wanneng import Client, GatewayRefused, verify_chain

LABELS = ["投诉", "咨询"]


@pytest.fixture(scope="module")
def webhook() -> Iterator[Webhook]:
    with receiving() as running:
        yield running


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, webhook: Webhook) -> Iterator[Server]:
    """One that serves nobody without a key, and tells of budgets."""
    settings = {"WANNENG_REQUIRE_KEY": "1", "WANNENG_MAX_QUEUE_DELAY_S": MAX_QUEUE_DELAY_S} | webhook.settings
    with serving(tmp_path_factory.mktemp("serve"), TINY, **settings) as running:
        yield running


@pytest.fixture(scope="module")
def admin(server: Server) -> Iterator[Client]:
    with Client(server.url, admin_key(server)) as client:
        yield client


@pytest.fixture
def console(context: BrowserContext, server: Server) -> Iterator[Page]:
    """Signed in as the operator. Fails the test where a script fails, or one of somebody else runs."""
    page = context.new_page()
    problems: list[str] = []

    def dismiss(dialog: Dialog) -> None:
        problems.append(dialog.message)
        dialog.dismiss()

    page.on("pageerror", lambda error: problems.append(str(error)))
    page.on("console", lambda message: problems.append(message.text) if message.type == "error" else None)
    page.on("dialog", dismiss)
    page.expose_function("owned", lambda: problems.append("words ran"))
    sign_in(page, admin_key(server))
    expect(page.locator("#who")).to_have_text("管理员")
    yield page
    assert [problem for problem in problems if "the server responded with a status of 4" not in problem] == []


def section(page: Page, heading: str) -> Any:
    return page.get_by_role("region", name=heading, exact=True).first


def told(page: Page, text: str | re.Pattern[str]) -> None:
    expect(page.get_by_role("status")).to_have_text(text)


def test_a_budget_is_set_used_up_told_of_and_raised_and_the_audit_log_has_each_step(
    console: Page, server: Server, webhook: Webhook, tmp_path: Path
) -> None:
    expect(console.locator("#title")).to_have_text("租户")
    console.get_by_label("名称", exact=True).fill("Acme of the operator")
    console.get_by_role("button", name="创建").click()
    told(console, "已创建租户 Acme of the operator")
    tenant_id = console.url.rpartition("/")[2]

    console.get_by_label("名称（可选）").fill("first")
    console.get_by_role("button", name="创建").click()
    secret = console.get_by_role("dialog").locator(".secret").inner_text()
    console.get_by_role("dialog").get_by_role("button", name="关闭").click()
    expect(section(console, "密钥").locator("tbody tr")).to_contain_text(["first"])
    assert secret not in console.content()

    budget = section(console, "预算")
    budget.get_by_label("每月句对数").fill("4")
    budget.get_by_role("button", name="保存预算").click()
    told(console, "预算已保存")
    with Client(server.url, secret) as client:
        for text in ("要求退款", "怎么退货"):
            assert client.classify(text, LABELS).labels
        with pytest.raises(GatewayRefused) as refusal:
            client.classify("快递没到", LABELS)
        assert refusal.value.code == "budget_exceeded"
        until(
            lambda: {alert["percent"] for alert in webhook.heard if alert["tenant_id"] == tenant_id} >= {80, 100},
            "the webhook is not called",
        )
        console.reload()
        expect(section(console, "预算")).to_contain_text("4 / 4")
        expect(section(console, "请求结果（自网关启动起）")).to_contain_text("被拒（429、503）1")
        expect(section(console, "每天").locator("tbody tr")).to_have_count(1)
        budget.get_by_label("每月句对数").fill("100")
        budget.get_by_label("超出").select_option("soft")
        budget.get_by_role("button", name="保存预算").click()
        told(console, "预算已保存")
        assert client.classify("快递没到", LABELS).labels, "it is raised"

    console.get_by_role("link", name="审计日志").last.click()
    expect(console.locator("#title")).to_have_text("审计日志")
    rows = console.get_by_role("group", name="审计日志", exact=True).locator("tbody tr")
    expect(rows).to_have_count(4)
    verbs = ["tenant.update", "tenant.update", "key.create", "tenant.create"]
    for index, (verb, values) in enumerate(zip(verbs, ("100", "4", "first", "Acme"), strict=True)):
        expect(rows.nth(index)).to_contain_text(verb)
        expect(rows.nth(index)).to_contain_text(values)
        expect(rows.nth(index)).to_contain_text("admin:")
    assert secret.rpartition("_")[2] not in console.content()
    console.get_by_role("button", name="校验整条链").click()
    told(console, re.compile(r"\d+ 条记录均未被改动；最后一条的哈希是 [0-9a-f]{64}"))
    console.get_by_role("link", name="清除筛选").click()
    with console.expect_download() as download:
        console.get_by_role("button", name="导出 JSON Lines").click()
    download.value.save_as(tmp_path / "audit.jsonl")
    lines = (tmp_path / "audit.jsonl").read_text(encoding="utf-8").splitlines(keepends=True)
    assert verify_chain(lines).records == len(lines) >= 4


def test_a_record_that_was_changed_on_its_way_is_named(console: Page, admin: Client) -> None:
    admin.tenants.create("recorded")
    lines = [*admin.audit.export()]
    changed = json.loads(lines[-1]) | {"actor": "nobody"}
    altered = "\n".join([*lines[:-1], json.dumps(changed, sort_keys=True, separators=(",", ":"))])
    console.route("**/audit/export?after=0", lambda route: route.fulfill(body=altered))
    console.goto("/console#/audit")
    console.get_by_role("button", name="校验整条链").click()
    expect(console.get_by_role("alert")).to_have_text(f"审计日志从第 {changed['sequence']} 条记录起被改动过")


def test_the_log_is_filtered_by_what_the_address_says(console: Page, admin: Client) -> None:
    for number in range(21):
        admin.tenants.create(f"filtered {number}")
    tenant = admin.tenants.create("the one")
    admin.tenants.suspend(tenant.id)
    console.goto("/console#/audit")
    rows = console.get_by_role("group", name="审计日志", exact=True).locator("tbody tr")
    expect(rows).to_have_count(20)
    first = rows.first.inner_text()
    console.get_by_role("link", name="下一页").click()
    expect(rows.first).not_to_have_text(first)
    console.get_by_label("对象").fill(f"tenant/{tenant.id}")
    console.get_by_role("button", name="筛选").click()
    expect(rows).to_have_count(2)
    console.reload()
    expect(console.get_by_label("对象")).to_have_value(f"tenant/{tenant.id}")
    expect(rows).to_have_count(2)
    console.get_by_label("从").fill("2030-01-01T00:00")
    console.get_by_role("button", name="筛选").click()
    expect(console.get_by_text("没有内容。")).to_be_visible()


def test_a_tenant_is_suspended_resumed_and_given_a_quota_and_its_keys_are_managed(
    console: Page, server: Server, admin: Client
) -> None:
    tenant = admin.tenants.create("managed")
    key = admin.tenants.keys.create(tenant.id, name="old")
    console.goto(f"/console#/tenants/{tenant.id}")
    quota = section(console, "配额")
    quota.get_by_label("每分钟句对数").fill("600")
    quota.get_by_role("button", name="保存配额").click()
    told(console, "配额已保存")
    assert admin.tenants.get(tenant.id).pairs_per_minute == 600
    console.get_by_role("button", name="停用").click()
    console.get_by_role("dialog").get_by_role("button", name="停用").click()
    expect(console.get_by_role("button", name="恢复", exact=True)).to_be_visible()
    assert admin.tenants.get(tenant.id).status == "suspended"
    console.get_by_role("button", name="恢复", exact=True).click()
    expect(console.get_by_role("button", name="停用")).to_be_visible()
    row = section(console, "密钥").locator("tbody tr").filter(has_text=key.id)
    row.get_by_role("button", name="预算").click()
    console.get_by_role("dialog").get_by_label("每月 token 数").fill("7")
    console.get_by_role("dialog").get_by_role("button", name="保存预算").click()
    told(console, "预算已保存")
    assert admin.tenants.budget(tenant.id, key.id).tokens_per_month == 7
    row.locator("button").nth(1).click()
    console.get_by_role("dialog").locator("button.danger").click()
    expect(row).to_have_count(0)
    with pytest.raises(GatewayRefused, match="a valid key is needed"), Client(server.url, key.secret) as client:
        client.classify("要求退款", LABELS)


def test_the_live_view_shows_what_the_gateway_counts_and_goes_on(
    console: Page, server: Server, admin: Client
) -> None:
    tenant = admin.tenants.create("watched")
    with Client(server.url, admin.tenants.keys.create(tenant.id).secret) as client:
        console.goto("/console#/live")
        expect(section(console, "网关").locator("tbody tr")).to_contain_text([server.url])
        expect(section(console, "网关").locator("tbody tr")).to_contain_text(["就绪"])
        expect(section(console, "Triton 副本").locator("tbody tr")).to_contain_text(["default"])
        client.classify("要求退款", LABELS)
        expect(section(console, "各租户的请求").locator("tbody tr").filter(has_text=tenant.id)).to_contain_text(
            f"{tenant.id}21"
        )


def test_usage_is_shown_by_label_set_to_the_operator_and_to_the_tenant(
    console: Page, server: Server, admin: Client
) -> None:
    tenant = admin.tenants.create("charted")
    secret = admin.tenants.keys.create(tenant.id).secret
    with Client(server.url, secret) as client:
        client.label_sets.put("charted-set", LABELS)
        client.classify("要求退款", label_set="charted-set")
        client.classify("怎么退货", ["甲", "乙", "丙"])
        until(lambda: client.usage().total.requests == 2, "usage is not stored")
    for address in (f"tenants/{tenant.id}", "usage"):
        if address == "usage":
            console.get_by_role("button", name="退出登录").click()
            console.goto("/console#/sign-in")
            console.get_by_label("密钥", exact=True).fill(secret)
            console.locator("#screen").get_by_role("button", name="登录").click()
            expect(console.locator("#who")).to_contain_text("charted")
        console.goto(f"/console#/{address}")
        expect(section(console, "按标签集")).to_be_visible()
        expect(section(console, "每天").locator("tbody tr")).to_contain_text([re.compile(r"-\d\d250\d")])
        sets = section(console, "按标签集")
        expect(sets.locator("svg rect.first")).to_have_count(1)
        sets.get_by_role("link", name="charted-set").click()
        expect(section(console, "每天").locator("tbody tr")).to_contain_text([re.compile(r"-\d\d120\d")])
        console.reload()
        expect(section(console, "按标签集").locator("tbody tr")).to_contain_text(["charted-set"])
        section(console, "按标签集").get_by_role("link", name="显示全部用量").click()
        expect(section(console, "按标签集").locator("svg")).to_be_visible()


def test_hostile_names_run_nothing_on_any_screen(console: Page, admin: Client) -> None:
    for name in HOSTILE:
        tenant = admin.tenants.create(name)
        admin.tenants.keys.create(tenant.id, name=name)
        console.goto(f"/console#/tenants/{tenant.id}")
        expect(console.locator("#title")).to_have_text(name)
        expect(section(console, "密钥").locator("tbody tr")).to_contain_text([name])
        assert foreign_elements(console) == []
    for screen in ("tenants", "live", "audit"):
        console.goto(f"/console#/{screen}")
        expect(console.locator("#screen > div > *").first).to_be_visible()
        assert foreign_elements(console) == []
