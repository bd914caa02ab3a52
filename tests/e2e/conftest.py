from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from _pytest.terminal import TerminalReporter
from playwright.sync_api import Browser, BrowserContext, Page, expect, sync_playwright

from tests.e2e.attacked import Attacked, attacked_server
from tests.e2e.server import Server, serving, stops_awaited_later

CHROMIUM_FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
WAIT_MS = 20_000
# The tests ask for more at once than a slow machine computes in the second that is the default.
MAX_QUEUE_DELAY_S = "30"


@pytest.fixture(scope="session", autouse=True)
def stops() -> Iterator[None]:
    """A server that a test has left stops while the next one runs."""
    with stops_awaited_later():
        yield


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """`wanneng serve` with the embedded model, shared by the tests that do not harm it."""
    with serving(tmp_path_factory.mktemp("serve"), None, WANNENG_MAX_QUEUE_DELAY_S=MAX_QUEUE_DELAY_S) as running:
        yield running


@pytest.fixture(scope="session")
def padded_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """The same with length buckets, the way of TensorRT."""
    with serving(
        tmp_path_factory.mktemp("padded"), None, "local-padded", WANNENG_MAX_QUEUE_DELAY_S=MAX_QUEUE_DELAY_S
    ) as running:
        yield running


@pytest.fixture(scope="module")
def attacked() -> Iterator[Attacked]:
    """A server that needs no key, and whose secrets are known; each module has its own."""
    with attacked_server() as running:
        yield running


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    program = shutil.which("chromium")
    if program is None:
        pytest.skip("Chromium is not installed: apt install chromium")
    with sync_playwright() as playwright:
        running = playwright.chromium.launch(executable_path=program, args=CHROMIUM_FLAGS)
        yield running
        running.close()


@pytest.fixture
def context(browser: Browser, server: Server) -> Iterator[BrowserContext]:
    made = browser.new_context(locale="zh-CN", base_url=server.url, viewport={"width": 1000, "height": 900})
    made.set_default_timeout(WAIT_MS)
    expect.set_options(timeout=WAIT_MS)
    yield made
    made.close()


@pytest.fixture
def page(context: BrowserContext, server: Server) -> Iterator[Page]:
    """Fails the test when the page logs an error, throws, or asks another host for anything."""
    opened = context.new_page()
    problems: list[str] = []
    opened.on("console", lambda message: problems.append(message.text) if message.type == "error" else None)
    opened.on("pageerror", lambda error: problems.append(str(error)))
    opened.on("request", lambda request: None if is_ours(request.url, server) else problems.append(request.url))
    opened.goto("/")
    yield opened
    # A refusal is an error to the console; the tests of refusals look at what the page says of it.
    assert not [problem for problem in problems if "the server responded with a status of 4" not in problem]


def is_ours(url: str, server: Server) -> bool:
    return url.startswith((server.url, "data:", "blob:"))


@pytest.fixture
def verdict(record_property: Callable[[str, object], None]) -> Callable[[str, str], None]:
    """Says what was measured of a promise; the end of the run shows it."""
    return lambda what, measured: record_property("verdict", f"{what}: {measured}")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--verdicts", type=Path, help="file for the promises that were tested, as JSON")


def pytest_terminal_summary(terminalreporter: TerminalReporter) -> None:
    """The promises that were tested with figures, kept and broken."""
    verdicts = [
        (outcome == "passed", value)
        for outcome in ("passed", "failed")
        for report in terminalreporter.getreports(outcome)
        for value in _verdicts(report)
    ]
    if verdicts:
        terminalreporter.section("promises")
        for kept, value in verdicts:
            terminalreporter.write_line(f"{'kept  ' if kept else 'BROKEN'} {value}")
    file = terminalreporter.config.getoption("--verdicts", None)
    if file is not None:
        stored = [{"kept": kept, "verdict": value} for kept, value in verdicts]
        file.write_text(json.dumps(stored, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def _verdicts(report: pytest.TestReport) -> list[str]:
    """A test that failed before it could say anything is named."""
    if report.when != "call":
        return []
    said = [str(value) for name, value in report.user_properties if name == "verdict"]
    return said or ([report.nodeid.rpartition("::")[2]] if report.failed else [])
