"""A tenant whose quota is smaller than what it asks for, and what its lines have cost."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from tests.e2e.server import Server
from tests.polling import until
from wanneng import Client, DayOfUsage

LINES, PAIRS_PER_MINUTE = 100, 92
"""With one label. The quota is full at first, so that the last eight lines wait for about five seconds."""
LABEL = "投诉"


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
        """Of today, with everything so far: the gateway stores at once what it has counted of all tenants."""
        later = small_quota(self.server, f"after {self.name}")
        with Client(self.server.url, later.key) as client:
            client.classify(later.name, [LABEL])
            until(lambda: client.usage().days, "usage is not stored", interval_s=0.2)
        with Client(self.server.url, self.key) as client:
            return client.usage().days[-1]


def small_quota(server: Server, name: str, pairs_per_minute: int = PAIRS_PER_MINUTE) -> SmallQuota:
    with Client(server.url, (server.state_dir / "admin.key").read_text().strip()) as admin:
        tenant = admin.tenants.create(name)
        admin.tenants.set_quota(tenant.id, pairs_per_minute=pairs_per_minute)
        return SmallQuota(server, name, admin.tenants.keys.create(tenant.id).secret)


def lines(name: str) -> list[str]:
    """Texts of which no other tenant's test has one."""
    return [f"{name}：第{number}个手机质量太差，要求退款" for number in range(LINES)]
