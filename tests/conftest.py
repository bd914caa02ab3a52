from __future__ import annotations

import os
from collections import Counter
from collections.abc import Generator

import pytest
from hypothesis import settings

pytest_plugins = ("tests.postgresql", "tests.secure_postgresql", "tests.pgbouncer", "tests.redis_server")

# How long an example takes says how busy the machine is.
settings.register_profile("wanneng", deadline=None)
settings.load_profile("wanneng")


SERVICES = frozenset({"postgresql", "own_postgresql", "secure_postgresql", "pgbouncer", "redis_server"})


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Marks as `service` what starts a server: by its fixtures, or by a parameter that names one."""
    for item in items:
        parameters = item.name.partition("[")[2]
        fixtures = set(getattr(item, "fixturenames", ()))
        if fixtures & SERVICES or any(service in parameters for service in SERVICES):
            item.add_marker("service")


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_sessionfinish(session: pytest.Session) -> Generator[None]:
    """The last line says what was not run; with `WANNENG_NO_SKIPS`, where every part must be there, that fails."""
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    skipped = reporter.stats.get("skipped", []) if reporter is not None else []
    if os.environ.get("WANNENG_NO_SKIPS") and skipped:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED
    yield
    if skipped:
        reasons = Counter(str(report.longrepr[2]).removeprefix("Skipped: ") for report in skipped)
        told = "; ".join(f"{number} × {reason}" for reason, number in reasons.most_common())
        reporter.write_line(f"{len(skipped)} of {session.testscollected} tests were not run: {told}")
    elif reporter is not None:
        reporter.write_line(f"{session.testscollected} tests were collected, and all of them were run")
