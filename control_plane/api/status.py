"""The live view of the gateways, for the operator."""

from __future__ import annotations

from collections.abc import Sequence

from starlette.responses import Response

from control_plane.gateway_figures import Overview
from control_plane.gateway_metrics import GatewayMetrics
from web.operations import OPERATOR, Call, Operation
from web.responses import json_response


class StatusEndpoints:
    def __init__(self, metrics: GatewayMetrics) -> None:
        self._metrics = metrics

    def operations(self) -> Sequence[Operation]:
        return [
            Operation(
                "GET",
                "/v1/admin/status",
                self.status,
                "Get what the gateways do at present",
                OPERATOR,
                answers=(Overview,),
                errors=(501,),
                id="getStatus",
            )
        ]

    async def status(self, call: Call) -> Response:
        return json_response(await self._metrics.overview())
