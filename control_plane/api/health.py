"""`/livez`, `/readyz` and `/metrics`, for machines."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from starlette.responses import Response

from stores.errors import StoreUnavailable
from stores.tenants import LOCAL_TENANT_ID, TenantStore
from web.metrics import CONTENT_TYPE, HttpMetrics
from web.operations import Call, Operation
from web.responses import json_response
from web.server import Draining

TIMEOUT_S = 1.0
"""Longest wait for the database."""


class HealthEndpoints:
    def __init__(self, tenants: TenantStore, draining: Draining, metrics: HttpMetrics) -> None:
        self._tenants = tenants
        self._draining = draining
        self._metrics = metrics

    def operations(self) -> Sequence[Operation]:
        return [
            Operation("GET", "/livez", self.livez, "Whether the process is alive"),
            Operation("GET", "/readyz", self.readyz, "Whether it can answer"),
            Operation("GET", "/metrics", self.metrics, "Metrics for Prometheus", media_type="text/plain"),
        ]

    async def livez(self, call: Call) -> Response:
        return json_response({"status": "alive"})

    async def readyz(self, call: Call) -> Response:
        if self._draining.begun:
            return json_response({"status": "stopping"}, 503)
        try:
            async with asyncio.timeout(TIMEOUT_S):
                await self._tenants.get(LOCAL_TENANT_ID)
        except (StoreUnavailable, TimeoutError):
            return json_response({"status": "the database does not answer"}, 503)
        return json_response({"status": "ready"})

    async def metrics(self, call: Call) -> Response:
        return Response(self._metrics.exposition(), media_type=CONTENT_TYPE)
