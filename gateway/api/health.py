"""`/livez`, `/readyz` and `/metrics`, for machines."""

from __future__ import annotations

from collections.abc import Sequence

from starlette.responses import Response

from gateway.tenancy.authentication import GatewayAuthentication
from gateway.triton.load_balancer import LoadBalancer
from web.metrics import CONTENT_TYPE, HttpMetrics
from web.operations import Call, Operation
from web.responses import json_response
from web.server import Draining


class HealthEndpoints:
    def __init__(
        self,
        load_balancer: LoadBalancer,
        draining: Draining,
        metrics: HttpMetrics,
        authentication: GatewayAuthentication,
    ) -> None:
        self._load_balancer = load_balancer
        self._draining = draining
        self._metrics = metrics
        self._authentication = authentication

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
        if not self._load_balancer.ready:
            return json_response({"status": "waiting for a first answer from Triton"}, 503)
        return json_response({"status": "ready"})

    async def metrics(self, call: Call) -> Response:
        self._authentication.check_host(call.request)
        return Response(self._metrics.exposition(), media_type=CONTENT_TYPE)
