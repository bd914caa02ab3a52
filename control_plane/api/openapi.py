"""`GET /openapi.json`: the control plane's part of the API, which the gateway merges with its own."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from starlette.responses import Response

from web.openapi import Apis, document
from web.operations import Call, Operation
from web.problems import STATUSES
from web.responses import json_response


class OpenApiEndpoint:
    def __init__(self) -> None:
        self._document: dict[str, Any] = {}

    def operations(self) -> Sequence[Operation]:
        return [
            Operation(
                "GET", "/openapi.json", self.get, "This document", answers=(dict[str, Any],), id="getOpenApi"
            )
        ]

    def describe(self, apis: Apis) -> None:
        """All operations, this one included."""
        self._document = document(apis, STATUSES)

    async def get(self, call: Call) -> Response:
        return json_response(self._document)
