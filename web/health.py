"""`/livez`, `/readyz` and `/metrics`, for machines."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence

from msgspec import Struct
from starlette.requests import Request
from starlette.responses import Response

from web.metrics import CONTENT_TYPE, HttpMetrics
from web.operations import Call, Operation
from web.responses import json_response
from web.server import Draining

Readiness = Callable[[], Awaitable[str | None]]
"""Why requests cannot be answered at present; None when they can."""


class Health(Struct, frozen=True):
    status: str


class HealthEndpoints:
    """`check_host` refuses who may not read the metrics; None: anybody may."""

    def __init__(
        self,
        readiness: Readiness,
        draining: Draining,
        metrics: HttpMetrics,
        check_host: Callable[[Request], None] | None = None,
    ) -> None:
        self._readiness = readiness
        self._draining = draining
        self._metrics = metrics
        self._check_host = check_host

    def operations(self) -> Sequence[Operation]:
        return [
            Operation(
                "GET", "/livez", self.livez, "Whether the process is alive", answers=(Health,), id="getLiveness"
            ),
            Operation(
                "GET",
                "/readyz",
                self.readyz,
                "Whether it can answer",
                answers=(Health,),
                also_status=503,
                id="getReadiness",
            ),
            Operation(
                "GET",
                "/metrics",
                self.metrics,
                "Metrics for Prometheus",
                answers=(str,),
                media_type="text/plain",
                id="getMetrics",
            ),
        ]

    async def livez(self, call: Call) -> Response:
        return json_response(Health("alive"))

    async def readyz(self, call: Call) -> Response:
        reason = "stopping" if self._draining.begun else await self._readiness()
        return json_response(Health("ready")) if reason is None else json_response(Health(reason), 503)

    async def metrics(self, call: Call) -> Response:
        if self._check_host is not None:
            self._check_host(call.request)
        return Response(await self._metrics.exposition(), media_type=CONTENT_TYPE)
