from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from _pytest.terminal import TerminalReporter

from tests.e2e.attacked import Attacked, attacked_server
from tests.e2e.server import Server, serving

# The tests ask for more at once than a slow machine computes in the second that is the default.
MAX_QUEUE_DELAY_S = "30"


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """`wanneng serve` with the embedded model, shared by the tests that do not harm it."""
    with serving(tmp_path_factory.mktemp("serve"), WANNENG_MAX_QUEUE_DELAY_S=MAX_QUEUE_DELAY_S) as running:
        yield running


@pytest.fixture(scope="session")
def padded_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """The same with length buckets, the way of TensorRT."""
    with serving(
        tmp_path_factory.mktemp("padded"), config_name="local-padded", WANNENG_MAX_QUEUE_DELAY_S=MAX_QUEUE_DELAY_S
    ) as running:
        yield running


@pytest.fixture(scope="module")
def attacked() -> Iterator[Attacked]:
    """A server that needs no key, and whose secrets are known; each module has its own."""
    with attacked_server() as running:
        yield running


@pytest.fixture
def verdict(record_property: Callable[[str, object], None]) -> Callable[[str, str], None]:
    """Says what was measured of a promise; the end of the run shows it."""
    return lambda what, measured: record_property("verdict", f"{what}: {measured}")


def pytest_terminal_summary(terminalreporter: TerminalReporter) -> None:
    """The promises that were tested with figures, kept and broken."""
    lines = [
        f"{'kept  ' if outcome == 'passed' else 'BROKEN'} {value}"
        for outcome in ("passed", "failed")
        for report in terminalreporter.getreports(outcome)
        for name, value in report.user_properties
        if name == "verdict" and report.when == "call"
    ]
    if lines:
        terminalreporter.section("promises")
        for line in lines:
            terminalreporter.write_line(line)
