"""`GET /openapi.json`: the document of this process, merged with that of the other plane."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from typing import Any, TypedDict

import httpx
import msgspec
from starlette.responses import Response

from web.openapi import Apis, document, merge
from web.operations import Call, Operation
from web.problems import Statuses

TIMEOUT_S = 2.0
"""Longest wait for the other process's part of the document."""


class _Document(TypedDict):
    """What is taken of the other's."""

    tags: list[dict[str, Any]]
    paths: dict[str, Any]
    components: dict[str, dict[str, Any]]


class OpenApiEndpoint:
    """The process's own operations, and those of the process at `other_url` from its first answer to `http` on.

    `statuses`: of the errors that the operations raise; `root_path`: that of the server.
    """

    def __init__(
        self,
        statuses: Statuses,
        root_path: str = "",
        *,
        http: httpx.AsyncClient | None = None,
        other_url: str = "",
    ) -> None:
        self._statuses = statuses
        self._root_path = root_path
        self._http = http
        self._other_url = f"{other_url.rstrip('/')}/openapi.json" if other_url else ""
        """Of the other's document; empty where there is none, or once it is merged."""
        self._own: dict[str, Any] = {}
        self._encoded = b"{}"
        self._merging = asyncio.Lock()

    def operations(self) -> Sequence[Operation]:
        return [
            Operation(
                "GET", "/openapi.json", self.get, "This document", answers=(dict[str, Any],), id="getOpenApi"
            )
        ]

    def describe(self, apis: Apis) -> None:
        """All operations of the process, this one included."""
        self._own = document(apis, self._statuses, self._root_path)
        self._encoded = msgspec.json.encode(self._own)

    async def get(self, call: Call) -> Response:
        if self._http is not None and self._other_url:
            await self._merge(self._http)
        return Response(self._encoded, media_type="application/json")

    async def _merge(self, http: httpx.AsyncClient) -> None:
        """Once, however many ask at a time; they wait for one answer of the other process."""
        asked_by_another = self._merging.locked()
        async with self._merging:
            if asked_by_another or not self._other_url:
                return
            # The process's own, until the other one answers.
            with suppress(httpx.HTTPError, msgspec.DecodeError):
                response = await http.get(self._other_url, timeout=TIMEOUT_S)
                content = response.raise_for_status().content
                merged = merge(self._own, msgspec.json.decode(content, type=_Document))
                self._encoded, self._other_url = msgspec.json.encode(merged), ""
