from __future__ import annotations

import os

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


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Where every part must be there (`WANNENG_NO_SKIPS`), a skipped test fails the run."""
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    if os.environ.get("WANNENG_NO_SKIPS") and reporter is not None and reporter.stats.get("skipped"):
        session.exitstatus = pytest.ExitCode.TESTS_FAILED
