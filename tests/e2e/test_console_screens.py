"""What holds on every screen of the console, the tenant's and the operator's, in a real Chromium."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from datetime import UTC, datetime
from itertools import pairwise
from typing import Any
from urllib.parse import unquote

import pytest
from playwright.sync_api import BrowserContext, Dialog, Page, Route, expect

from tests.e2e.conftest import MAX_QUEUE_DELAY_S
from tests.e2e.console import (
    APPEARANCES,
    LABELS,
    admin_key,
    appear,
    foreign_elements,
    new_tenant,
    sign_in,
    violations,
)
from tests.e2e.hostile_words import HOSTILE
from tests.e2e.server import TINY, Server, serving
from wanneng import Client
from wanneng.client import Evaluation

LINE = {"method": "POST", "url": "/v1/classify"}
WORDS_OF_THE_SERVICE = {"status", "scopes", "enforcement", "special_tokens", "currency", "day", "at"}
"""Names of fields whose text is one of a few, or a time."""
MAPS = {"engines", "before", "after"}
"""Names of objects whose names are anybody's."""
OWN_WORDS = """[...document.querySelectorAll("nav, h2, h3, label, legend, button, th[scope=col], dt, summary")]
    .filter((node) => node.id !== "language").map((node) => node.innerText).join(" ")"""
"""Of elements that have nothing written by people."""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """One that serves nobody without a key."""
    settings = {"WANNENG_REQUIRE_KEY": "1", "WANNENG_MAX_QUEUE_DELAY_S": MAX_QUEUE_DELAY_S}
    with serving(tmp_path_factory.mktemp("serve"), TINY, **settings) as running:
        yield running


class Furnished:
    """A tenant that has something on every screen; `mark`, which nobody else has, is in its names and texts."""

    def __init__(self, server: Server, mark: str) -> None:
        tenant = new_tenant(server, f"{mark} Ltd", f"{mark}-set")
        self.id, self.name, self.key, self.set_name = tenant.id, tenant.name, tenant.key, tenant.set_name
        with Client(server.url, tenant.key) as client:
            numbers = Evaluation(datetime(2026, 11, 26, tzinfo=UTC), f"{mark}-engine", 9, 8, 6, 1, 1, 2)
            labels = [f"{mark}-label", *LABELS[1:]]
            client.label_sets.put(tenant.set_name, labels, evaluation=numbers, replaces=1)
            key = client.keys.create(name=f"{mark}-key")
            body = {"text": f"{mark}-text", "label_set": tenant.set_name}
            line = json.dumps({"custom_id": f"{mark}-line", **LINE, "body": body})
            file_id = client.batches.upload(line.encode() + b"\n")
            batch = client.batches.create(file_id, metadata={"file": f"{mark}-file.csv"})
            done = client.batches.wait(batch.id)
            client.classify(f"{mark}-text", label_set=tenant.set_name)
        with Client(server.url, admin_key(server)) as admin:
            admin.tenants.set_budget(tenant.id, pairs_per_month=1_000_000, enforcement="soft")
        self.batch_id = batch.id
        self.words = (mark, tenant.id, key.id, batch.id, file_id, str(done.output_file_id))
        """By which anything of it is recognized."""

    @property
    def screens(self) -> list[str]:
        own = f"label-sets/{self.set_name}"
        return [
            *("sign-in", "label-sets", "new-label-set", own, f"{own}/compare", "workbench"),
            *(f"workbench/{self.set_name}", "batches", f"batches/{self.batch_id}", "usage", "keys"),
        ]


@pytest.fixture(scope="module")
def acme(server: Server) -> Furnished:
    return Furnished(server, "acme")


@pytest.fixture(scope="module")
def globex(server: Server) -> Furnished:
    return Furnished(server, "globex")


@pytest.fixture
def console(context: BrowserContext) -> Iterator[Page]:
    """Fails the test where a script fails, or somebody's words run."""
    page = context.new_page()
    problems: list[str] = []

    def dismiss(dialog: Dialog) -> None:
        problems.append(dialog.message)
        dialog.dismiss()

    page.expose_function("owned", lambda: problems.append("words ran"))
    page.on("pageerror", lambda error: problems.append(str(error)))
    page.on("console", lambda message: problems.append(message.text) if message.type == "error" else None)
    page.on("dialog", dismiss)
    yield page
    # A screen may be asking for the progress of a batch.
    page.unroute_all(behavior="ignoreErrors")
    assert not [problem for problem in problems if "the server responded with a status of 4" not in problem]


def signed_in(page: Page, key: str, name: str) -> None:
    sign_in(page, key)
    expect(page.locator("#who")).to_contain_text(name)


def visit(page: Page, screen: str) -> None:
    """Another screen of the page that is loaded; its frame empties the one before as the address changes."""
    page.evaluate(
        """(address) => location.hash === address || new Promise((resolve) => {
          addEventListener("hashchange", resolve, { once: true });
          location.hash = address;
        }).then(() => true)""",
        f"#/{screen}",
    )
    expect(page.locator("#screen:not([inert])")).to_have_count(1)


def operator_screens(tenant: Furnished) -> list[str]:
    return ["tenants", f"tenants/{tenant.id}", "live", "audit"]


def test_every_screen_is_among_those_that_are_visited(console: Page, server: Server, acme: Furnished) -> None:
    signed_in(console, acme.key, acme.name)
    names = console.evaluate(
        "async () => (await import(`${location.origin}/ui/console/screens.js`)).SCREENS.map(({ name }) => name)"
    )
    visited = {screen.partition("/")[0] for screen in [*acme.screens, *operator_screens(acme)]}
    assert visited == {"sign-in", *names}


@pytest.mark.parametrize(("language", "scheme", "width"), APPEARANCES)
def test_axe_finds_nothing_on_the_tenants_screens_and_none_is_wider_than_the_page(
    console: Page, acme: Furnished, language: str, scheme: str, width: int
) -> None:
    signed_in(console, acme.key, acme.name)
    # With answers to look at.
    visit(console, f"workbench/{acme.set_name}")
    console.get_by_label("文本", exact=True).fill("要求退款\t咨询\n你们几点开门\t咨询")
    console.get_by_role("button", name="使用这些文本").click()
    console.get_by_label("假设模板").fill("这是{}")
    console.get_by_role("button", name="对比两个版本").click()
    expect(console.get_by_role("region", name="文本").locator("tbody tr")).to_have_count(2)
    appear(console, language, scheme, width)
    for screen in acme.screens:
        looks_right(console, screen, language, width)
    visit(console, "keys")
    console.locator("tbody button.second").first.click()
    expect(console.get_by_role("dialog")).to_be_visible()
    assert violations(console) == []


@pytest.mark.parametrize(("language", "scheme", "width"), APPEARANCES)
def test_axe_finds_nothing_on_the_operators_screens_and_none_is_wider_than_the_page(
    console: Page, server: Server, acme: Furnished, language: str, scheme: str, width: int
) -> None:
    signed_in(console, admin_key(server), "管理员")
    appear(console, language, scheme, width)
    for screen in operator_screens(acme):
        looks_right(console, screen, language, width)
    visit(console, f"tenants/{acme.id}")
    console.locator("tbody button.second").last.click()
    expect(console.get_by_role("dialog")).to_be_visible()
    assert violations(console) == []


def looks_right(page: Page, screen: str, language: str, width: int) -> None:
    visit(page, screen)
    expect(page.locator("#screen")).to_contain_text(re.compile(r"\S"))
    assert page.locator("html").get_attribute("lang") == language
    assert violations(page) == [], screen
    assert page.evaluate("document.documentElement.scrollWidth") <= width, screen
    if language == "en":
        assert not re.search(r"[\u4e00-\u9fff]", page.evaluate(OWN_WORDS)), screen


def test_whatever_the_service_says_is_no_html_on_any_screen(
    console: Page, server: Server, acme: Furnished
) -> None:
    """Every name and text in every answer is one of 30 words that would run, one after the other."""
    said = {"word": ""}
    console.route("**/v1/**", lambda route: answer_with(route, said["word"], acme))
    for key, screens in ((acme.key, acme.screens), (admin_key(server), operator_screens(acme))):
        is_tenant = key == acme.key
        said["word"] = "plain"
        signed_in(console, key, "plain" if is_tenant else "管理员")
        for word in HOSTILE:
            said["word"] = word
            visit(console, screens[1])
            console.reload()
            expect(console.locator("#who")).to_contain_text(word if is_tenant else "管理员")
            expect(console.locator("#screen:not([inert])")).to_have_count(1)
            for screen in screens:
                visit(console, screen)
                expect(console.get_by_role("alert")).to_be_hidden()
                assert word in console.evaluate(WRITTEN) or screen in ("sign-in", "new-label-set"), screen
                assert foreign_elements(console) == [], (screen, word)
        visit(console, "sign-in")


WRITTEN = """[document.querySelector("main").innerText, ...[...document.querySelectorAll("input, option")]
    .map((node) => node.value + node.textContent)].join("\\n")"""
"""On the screen itself: the frame has the name of the tenant."""


def answer_with(route: Route, word: str, tenant: Furnished) -> None:
    """The service's answer, in somebody else's words; what is then asked for by a word is the tenant's own."""
    own = {"label-sets": tenant.set_name, "batches": tenant.batch_id, "files": tenant.words[4]}
    path, question, query = route.request.url.partition("?")
    parts = path.split("/")
    for index, (kind, part) in enumerate(pairwise(parts), 1):
        if kind in own and unquote(part).startswith(word):
            parts[index] = own[kind] + unquote(part).removeprefix(word)
    answer = route.fetch(url="/".join(parts) + question + query)
    if answer.status == 200 and "json" in answer.headers.get("content-type", ""):
        route.fulfill(response=answer, json=reworded(answer.json(), word))
    else:
        route.fulfill(response=answer)


def reworded(value: Any, word: str, name: str = "") -> Any:
    if isinstance(value, dict):
        inner = {
            (f"{word} {key}" if name in MAPS else key): reworded(item, word, key) for key, item in value.items()
        }
        # Of a batch that was refused.
        return inner | ({"errors": {"data": [{"message": word, "line": 1}]}} if "errors" in value else {})
    if isinstance(value, list):
        return [reworded(item, word, name) for item in value]
    if isinstance(value, str) and name not in WORDS_OF_THE_SERVICE and not name.endswith("_at"):
        return word
    # Of a gateway that does not answer.
    return word if value is None and name == "error" else value


def test_what_the_service_refuses_with_is_no_html_on_any_screen(
    console: Page, server: Server, acme: Furnished
) -> None:
    said = {"word": ""}

    def refuse(route: Route) -> None:
        path = route.request.url.partition("/v1/")[2]
        if path in ("me", "tenants?limit=1"):
            return route.continue_()
        return route.fulfill(status=422, json={"code": "new", "detail": said["word"], "field": said["word"]})

    console.route("**/v1/**", refuse)
    for key, name, screens in (
        (acme.key, acme.name, acme.screens),
        (admin_key(server), "管理员", operator_screens(acme)),
    ):
        signed_in(console, key, name)
        asking = [screen for screen in screens if screen not in ("sign-in", "new-label-set")]
        for number, word in enumerate(HOSTILE):
            said["word"] = word
            visit(console, asking[number % len(asking)])
            expect(console.get_by_role("alert")).to_contain_text(word)
            assert foreign_elements(console) == [], word
        visit(console, "sign-in")


@pytest.mark.parametrize("word", HOSTILE[::5])
def test_dialogs_make_no_html_of_names(console: Page, server: Server, acme: Furnished, word: str) -> None:
    said = {"word": "plain"}
    console.route("**/v1/**", lambda route: answer_with(route, said["word"], acme))
    for key, name, openers in (
        (
            acme.key,
            "plain",
            [("keys", "轮换"), ("keys", "吊销"), (f"label-sets/{acme.set_name}", "删除标签集")],
        ),
        (admin_key(server), "管理员", [(f"tenants/{acme.id}", "停用"), (f"tenants/{acme.id}", "轮换")]),
    ):
        said["word"] = "plain"
        signed_in(console, key, name)
        said["word"] = word
        for screen, button in openers:
            visit(console, screen)
            console.get_by_role("button", name=button, exact=True).first.click()
            expect(console.get_by_role("dialog")).to_contain_text(word)
            assert foreign_elements(console) == []
            console.keyboard.press("Escape")
            expect(console.get_by_role("dialog")).to_have_count(0)
        visit(console, "sign-in")


def test_hostile_addresses_are_no_html_on_any_screen(console: Page, server: Server, acme: Furnished) -> None:
    for key, name, screens in (
        (acme.key, acme.name, ("label-sets", "workbench", "batches", "label-sets?after=", "usage?from=", "")),
        (admin_key(server), "管理员", ("tenants", "audit?object=", "tenants?after=")),
    ):
        signed_in(console, key, name)
        for word in HOSTILE:
            for screen in screens:
                address = console.evaluate("encodeURIComponent", word)
                visit(console, f"{screen}{'' if screen.endswith('=') else '/'}{address}".lstrip("/"))
                assert foreign_elements(console) == [], (screen, word)
        visit(console, "sign-in")


def test_no_answer_of_a_tenants_session_has_anything_of_another_tenant(
    context: BrowserContext, acme: Furnished, globex: Furnished
) -> None:
    """Everything on the wire, headers included. The other's own session has it all, on the same screens."""
    for tenant, other in ((globex, acme), (acme, globex)):
        heard = session(context, tenant)
        everything = "\n".join(body for _, body in heard)
        paths = {re.sub(r"\?.*", "", url.partition("/v1/")[2]) for url, _ in heard if "/v1/" in url}
        assert {"me", "label-sets", "batches", "usage", "budget", "keys", "classify"} <= paths
        assert f"files/{tenant.words[5]}/content" in paths
        assert [word for word in tenant.words if word not in everything] == []
        for url, body in heard:
            asked = unquote(url)
            assert not [word for word in other.words if word in body and word not in asked], url


def session(context: BrowserContext, tenant: Furnished) -> list[tuple[str, str]]:
    """All answers while a tenant opens every screen, asks for what is not its own, classifies and downloads."""
    page = context.new_page()
    heard: list[tuple[str, str]] = []

    def record(route: Route) -> None:
        answer = route.fetch()
        headers = json.dumps(answer.headers_array)
        heard.append((route.request.url, headers + answer.body().decode("utf-8", "replace")))
        route.fulfill(response=answer)

    page.route("**/*", record)
    signed_in(page, tenant.key, tenant.name)
    for screen in tenant.screens:
        visit(page, screen)
    visit(page, f"workbench/{tenant.set_name}")
    page.get_by_label("文本", exact=True).fill("要求退款")
    page.get_by_role("button", name="使用这些文本").click()
    page.get_by_role("button", name="对比两个版本").click()
    expect(page.get_by_role("region", name="文本").locator("tbody tr")).to_have_count(1)
    visit(page, f"batches/{tenant.batch_id}")
    with page.expect_download():
        page.get_by_role("button", name="下载结果").click()
    page.goto("/")
    page.wait_for_load_state("networkidle")
    page.unroute_all(behavior="ignoreErrors")
    page.close()
    return heard


def test_what_is_another_tenants_is_not_there(console: Page, acme: Furnished, globex: Furnished) -> None:
    """As if it did not exist: asked for by its name, and by its id."""
    signed_in(console, acme.key, acme.name)
    for screen in (
        f"label-sets/{globex.set_name}",
        f"label-sets/{globex.set_name}/compare",
        f"workbench/{globex.set_name}",
        f"batches/{globex.batch_id}",
    ):
        visit(console, screen)
        expect(console.get_by_role("alert")).to_be_visible()
        assert "globex" not in console.locator("#screen").inner_text()
    visit(console, f"usage?label_set={globex.set_name}")
    expect(console.get_by_text("没有内容。").first).to_be_visible()
