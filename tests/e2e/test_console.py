"""The console in a real Chromium, as tenants use it."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Iterator
from decimal import ROUND_HALF_UP, Decimal
from io import BytesIO
from pathlib import Path
from typing import Any
from zipfile import ZIP_DEFLATED, ZipFile

import msgspec
import pytest
from openpyxl import Workbook
from playwright.sync_api import BrowserContext, Page, Route, expect

from gateway.classification.scoring import corrected, entailment, ranking
from stores.correction import Correction
from tests.e2e.conftest import MAX_QUEUE_DELAY_S
from tests.e2e.console import (
    LABELS,
    Tenant,
    admin_key,
    foreign_elements,
    new_tenant,
    open_screen,
    sign_in,
)
from tests.e2e.hostile_words import HOSTILE
from tests.e2e.pictures import picture
from tests.e2e.server import Server, serving
from wanneng import Client, GatewayRefused


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
    # A screen may be asking for the progress of a batch.
    page.unroute_all(behavior="ignoreErrors")
    assert not [problem for problem in problems if "the server responded with a status of 4" not in problem]
    assert any(acme.name in body for _, body in answers)
    for url, body in answers:
        assert not [word for word in (globex.id, globex.name, globex.set_name) if word in body], url


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

    def test_signing_out_shows_nothing_any_more_where_the_service_does_not_answer(
        self, context: BrowserContext, acme: Tenant
    ) -> None:
        page = context.new_page()
        sign_in(page, acme.key)
        expect(page.get_by_role("link", name=acme.set_name)).to_be_visible()
        page.route("**/v1/me", lambda route: route.abort())
        page.get_by_role("button", name="退出登录").click()
        expect(page.get_by_role("alert")).to_contain_text("无法连接服务")
        expect(page.get_by_text("请登录。")).to_be_visible()
        assert acme.name not in page.content()
        assert acme.set_name not in page.content()

    def test_who_signs_in_after_somebody_else_finds_none_of_their_drafts(
        self, context: BrowserContext, acme: Tenant, globex: Tenant
    ) -> None:
        page = context.new_page()
        sign_in(page, acme.key)
        page.goto("/console#/new-label-set")
        page.get_by_label("名称").fill("of-acme")
        assert "of-acme" in page.evaluate("JSON.stringify(sessionStorage)")
        sign_in(page, globex.key)
        expect(page.locator("#who")).to_contain_text(globex.name)
        assert "of-acme" not in page.evaluate("JSON.stringify(sessionStorage)")

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
        expect(console.locator("form .notice").first).to_contain_text("有未保存的草稿（基于版本 1）")
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
            expect(console.get_by_text("新版本不再带有修正")).to_be_visible()
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


class TestWorkbench:
    def test_a_tenant_words_labels_against_its_texts_saves_them_runs_a_batch_and_sees_the_usage(
        self, console: Page, server: Server, acme: Tenant
    ) -> None:
        with Client(server.url, acme.key) as client:
            client.label_sets.put("journey", LABELS)
        console.get_by_role("link", name="工作台").click()
        console.get_by_role("link", name="journey", exact=True).click()
        console.get_by_label("文本", exact=True).fill("\n".join(SAMPLES))
        console.get_by_role("button", name="使用这些文本").click()
        expect(console.get_by_text("200 条文本，其中 180 条有正确标签。")).to_be_visible()
        console.get_by_label("标签 1 的假设").fill("不满意，要求退款")
        console.get_by_label("标签 2 的假设").fill("提问")
        console.get_by_role("button", name="对比两个版本").click()
        rows = console.get_by_role("region", name="文本").locator("tbody tr")
        expect(rows).to_have_count(200, timeout=120_000)
        numbers = facts(console)
        flips = int(numbers["结果改变"])
        assert flips > 0
        assert re.fullmatch(r"[\d.]+% \(\d+/180\)", numbers["当前准确率"])
        console.get_by_label("显示", exact=True).select_option("flips")
        expect(rows).to_have_count(flips)
        slider = console.get_by_label("草稿的阈值（0：不设阈值）")
        slider.focus()
        for _ in range(30):
            slider.press("ArrowRight")
        expect(slider).to_be_focused()
        expect(console.get_by_text("阈值 0.3：覆盖率")).to_be_visible()
        expect(console.get_by_role("spinbutton", name="阈值")).to_have_value("0.3")
        none_of_these, changed = (int(facts(console)[name]) for name in ("草稿无匹配标签", "结果改变"))
        assert none_of_these > 0
        console.reload()
        expect(console.get_by_text("阈值 0.3：覆盖率")).to_be_visible()
        assert int(facts(console)["草稿无匹配标签"]) == none_of_these
        expect(console.get_by_label("显示", exact=True)).to_have_value("flips")
        picture(console, "console-workbench", console.locator(".actions:has(progress)"))
        console.get_by_role("button", name="保存为新版本").click()
        expect(console.get_by_role("dialog")).to_contain_text("草稿的准确率")
        console.get_by_role("dialog").get_by_role("button", name="保存").click()
        expect(console.get_by_role("status").first).to_have_text("已保存为 journey@2")
        with Client(server.url, acme.key) as client:
            saved = client.label_sets.get("journey")
            assert (saved.threshold, saved.labels[0].hypothesis) == (0.3, "不满意，要求退款")
            # What the workbench showed of the draft is what the version answers.
            answers = list(client.stream([line.partition("\t")[0] for line in SAMPLES], label_set="journey"))
            assert sum(answer.none_of_these is True for answer in answers) == none_of_these
            stored = saved.evaluation
            assert stored is not None
            assert stored.accuracy is not None
            assert (stored.texts, stored.labelled, stored.none_of_these) == (200, 180, none_of_these)
            assert (stored.compared_with, stored.changed) == (1, changed)
            assert stored.model_version == answers[0].model_version
            truths = [line.partition("\t")[2] for line in SAMPLES]
            right = [answer.best == truth for answer, truth in zip(answers, truths, strict=True) if truth]
            assert (stored.correct, len(right)) == (sum(right), 180)
        told = f"{percent(stored.accuracy)} ({stored.correct}/180)"
        console.goto("/console#/label-sets/journey")
        versions = console.get_by_role("region", name="历史版本").locator("tbody tr")
        expect(versions.first).to_contain_text(told)
        expect(versions.first).to_contain_text(f"{stored.changed}/200")
        console.goto("/console#/label-sets/journey/compare")
        rows = console.get_by_role("region", name="保存时的评测数据").locator("tbody tr")
        expect(rows.filter(has_text="准确率")).to_have_text(f"准确率—{told}")
        expect(rows.filter(has_text="引擎")).to_contain_text(stored.model_version or "")
        console.goto("/console#/batches")
        content = "\n".join(["text", *(line.partition("\t")[0] for line in SAMPLES)]).encode()
        console.get_by_label("文件", exact=True).set_input_files(
            {"name": "samples.csv", "mimeType": "text/csv", "buffer": content}
        )
        console.get_by_label("使用标签集").select_option("journey@2")
        console.get_by_role("button", name="上传并开始").click()
        expect(console.get_by_text("已完成 200 / 200，失败 0")).to_be_visible(timeout=60_000)
        open_screen(console, "usage", "用量")
        chart = console.get_by_role("img", name=re.compile("每天的句对"))
        for _ in range(20):
            if chart.count():
                break
            # Gateways write usage every five seconds.
            console.wait_for_timeout(500)
            console.reload(wait_until="networkidle")
        expect(chart.locator("rect.first")).to_have_count(1)
        expect(console.get_by_role("region", name="每天").locator("tbody tr")).to_have_count(1)

    def test_a_draft_that_keeps_a_correction_answers_as_the_version_that_is_saved_of_it(
        self, console: Page, server: Server, acme: Tenant
    ) -> None:
        """Requests carry none: the page corrects what it is answered."""
        texts = ["要求退款", "你们几点开门", "态度恶劣，差评", "今天下雨了"] * 30
        with Client(server.url, acme.key) as client:
            rows = [[0.5, 0.25, -0.5], [0.0, 0.5, 0.0], [-0.25, 0.0, 1.0]]
            correction = {"biases": [-1.5, 0.5, 1.0], "temperature": 2.0, "map": rows}
            client.request("PUT", "/v1/label-sets/calibrated", json={"labels": LABELS, "correction": correction})
            console.goto("/console#/workbench/calibrated")
            console.get_by_label("文本", exact=True).fill("\n".join(texts))
            console.get_by_role("button", name="使用这些文本").click()
            # Another way of scoring, so that the stored version cannot be asked for it.
            console.get_by_label("Token 上限").fill("8")
            console.get_by_role("spinbutton", name="阈值").fill("0.4")
            console.get_by_role("button", name="对比两个版本").click()
            table = console.get_by_role("region", name="文本").locator("tbody tr")
            expect(table).to_have_count(len(texts))
            shown = [row.locator("td").nth(1).inner_text() for row in table.all()]
            console.get_by_role("button", name="保存为新版本").click()
            console.get_by_role("dialog").get_by_role("button", name="保存").click()
            expect(console.get_by_role("status").first).to_have_text("已保存为 calibrated@2")
            answers = list(client.stream(texts, label_set="calibrated@2"))
            saved = client.label_sets.get("calibrated").evaluation
        answered = [
            "（无匹配标签）" if each.none_of_these else f"{each.best} {percent(each.scores[0])}"
            for each in answers
        ]
        assert shown == answered
        assert saved is not None
        assert (saved.texts, saved.labelled) == (len(texts), 0)
        assert saved.none_of_these == sum(each.none_of_these is True for each in answers)

    def test_a_draft_that_was_not_run_is_saved_without_numbers(
        self, console: Page, server: Server, acme: Tenant
    ) -> None:
        with Client(server.url, acme.key) as client:
            client.label_sets.put("unmeasured", LABELS)
            console.goto("/console#/workbench/unmeasured")
            console.get_by_label("文本", exact=True).fill("要求退款\t投诉")
            console.get_by_role("button", name="使用这些文本").click()
            console.get_by_role("button", name="对比两个版本").click()
            expect(console.get_by_role("region", name="文本").locator("tbody tr")).to_have_count(1)
            console.get_by_role("spinbutton", name="阈值").fill("-0.5")
            expect(console.get_by_text("阈值 0：覆盖率")).to_be_visible()
            console.get_by_role("spinbutton", name="阈值").fill("")
            console.get_by_label("标签 1 的假设").fill("不满")
            expect(console.get_by_role("region", name="结果")).to_contain_text("改动后还没有分类")
            console.get_by_role("button", name="保存为新版本").click()
            expect(console.get_by_role("dialog")).to_contain_text("不带评测数据")
            console.get_by_role("dialog").get_by_role("button", name="保存").click()
            expect(console.get_by_role("status").first).to_have_text("已保存为 unmeasured@2")
            assert client.label_sets.get("unmeasured").evaluation is None

    @pytest.mark.parametrize("multi_label", [False, True])
    def test_answers_are_corrected_as_the_gateway_corrects_them(self, console: Page, *, multi_label: bool) -> None:
        """Also scores that are nearly 0 or 1."""
        logits = [
            [(1.0, 0.5, -2.0), (-3.0, 1.0, 2.5), (0.2, 0.0, 0.1)],
            [(9.0, -9.0, -9.0), (-9.0, 0.0, 9.0), (0.0, 1, 2)],
        ]
        weights = None if multi_label else ((0.5, 0.0, -0.5), (0.25, 0.0, 0.0), (0.0, -1.0, 0.5))
        correction = Correction((0.5, -1.0, 0.25), 2.0, weights)
        plain = [
            {"scores": ranking(each, multi_label=multi_label)[1], "own": [*map(entailment, each)]}
            for each in logits
        ]
        found = console.evaluate(
            """async ([answers, correction, isOneByOne]) => {
              const { corrected } = await import(`${location.origin}/ui/console/correction.js`);
              return answers.map((answer) => corrected(answer, correction, isOneByOne));
            }""",
            [plain, msgspec.to_builtins(correction), multi_label],
        )
        for answer, each in zip(found, logits, strict=True):
            changed = corrected(each, correction, multi_label=multi_label)
            assert answer["scores"] == pytest.approx(ranking(changed, multi_label=multi_label)[1], abs=1e-9)
            assert answer["own"] == pytest.approx([*map(entailment, changed)], abs=1e-9)

    def test_a_text_that_met_an_error_of_the_service_is_left_out_and_asked_again(
        self, context: BrowserContext, acme: Tenant
    ) -> None:
        page = context.new_page()
        sign_in(page, acme.key)
        expect(page.locator("#who")).to_contain_text(acme.name)
        asked: list[str] = []

        def answer(route: Route, broken: str) -> None:
            texts = json.loads(route.request.post_data or "{}")["texts"]
            asked.extend(texts)
            if broken in texts:
                route.fulfill(status=504, json={"code": "deadline_exceeded", "detail": "too late"})
            else:
                route.continue_()

        page.route("**/v1/classify", lambda route: answer(route, "第7条"))
        page.goto(f"/console#/workbench/{acme.set_name}")
        page.get_by_label("文本", exact=True).fill("\n".join(f"第{number}条\t投诉" for number in range(20)))
        page.get_by_role("button", name="使用这些文本").click()
        page.get_by_role("button", name="对比两个版本").click()
        rows = page.get_by_role("region", name="文本").locator("tbody tr")
        expect(rows).to_have_count(19)
        told = facts(page)
        assert told["未得到结果，不计入（可再次运行）"] == "1"
        assert told["结果改变"] == "0"
        assert told["当前准确率"].endswith("/19)")
        asked.clear()
        page.unroute_all()
        page.route("**/v1/classify", lambda route: answer(route, "none"))
        page.get_by_role("button", name="对比两个版本").click()
        expect(rows).to_have_count(20)
        assert asked == ["第7条"]

    @pytest.mark.parametrize(("status", "said"), [(429, "已限流"), (503, "服务繁忙或无法连接")])
    def test_a_run_that_waits_says_whether_the_limit_or_the_service_is_the_cause(
        self, context: BrowserContext, acme: Tenant, status: int, said: str
    ) -> None:
        page = context.new_page()
        sign_in(page, acme.key)
        expect(page.locator("#who")).to_contain_text(acme.name)
        refusal = {"code": "quota_exceeded" if status == 429 else "overloaded", "detail": "later"}
        page.route(
            "**/v1/classify",
            lambda route: route.fulfill(status=status, headers={"Retry-After": "60"}, json=refusal),
        )
        page.goto(f"/console#/workbench/{acme.set_name}")
        page.get_by_label("文本", exact=True).fill("要求退款")
        page.get_by_role("button", name="使用这些文本").click()
        page.get_by_role("button", name="对比两个版本").click()
        expect(page.get_by_text(f"{said}，60 秒后")).to_be_visible()
        page.get_by_role("button", name="停止").click()
        expect(page.get_by_role("button", name="对比两个版本")).to_be_enabled()

    def test_answers_of_a_run_that_was_stopped_are_kept(self, context: BrowserContext, acme: Tenant) -> None:
        page = context.new_page()
        sign_in(page, acme.key)
        expect(page.locator("#who")).to_contain_text(acme.name)
        asked: list[str] = []

        def answer(route: Route) -> None:
            texts = json.loads(route.request.post_data or "{}")["texts"]
            # Later calls are never answered, until the page ends them.
            if len(asked) < 32:
                asked.extend(texts)
                route.continue_()

        page.route("**/v1/classify", answer)
        page.goto(f"/console#/workbench/{acme.set_name}")
        page.get_by_label("文本", exact=True).fill("\n".join(f"第{number}条" for number in range(80)))
        page.get_by_role("button", name="使用这些文本").click()
        page.get_by_role("button", name="对比两个版本").click()
        expect(page.get_by_text("32 / 80")).to_be_visible()
        page.get_by_role("button", name="停止").click()
        rows = page.get_by_role("region", name="文本").locator("tbody tr")
        expect(rows).to_have_count(32)
        page.reload()
        expect(rows).to_have_count(32)
        page.unroute_all()
        bodies: list[str] = []
        page.on("request", lambda request: bodies.append(request.post_data or ""))
        page.get_by_role("button", name="对比两个版本").click()
        expect(rows).to_have_count(80)
        assert sum(body.count("条") for body in bodies) == 48

    def test_figures_are_those_of_the_definitions(self, console: Page) -> None:
        """Accuracy of the best labels; coverage and accuracy beyond a threshold, where `none` is a mistake."""
        figures = console.evaluate(
            """async () => {
              const { accuracy, compared, curve } = await import(`${location.origin}/ui/console/figures.js`);
              const answer = (first, second, ...own) => ({ scores: [first, second], own });
              const samples = ["a", "b", "a", "", null].map((truth, n) => ({ text: String(n), truth }));
              const today = [answer(0.9, 0.1, 0.8, 0.1), answer(0.6, 0.4, 0.3, 0.2), { error: "too long" },
                answer(0.7, 0.3, 0.6, 0.1), answer(0.2, 0.8, 0.1, 0.9)];
              const draft = today.with(1, answer(0.4, 0.6, 0.2, 0.5));
              const sides = [today, draft].map((answers) => ({ answers, labels: ["a", "b"], threshold: 0.4 }));
              return [accuracy(samples, today, ["a", "b"]), accuracy(samples, draft, ["a", "b"]),
                curve(samples, draft, ["a", "b"], [0, 0.55, 0.95]),
                compared(samples, ...sides).map((row) => [row.today, row.draft, row.isFlip, row.isWrong])];
            }"""
        )
        assert figures == [
            {"right": 1, "labelled": 3},
            {"right": 2, "labelled": 3},
            [[0, 0.8, 2 / 3], [0.55, 0.6, 0.5], [0.95, 0, None]],
            [
                *(["a", "a", False, False], ["", "b", True, False], [None, None, False, True]),
                *(["a", "a", False, True], ["b", "b", False, False]),
            ],
        ]

    @pytest.mark.parametrize("suffix", ["xlsx", "csv", "json", "jsonl", "label studio"])
    def test_samples_come_from_files_with_their_right_labels(
        self, console: Page, acme: Tenant, tmp_path: Path, suffix: str
    ) -> None:
        texts = [("质量太差，\n要求退款", "投诉"), ("你们几点开门", "咨询"), ("今天下雨了", "")]
        file = sample_file(tmp_path, suffix, texts)
        console.goto(f"/console#/workbench/{acme.set_name}")
        console.get_by_label("或打开文件：").set_input_files(file)
        expect(console.get_by_text("3 条文本")).to_be_visible()
        console.get_by_role("button", name="使用这些文本").click()
        expect(console.get_by_text("3 条文本，其中 2 条有正确标签。")).to_be_visible()
        kept = console.evaluate("Object.entries(sessionStorage).find(([name]) => name.endsWith(':samples'))[1]")
        assert [(row["text"], row["truth"]) for row in json.loads(kept)["rows"]] == texts

    def test_a_run_is_stopped_and_texts_leave_the_tab_only_to_be_classified(
        self, console: Page, acme: Tenant
    ) -> None:
        bodies: list[tuple[str, str]] = []
        console.on("request", lambda request: bodies.append((request.url, request.post_data or "")))
        console.goto(f"/console#/workbench/{acme.set_name}")
        secret = "只在这里的文本"
        console.get_by_label("文本", exact=True).fill("\n".join(f"{secret} {number}" for number in range(300)))
        console.get_by_role("button", name="使用这些文本").click()
        console.get_by_role("button", name="对比两个版本").click()
        console.get_by_role("button", name="停止").click()
        expect(console.get_by_role("button", name="对比两个版本")).to_be_enabled()
        expect(console.get_by_role("alert")).to_be_hidden()
        sent = [(url, body) for url, body in bodies if secret in body]
        assert {url.rpartition("/v1/")[2] for url, _ in sent} <= {"classify"}
        assert sum(body.count(secret) for _, body in sent) < 300


def pasted_lines() -> list[str]:
    """200 lines: texts of complaints and questions, and 20 of neither, as pasted."""
    kinds = [
        ("质量太差，要求退款", "投诉"),
        ("你们几点开门", "咨询"),
        ("能不能便宜点卖给我", "咨询"),
        ("态度恶劣，差评", "投诉"),
    ]
    labelled = [f"第{number}单，{text}\t{label}" for number in range(45) for text, label in kinds]
    return [*labelled, *(f"今天下雨了，路上有{number}个人\t" for number in range(20))]


SAMPLES = pasted_lines()


def percent(share: float) -> str:
    """As the console writes it: at most one decimal, a half rounded up."""
    rounded = Decimal(100 * share).quantize(Decimal("0.1"), ROUND_HALF_UP)
    return f"{rounded.normalize():f}%"


def facts(page: Page) -> dict[str, str]:
    shown = page.locator("section", has=page.get_by_role("heading", name="结果", exact=True)).locator(
        ".facts > div"
    )
    pairs = [(each.locator("dt").inner_text(), each.locator("dd").inner_text()) for each in shown.all()]
    return dict(pairs)


def sample_file(folder: Path, suffix: str, texts: list[tuple[str, str]]) -> Path:
    file = folder / f"samples.{'json' if suffix == 'label studio' else suffix}"
    objects = [{"text": text, "label": label} for text, label in texts]
    if suffix == "xlsx":
        book = Workbook()
        for row in [("text", "label"), *texts]:
            book.active.append(row)
        book.save(file)
    elif suffix == "csv":
        with file.open("w", encoding="gb18030", newline="") as stream:
            csv.writer(stream).writerows([("text", "label"), *texts])
    elif suffix == "label studio":
        file.write_text(json.dumps([task(*each) for each in texts]), encoding="utf-8")
    elif suffix == "json":
        file.write_text(json.dumps(objects, ensure_ascii=False), encoding="utf-8")
    else:
        file.write_text("".join(json.dumps(each) + "\n" for each in objects), encoding="utf-8")
    return file


def task(text: str, label: str) -> dict[str, Any]:
    """Of Label Studio's export: most annotators have the label, one was skipped, one marked a part of the text."""
    choice = {"type": "choices", "from_name": "kind", "value": {"choices": [label]}}
    part = {"type": "choices", "from_name": "kind", "value": {"choices": ["建议"], "start": 0, "end": 1}}
    other = {"type": "choices", "from_name": "kind", "value": {"choices": ["建议"]}}
    answers = [[choice], [choice, part], [other]] if label else [[]]
    annotations = [{"result": result} for result in answers]
    return {"data": {"text": text}, "annotations": [*annotations, {"was_cancelled": True, "result": [other]}]}


class TestBatches:
    def test_a_table_becomes_a_batch_whose_results_are_downloaded(
        self, console: Page, acme: Tenant, tmp_path: Path
    ) -> None:
        book = Workbook()
        rows = [["编号", "留言"], ["1", "质量太差，\n要求退款"], ["2", None], ["3", "你们几点开门"]]
        for row in rows:
            book.active.append(row)
        book.save(tmp_path / "留言.xlsx")
        console.goto("/console#/batches")
        console.get_by_label("文件", exact=True).set_input_files(tmp_path / "留言.xlsx")
        expect(console.get_by_label("文本列")).to_have_value("1")
        expect(console.get_by_text("2 条文本")).to_be_visible()
        console.get_by_label("使用标签集").select_option(f"{acme.set_name}@1")
        console.get_by_role("button", name="上传并开始").click()
        expect(console.locator("#title")).to_contain_text("batch_")
        expect(console.get_by_text("已完成 2 / 2，失败 0")).to_be_visible()
        with console.expect_download() as download:
            console.get_by_role("button", name="下载结果").click()
        answers = [
            json.loads(line) for line in Path(download.value.path()).read_text(encoding="utf-8").splitlines()
        ]
        assert [answer["custom_id"] for answer in answers] == ["row-1", "row-3"]
        assert answers[0]["response"]["body"]["label_set"].startswith(f"{acme.set_name}@")
        with console.expect_download() as download:
            console.get_by_role("button", name="下载输入").click()
        asked = [json.loads(line) for line in Path(download.value.path()).read_text(encoding="utf-8").splitlines()]
        assert {line["body"]["label_set"] for line in asked} == {f"{acme.set_name}@1"}, (
            "the version that was shown"
        )
        console.get_by_role("link", name="全部批量任务").click()
        expect(console.locator("tbody tr").first).to_contain_text("留言.xlsx")

    def test_what_was_read_while_it_ended_is_drawn_afterwards_and_a_failed_poll_is_made_good(
        self, console: Page
    ) -> None:
        polls = 0

        def answer(route: Route) -> None:
            nonlocal polls
            polls += 1
            if polls == 2:
                return route.fulfill(status=429, json={"code": "overloaded", "detail": "busy"})
            status = "in_progress" if polls < 4 else "completed"
            return route.fulfill(json={"data": [a_batch(status)], "has_more": False, "last_id": "batch_1"})

        console.route("**/v1/batches?*", answer)
        console.goto("/console#/batches")
        link = console.get_by_role("link", name="batch_1")
        link.focus()
        expect(console.get_by_role("alert")).to_contain_text("服务正忙")
        expect(console.get_by_role("alert")).to_be_hidden(timeout=10_000)
        while polls < 5:
            console.wait_for_timeout(200)
        expect(link).to_be_focused()
        expect(console.locator("tbody tr")).to_contain_text("进行中")
        link.blur()
        expect(console.locator("tbody tr")).to_contain_text("已完成", timeout=10_000)

    def test_lines_that_are_requests_are_uploaded_as_they_are_and_cancelled(self, console: Page) -> None:
        line = {"method": "POST", "url": "/v1/classify", "body": {"text": "要求退款", "labels": LABELS}}
        lines = "".join(json.dumps({"custom_id": str(n), **line}) + "\n" for n in range(20_000))
        console.goto("/console#/batches")
        console.get_by_label("文件", exact=True).set_input_files(
            {"name": "lines.jsonl", "mimeType": "application/jsonl", "buffer": lines.encode()}
        )
        expect(console.get_by_text("OpenAI 批量格式，原样上传。")).to_be_visible()
        console.get_by_role("button", name="上传并开始").click()
        console.get_by_role("button", name="取消任务").click()
        console.get_by_role("dialog").get_by_role("button", name="取消任务").click()
        expect(console.locator("#screen")).to_contain_text("已取消")

    def test_a_file_that_is_no_batch_says_what_is_wrong(self, console: Page) -> None:
        console.goto("/console#/batches")
        for name, content, said in [
            ("a.xlsx", b"PK\x03\x04 nothing", "无法作为 Excel 工作簿读取"),
            ("a.csv", b'a,b\n"never closed', "引号没有闭合"),
            ("a.txt", b"\xff" * 50, "不是 UTF-8"),
            ("a.csv", b"," * 20_000, "表格过大"),
            ("a.xlsx", workbook('<row><c r="ZZZ1"><v>1</v></c></row>'), "表格过大"),
            ("a.xlsx", workbook('<row><c r="XFD1"><v>1</v></c></row>' * 400), "表格过大"),
            ("a.xlsx", workbook("")[-150:], "无法作为 Excel 工作簿读取"),
            ("a.xlsx", changed_inside(workbook("<row/>" * 500)), "无法作为 Excel 工作簿读取"),
            ("a.json", json.dumps([{f"n{n}": 1 for n in range(1_001)}]).encode(), "表格过大"),
            ("a.json", json.dumps([{"data": {"text": "x"}, "annotations": 7}]).encode(), "不是可以读取的表格"),
        ]:
            file = {"name": name, "mimeType": "text/plain", "buffer": content}
            console.get_by_label("文件", exact=True).set_input_files(file)  # type: ignore[arg-type]
            expect(console.get_by_role("alert")).to_contain_text(said)


def test_a_sheet_that_is_not_whole_is_refused(context: BrowserContext, acme: Tenant) -> None:
    """Not on the page `console`: the browser's own note of the mistake has a style, which the policy blocks."""
    page = context.new_page()
    sign_in(page, acme.key)
    expect(page.locator("#who")).to_contain_text(acme.name)
    page.goto("/console#/batches")
    content = workbook('<row><c r="A1"><v>1</v></c></row><row>')
    page.get_by_label("文件", exact=True).set_input_files({"name": "a.xlsx", "mimeType": "", "buffer": content})
    expect(page.get_by_role("alert")).to_contain_text("无法作为 Excel 工作簿读取")


def workbook(rows: str) -> bytes:
    """Of one sheet with these rows, as they are."""
    parts = {
        "xl/workbook.xml": '<w xmlns:r="r"><sheet r:id="1"/></w>',
        "xl/_rels/workbook.xml.rels": '<w><Relationship Id="1" Target="sheet.xml"/></w>',
        "xl/sheet.xml": f"<w>{rows}</w>",
    }
    buffer = BytesIO()
    with ZipFile(buffer, "w", ZIP_DEFLATED) as archive:
        for name, content in parts.items():
            archive.writestr(name, content)
    return buffer.getvalue()


def changed_inside(archive: bytes) -> bytes:
    """Whose entries no longer inflate."""
    start = archive.index(b"xl/workbook.xml") + len(b"xl/workbook.xml")
    return archive[:start] + b"\xff" * 8 + archive[start + 8 :]


def a_batch(status: str) -> dict[str, Any]:
    counts = {"total": 2, "completed": 1, "failed": 0}
    return {"id": "batch_1", "status": status, "metadata": {}, "request_counts": counts, "created_at": 0}


class TestKeys:
    def test_a_new_key_is_selected_where_the_browser_does_not_copy(self, console: Page) -> None:
        console.evaluate("Object.defineProperty(navigator, 'clipboard', { value: undefined })")
        console.goto("/console#/keys")
        console.get_by_role("button", name="创建").click()
        dialog = console.get_by_role("dialog")
        dialog.get_by_role("button", name="复制").click()
        expect(dialog.get_by_role("status")).to_contain_text("文本已选中")
        assert console.evaluate("getSelection().toString().trim()") == dialog.locator(".secret").inner_text()

    def test_one_is_created_used_rotated_and_revoked(self, console: Page, server: Server) -> None:
        console.goto("/console#/keys")
        console.get_by_label("名称（可选）").fill("nightly")
        for scope in ("audit:read", "batches:read", "batches:write", "usage:read"):
            console.get_by_label(scope, exact=True).uncheck()
        console.get_by_role("button", name="创建").click()
        dialog = console.get_by_role("dialog")
        secret = dialog.locator(".secret").inner_text()
        dialog.get_by_role("button", name="关闭").click()
        with Client(server.url, secret) as client:
            me = client.me()
            assert client.classify("要求退款", LABELS).best in LABELS
        assert set(me.scopes) == {"classify", "label_sets:read", "label_sets:write", "keys:read"}
        row = console.locator("tbody tr", has_text="nightly")
        expect(row).to_contain_text(str(me.key_id))
        row.get_by_role("button", name="轮换").click()
        console.get_by_label("旧密钥继续有效的小时数").fill("0")
        dialog.get_by_role("button", name="轮换").click()
        newer = dialog.locator(".secret").inner_text()
        assert newer != secret
        assert secret not in console.content()
        dialog.get_by_role("button", name="关闭").click()
        with Client(server.url, newer) as client:
            key_id = str(client.me().key_id)
            console.locator("tbody tr", has_text=key_id).get_by_role("button", name="吊销").click()
            dialog.get_by_role("button", name="吊销").click()
            expect(console.get_by_role("status")).to_have_text(f"已吊销 {key_id}")
            with pytest.raises(GatewayRefused, match="a valid key is needed"):
                client.me()


def test_budgets_are_shown_beside_what_is_used_of_them(console: Page, server: Server, acme: Tenant) -> None:
    with Client(server.url, admin_key(server)) as admin:
        admin.tenants.set_budget(acme.id, pairs_per_month=1_000_000, enforcement="soft")
    console.goto("/console#/usage")
    row = console.get_by_role("region", name="本月预算").locator("tbody tr").first
    expect(row).to_contain_text("/ 1,000,000")
    expect(row).to_contain_text("只提示")
    expect(row.get_by_role("meter", name="租户: 句对")).to_be_visible()
    console.get_by_label("从", exact=True).fill("2020-01-01")
    console.get_by_label("到", exact=True).fill("2020-01-31")
    console.get_by_role("button", name="显示").click()
    expect(console.get_by_text("这段时间没有用量。")).to_be_visible()
    console.reload()
    expect(console.get_by_label("从", exact=True)).to_have_value("2020-01-01")
    console.goto("/console#/usage?from=2020-02-01&to=2020-01-01")
    expect(console.get_by_role("alert")).to_be_visible()
    console.get_by_label("从", exact=True).fill("2020-01-01")
    console.get_by_role("button", name="显示").click()
    expect(console.get_by_text("这段时间没有用量。")).to_be_visible()


def test_nothing_that_people_write_runs(console: Page, server: Server, acme: Tenant) -> None:
    """As labels, hypotheses, texts, right answers, names of files and keys, and as the tenant, once stored.

    test_console_screens.py has every answer and address of every screen.
    """
    ran: list[str] = []
    console.expose_function("owned", lambda: ran.append("owned"))
    console.on("dialog", lambda dialog: ran.append(dialog.message))
    with Client(server.url, acme.key) as client:
        labels = [{"label": word, "hypothesis": f"{word} {number}"} for number, word in enumerate(HOSTILE)]
        client.request("PUT", "/v1/label-sets/hostile", json={"labels": labels})
        client.label_sets.put("hostile", [*HOSTILE[1:], "最后"], replaces=1)
        for word in HOSTILE:
            client.keys.create(name=word)
    with Client(server.url, admin_key(server)) as admin:
        admin.tenants.rename(acme.id, HOSTILE[1])
    console.reload()
    expect(console.locator("#who")).to_contain_text(HOSTILE[1])
    for set_name, words in ((acme.set_name, HOSTILE), ("hostile", HOSTILE[:4])):
        console.goto(f"/console#/workbench/{set_name}")
        expect(console.locator("#title")).to_contain_text(set_name)
        if set_name == "hostile":
            console.get_by_role("button", name="换一批文本").click()
        console.get_by_label("文本", exact=True).fill("\n".join(f"{word}\t{word}" for word in words))
        console.get_by_role("button", name="使用这些文本").click()
        console.get_by_label("假设模板").fill(f"{{}} {HOSTILE[3]}")
        console.get_by_role("button", name="对比两个版本").click()
        texts = console.get_by_role("region", name="文本").locator("tbody tr")
        expect(texts).to_have_count(len(words), timeout=60_000)
        assert foreign_elements(console) == []
    console.goto("/console#/batches")
    console.get_by_label("文件", exact=True).set_input_files(
        {"name": f"{HOSTILE[1]}.csv", "mimeType": "text/csv", "buffer": "\n".join(["text", *HOSTILE[:3]]).encode()}
    )
    expect(console.get_by_label("文本列")).to_be_visible()
    assert foreign_elements(console) == []
    console.get_by_role("button", name="上传并开始").click()
    expect(console.locator("#title")).to_contain_text("batch_")
    for address in ("label-sets", "label-sets/hostile", "label-sets/hostile/compare", "batches", "usage", "keys"):
        console.goto(f"/console#/{address}")
        console.wait_for_load_state("networkidle")
        assert foreign_elements(console) == [], address
    assert ran == []
    with Client(server.url, admin_key(server)) as admin:
        admin.tenants.rename(acme.id, acme.name)


def test_a_screen_that_cannot_be_loaded_says_what_to_do(context: BrowserContext, acme: Tenant) -> None:
    page = context.new_page()
    sign_in(page, acme.key)
    expect(page.get_by_role("link", name="新建标签集")).to_be_visible()
    page.route("**/ui/console/usage.js", lambda route: route.abort())
    page.get_by_role("link", name="用量").click()
    expect(page.get_by_role("alert")).to_contain_text("请刷新")
    page.unroute("**/ui/console/usage.js")
    page.reload()
    expect(page.get_by_role("heading", name="本月预算")).to_be_visible()


def test_no_page_shows_the_console_in_a_frame(console: Page, server: Server) -> None:
    site = console.context.new_page()
    framing = f"<iframe src='{server.url}/console' width=900 height=600></iframe>"
    site.route("http://evil.example/", lambda route: route.fulfill(body=framing, content_type="text/html"))
    site.goto("http://evil.example/")
    site.wait_for_load_state("networkidle")
    assert "wanneng" not in site.frames[1].content()
    response = console.request.get("/console")
    policy = response.headers["content-security-policy"]
    assert "frame-ancestors 'none'" in policy
    assert "unsafe" not in policy


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
