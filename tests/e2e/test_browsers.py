"""Pages of other sites and rebound names in a real Chromium, against a server that needs no key."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from playwright.sync_api import Page, expect, sync_playwright

from tests.e2e.attacked import Attacked
from tests.e2e.conftest import CHROMIUM_FLAGS
from tests.http_server import in_thread

PAGE = b"<!doctype html><title>evil</title>"
ATTACK = """
async url => {
    const body = JSON.stringify({text: "a", labels: ["x", "y"]});
    const ask = (path, options) => fetch(url + path, options).then(r => r.status, () => "blocked");
    return Promise.all([
        ask("/v1/classify", {method: "POST", mode: "no-cors", body}),
        ask("/v1/classify", {method: "POST", headers: {"Content-Type": "application/json"}, body}),
        ask("/v1/label-sets/owned", {method: "PUT", headers: {"Content-Type": "application/json"}, body}),
        ask("/v1/label-sets", {mode: "no-cors"}),
        ask("/v1/label-sets", {}),
    ]);
}
"""


class EvilPage(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Length", str(len(PAGE)))
        self.end_headers()
        self.wfile.write(PAGE)

    def log_message(self, *_arguments: object) -> None:
        pass


@pytest.fixture
def evil_port() -> Iterator[int]:
    """A site of somebody else, on another port."""
    with in_thread(ThreadingHTTPServer(("127.0.0.1", 0), EvilPage)) as site:
        yield site.server_port


@pytest.fixture
def page() -> Iterator[Page]:
    """Of a browser for which evil.example is this machine, as after DNS rebinding."""
    program = shutil.which("chromium")
    if program is None:
        pytest.skip("Chromium is not installed: apt install chromium")
    flags = [*CHROMIUM_FLAGS, "--host-resolver-rules=MAP evil.example 127.0.0.1"]
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=flags)
        yield browser.new_page()
        browser.close()


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "evil.example"])
def test_a_page_in_a_real_browser_reads_and_changes_nothing(
    attacked: Attacked, page: Page, evil_port: int, host: str
) -> None:
    log = attacked.server.state_dir / "gateway.log"
    page.goto(f"http://{host}:{evil_port}/")
    before = log.stat().st_size
    answers = page.evaluate(ATTACK, attacked.server.url)
    # What a page may send at all comes back opaque, with the status 0.
    assert answers == [0, "blocked", "blocked", 0, "blocked"]
    page.wait_for_timeout(500)
    lines = [json.loads(line) for line in log.read_bytes()[before:].splitlines()]
    statuses = {(line["method"], line["status"]) for line in lines if line["logger"] == "access"}
    assert statuses
    assert {status for _, status in statuses} <= {401, 405}
    assert "owned" not in attacked.ask("GET", "/v1/label-sets").text


def test_the_console_is_the_operators_on_the_internal_port_and_the_tenants_on_the_other(
    attacked: Attacked, page: Page
) -> None:
    def sign_in(url: str, key: str) -> None:
        page.goto(f"{url}/console#/sign-in")
        page.get_by_label("Key", exact=True).fill(attacked.secrets[key])
        page.locator("#screen").get_by_role("button", name="Sign in").click()

    sign_in(attacked.internal_url, "local key")
    expect(page.get_by_role("alert")).to_contain_text("This address is for operators")
    sign_in(attacked.internal_url, "admin key")
    expect(page.locator("#who")).to_have_text("Operator")
    sign_in(attacked.server.url, "admin key")
    expect(page.get_by_role("alert")).to_contain_text("open the console on the internal port")
    sign_in(attacked.server.url, "local key")
    expect(page.locator("#who")).to_contain_text("local")


def test_a_browser_shows_nothing_of_the_server_under_a_rebound_name(attacked: Attacked, page: Page) -> None:
    response = page.goto(f"http://evil.example:{attacked.server.ports[0]}/")
    assert response is not None
    assert response.status == 401
    read = "path => fetch(path).then(response => response.status)"
    for path in ("/v1/label-sets", "/v1/usage", "/v1/files", "/ui/app.js"):
        assert page.evaluate(read, path) == 401
    ours = page.goto(f"{attacked.server.url}/")
    assert ours is not None
    assert ours.status == 200
    assert page.evaluate(read, "/v1/label-sets") == 200
