"""A tenant whose quota is smaller than what it asks for, and what its lines have cost."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path

from tests.e2e.server import Server
from wanneng import Client, DayOfUsage

LINES, PAIRS_PER_MINUTE = 100, 92
"""With one label. The quota is full at first, so that the last eight lines wait for about five seconds."""
LABEL = "投诉"
STABLE_S, TIMEOUT_S = 6.0, 60.0
"""Usage is written every five seconds."""


@dataclass(frozen=True)
class SmallQuota:
    """A tenant of `server` that may compute `PAIRS_PER_MINUTE`."""

    server: Server
    name: str
    key: str

    @property
    def key_file(self) -> Path:
        file = self.server.state_dir / f"{self.name}.key"
        file.write_text(self.key)
        return file

    def usage(self) -> DayOfUsage:
        """Of today, once it does not change any more."""
        with Client(self.server.url, self.key) as client:
            seen, since, deadline = None, time.monotonic(), time.monotonic() + TIMEOUT_S
            while time.monotonic() < deadline:
                days = client.usage().days
                if days != seen:
                    seen, since = days, time.monotonic()
                if seen and time.monotonic() - since > STABLE_S:
                    return seen[-1]
                time.sleep(0.2)
        raise AssertionError(f"no usage: {seen}")


def small_quota(server: Server, name: str, pairs_per_minute: int = PAIRS_PER_MINUTE) -> SmallQuota:
    with Client(server.url, (server.state_dir / "admin.key").read_text().strip()) as admin:
        tenant = admin.tenants.create(name)
        admin.tenants.set_quota(tenant.id, pairs_per_minute=pairs_per_minute)
        return SmallQuota(server, name, admin.tenants.keys.create(tenant.id).secret)


def lines(name: str) -> list[str]:
    """Texts of which no other tenant's test has one."""
    return [f"{name}：第{number}个手机质量太差，要求退款" for number in range(LINES)]
