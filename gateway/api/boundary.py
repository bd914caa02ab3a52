"""The outermost ASGI application: gives each request an id and its facts, answers refusals, reports at the end."""

from __future__ import annotations

import logging
import re
import time
import uuid
from collections.abc import Sequence
from contextlib import nullcontext

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route, Router
from starlette.types import Message, Receive, Scope, Send

from gateway.api.problems import problem_of_defect, problem_of_error, problem_of_http
from gateway.draining import CLOSE, Draining
from gateway.errors import GatewayError
from gateway.facts import Facts
from gateway.telemetry import Telemetry
from gateway.tracing import TRACEPARENT, Tracing

REQUEST_ID = b"x-request-id"
_ACCEPTABLE = re.compile(rb"[A-Za-z0-9._-]{1,64}")
QUIET = frozenset({"/livez", "/readyz", "/metrics"})
"""Asked every few seconds by machines: neither logged nor counted."""
UNKNOWN_ROUTE = "unknown"

log = logging.getLogger(__name__)


class Boundary:
    """Pure ASGI around `router`; `routes` are what metrics may name.

    Instead of Starlette's own application, whose layers of middleware cost as much as a cached answer.
    """

    def __init__(
        self, router: Router, telemetry: Telemetry, tracing: Tracing, draining: Draining, routes: Sequence[Route]
    ) -> None:
        self.router = router
        self._telemetry = telemetry
        self._tracing = tracing
        self._draining = draining
        self._plain = {route.path for route in routes if "{" not in route.path}
        self._direct = {(m, r.path): r.app for r in routes if r.path in self._plain for m in r.methods or ()}
        self._patterns = {route.path: route.path_regex for route in routes if "{" in route.path}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        scope["app"] = self
        if scope["type"] != "http":
            await self.router(scope, receive, send)
            return
        given, traceparent = _given(scope)
        facts = scope["facts"] = Facts(given or uuid.uuid4().hex, scope["method"], self._route(scope["path"]))
        began = time.monotonic()

        async def send_with_id(message: Message) -> None:
            if message["type"] == "http.response.start":
                facts.status = message["status"]
                message["headers"].append((REQUEST_ID, facts.request_id.encode()))
                if self._draining.begun:
                    message["headers"].append(CLOSE)
            await send(message)

        # Nothing to trace is the common case, and a span costs as much as a look into the cache.
        traced = traceparent is not None or (self._tracing.records and facts.route not in QUIET)
        try:
            with self._tracing.request(facts, traceparent) if traced else nullcontext():
                await self._answer(scope, receive, send_with_id, facts)
        finally:
            if facts.route not in QUIET:
                facts.seconds = round(time.monotonic() - began, 6)
                self._telemetry.record(facts)

    async def _answer(self, scope: Scope, receive: Receive, send: Send, facts: Facts) -> None:
        problem: Response
        try:
            # A path without parameters needs no search through all routes.
            await self._direct.get((scope["method"], scope["path"]), self.router)(scope, receive, send)
            return
        except GatewayError as error:
            problem = problem_of_error(Request(scope), error)
        except HTTPException as error:
            problem = problem_of_http(Request(scope), error)
        except Exception:
            log.exception("request %s met a defect", facts.request_id)
            problem = problem_of_defect(Request(scope))
        if facts.status == 0:
            await problem(scope, receive, send)

    def _route(self, path: str) -> str:
        """The pattern behind a path: ids in a metric's label would have no bound."""
        if path in self._plain:
            return path
        found = (name for name, pattern in self._patterns.items() if pattern.match(path))
        return next(found, UNKNOWN_ROUTE)


def _given(scope: Scope) -> tuple[str | None, bytes | None]:
    """The caller's own request id, unless it could forge a line of the log; and its `traceparent`."""
    request_id, traceparent = None, None
    for name, value in scope["headers"]:
        if name == REQUEST_ID and _ACCEPTABLE.fullmatch(value):
            request_id = str(value, "ascii")
        elif name == TRACEPARENT:
            traceparent = value
    return request_id, traceparent
