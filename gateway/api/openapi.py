"""`GET /openapi.json`: one document of both planes."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from typing import Any, TypedDict

import httpx
import msgspec
from starlette.responses import Response

from gateway.api.statuses import STATUSES as GATEWAY_STATUSES
from gateway.settings import Settings
from web.openapi import Apis, document, merge
from web.operations import Call, Operation
from web.problems import STATUSES

TIMEOUT_S = 2.0
"""Longest wait for the control plane's part of the document."""


class _Document(TypedDict):
    """What is taken of the control plane's."""

    tags: list[dict[str, Any]]
    paths: dict[str, Any]
    components: dict[str, dict[str, Any]]


class OpenApiEndpoint:
    """The gateway's own operations, and those of the control plane while it answers."""

    def __init__(self, http: httpx.AsyncClient, settings: Settings) -> None:
        self._http = http
        self._settings = settings
        self._own: dict[str, Any] = {}
        self._encoded = b"{}"
        url = settings.control_plane_url
        self._url = f"{url.rstrip('/')}/openapi.json" if url and not settings.tenants_file else ""
        """Of the control plane's part; empty where there is none, or once it is merged."""
        self._merging = asyncio.Lock()

    def operations(self) -> Sequence[Operation]:
        return [
            Operation(
                "GET", "/openapi.json", self.get, "This document", answers=(dict[str, Any],), id="getOpenApi"
            )
        ]

    def describe(self, apis: Apis) -> None:
        """The gateway's operations, this one included."""
        root_path = self._settings.root_path
        servers = {"servers": [{"url": root_path}]} if root_path else {}
        self._own = document(apis, {**STATUSES, **GATEWAY_STATUSES}) | servers
        self._encoded = msgspec.json.encode(self._own)

    async def get(self, call: Call) -> Response:
        if self._url:
            await self._merge()
        return Response(self._encoded, media_type="application/json")

    async def _merge(self) -> None:
        """Once, however many ask at a time; they wait for one answer of the control plane."""
        asked_by_another = self._merging.locked()
        async with self._merging:
            if asked_by_another or not self._url:
                return
            # The gateway's own, until the control plane answers.
            with suppress(httpx.HTTPError, msgspec.DecodeError):
                response = await self._http.get(self._url, timeout=TIMEOUT_S)
                content = response.raise_for_status().content
                merged = merge(self._own, msgspec.json.decode(content, type=_Document))
                self._encoded, self._url = msgspec.json.encode(merged), ""
