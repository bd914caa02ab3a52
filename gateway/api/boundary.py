"""The outermost middleware: gives each request an id and its facts, answers defects, reports at the end."""

from __future__ import annotations

import logging
import re
import time
import uuid
from collections.abc import Sequence

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import ClientDisconnect, Request
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from gateway.api.problems import problem_of_defect
from gateway.facts import Facts
from gateway.telemetry import Telemetry

REQUEST_ID = "X-Request-Id"
_ACCEPTABLE = re.compile(r"[A-Za-z0-9._-]{1,64}")
QUIET = frozenset({"/livez", "/readyz", "/metrics"})
"""Asked every few seconds by machines: neither logged nor counted."""
UNKNOWN_ROUTE = "unknown"
CLIENT_GONE = 499
"""nginx's number for a client that left before its answer; nobody receives it."""

log = logging.getLogger(__name__)


class Boundary:
    """Pure ASGI; `routes` are what metrics may name."""

    def __init__(self, app: ASGIApp, telemetry: Telemetry, routes: Sequence[Route]) -> None:
        self._app = app
        self._telemetry = telemetry
        self._plain = frozenset(route.path for route in routes if "{" not in route.path)
        self._patterns = {route.path: route.path_regex for route in routes if "{" in route.path}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        given = Headers(scope=scope).get(REQUEST_ID, "")
        facts = Facts(given if _ACCEPTABLE.fullmatch(given) else uuid.uuid4().hex)
        scope["facts"] = facts
        began, status = time.monotonic(), 0

        async def send_with_id(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                MutableHeaders(scope=message)[REQUEST_ID] = facts.request_id
            await send(message)

        try:
            await self._app(scope, receive, send_with_id)
        except ClientDisconnect:
            status, facts.error_code = CLIENT_GONE, "client_disconnected"
        except Exception:
            log.exception("request %s met a defect", facts.request_id)
            if status == 0:
                await problem_of_defect(Request(scope))(scope, receive, send_with_id)
        finally:
            path = scope["path"]
            if path not in QUIET:
                self._telemetry.record(
                    facts,
                    method=scope["method"],
                    route=self._route(path),
                    status=status,
                    seconds=time.monotonic() - began,
                )

    def _route(self, path: str) -> str:
        """The pattern behind a path: ids in a metric's label would have no bound."""
        if path in self._plain:
            return path
        found = (name for name, pattern in self._patterns.items() if pattern.match(path))
        return next(found, UNKNOWN_ROUTE)
