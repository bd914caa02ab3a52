"""The names of tenants as a metric, for whoever reads the series of gateways, which have their ids."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import suppress

from prometheus_client import CollectorRegistry
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from stores.errors import ServiceError
from stores.paging import PageRequest
from stores.tenants import TenantStore

INTERVAL_S = 60.0
MAX_TENANTS = 1_000
"""The first by name; a label's values must have a bound."""
PAGE = 100


class TenantNames(Collector):
    """`watch` reads them now and then; while the database is down, the last ones are shown."""

    def __init__(self, tenants: TenantStore, registry: CollectorRegistry) -> None:
        self._tenants = tenants
        self._names: dict[str, str] = {}
        registry.register(self)

    async def watch(self) -> None:
        """Until cancelled."""
        while True:
            # The database logs its errors, and /readyz tells them; the last tenant of a page may be gone.
            with suppress(ServiceError):
                self._names = await self._read()
            await asyncio.sleep(INTERVAL_S)

    async def _read(self) -> dict[str, str]:
        names: dict[str, str] = {}
        after = None
        while len(names) < MAX_TENANTS:
            page = await self._tenants.page(PageRequest(PAGE, after))
            names |= {tenant.id: tenant.name for tenant in page.items}
            if not page.has_more:
                break
            after = page.items[-1].id
        return names

    def collect(self) -> Iterator[Metric]:
        family = GaugeMetricFamily("wanneng_tenant_info", "1 for each tenant.", labels=("tenant", "name"))
        for tenant_id, name in self._names.items():
            family.add_metric((tenant_id, name), 1.0)
        yield family
