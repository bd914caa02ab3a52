"""The outermost ASGI application: gives each request an id and a context, answers errors, reports at the end."""

from __future__ import annotations

import logging
import random
import re
import time
from collections.abc import Sequence
from contextlib import nullcontext
from typing import Protocol

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route, Router
from starlette.types import Message, Receive, Scope, Send

from logs.setup import FIELDS
from stores.errors import ServiceError
from web.headers import headers_of
from web.internal_port import InternalPort
from web.loop_lag import LoopLag
from web.pacing import REFUSAL_S, Pacing
from web.problems import Problems
from web.request_context import RequestContext
from web.root_path import RootPath
from web.server import CLOSE, Draining
from web.tracing import TRACEPARENT, Tracing

REQUEST_ID = b"x-request-id"
_ACCEPTED_ID = re.compile(rb"[A-Za-z0-9._-]{1,64}")
UNREPORTED = frozenset({"/livez", "/readyz", "/metrics"})
"""Asked every few seconds by machines: neither logged nor counted."""
UNKNOWN_ROUTE = "unknown"

log = logging.getLogger(__name__)


class Recorder(Protocol):
    loop_lag: LoopLag

    def record(self, context: RequestContext) -> None:
        """Count and log one answered request."""
        ...


class Middleware:
    """Pure ASGI around `router`; `routes` are what metrics may name.

    In place of Starlette's own application, whose layers of middleware cost as much as a cached answer.
    """

    def __init__(
        self,
        router: Router,
        routes: Sequence[Route],
        recorder: Recorder,
        tracing: Tracing,
        draining: Draining,
        problems: Problems,
        pacing: Pacing,
        context_type: type[RequestContext] = RequestContext,
        internal_port: InternalPort | None = None,
        root_path: RootPath | None = None,
    ) -> None:
        self.router = router
        self._recorder = recorder
        self._tracing = tracing
        self._draining = draining
        self._problems = problems
        self._context_type = context_type
        self._internal_port = internal_port
        self._root_path = root_path
        self._pacing = pacing
        self._plain = {route.path for route in routes if "{" not in route.path}
        self._direct = {(m, r.path): r.app for r in routes if r.path in self._plain for m in r.methods or ()}
        self._patterns = {route.path: route.path_regex for route in routes if "{" in route.path}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        scope["app"] = self
        if scope["type"] != "http":
            await self.router(scope, receive, send)
            return
        if self._root_path is not None:
            self._root_path.enter(scope)
        request_id, traceparent = _caller_headers(scope)
        context = scope["context"] = self._context_type(
            # No secret, so it need not be as random as one.
            request_id or f"{random.getrandbits(128):032x}",
            scope["method"],
            self._route(scope["path"]),
        )
        began = time.monotonic()

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                context.status = message["status"]
                headers = message["headers"]
                headers.append((REQUEST_ID, context.request_id.encode()))
                headers += context.response_headers()
                if self._draining.begun:
                    headers.append(CLOSE)
            await send(message)

        # Nothing to trace is the common case, and a span costs as much as a look into the cache.
        traced = traceparent is not None or (self._tracing.records and context.route not in UNREPORTED)
        try:
            with self._recorder.loop_lag, self._tracing.request(context, traceparent) if traced else nullcontext():
                await self._answer(scope, receive, send_with_headers, context)
        finally:
            if context.route not in UNREPORTED:
                context.seconds = round(time.monotonic() - began, 6)
                self._recorder.record(context)

    async def _answer(self, scope: Scope, receive: Receive, send: Send, context: RequestContext) -> None:
        problem: Response
        try:
            if self._internal_port is not None and not self._internal_port.serves(scope):
                raise HTTPException(404)
            if self._root_path is not None:
                self._root_path.check_end(scope)
            # A path without parameters needs no search through all routes.
            await self._direct.get((scope["method"], scope["path"]), self.router)(scope, receive, send)
            return
        except ServiceError as error:
            problem = self._problems.of_error(Request(scope), error)
        except HTTPException as error:
            problem = self._problems.of_http(Request(scope), error)
        except Exception:
            fields = {"request_id": context.request_id}
            log.exception("request %s failed unexpectedly", context.request_id, extra={FIELDS: fields})
            problem = self._problems.of_defect(Request(scope))
        if context.status == 0:
            if context.route not in UNREPORTED and not await self._pacing.pay(Request(scope), REFUSAL_S):
                context.status = problem.status_code
                return  # Without an answer, upon which the connection is closed.
            await problem(scope, receive, send)

    def _route(self, path: str) -> str:
        """The pattern behind a path: ids in a metric's label would have no bound."""
        if path in self._plain:
            return path
        matching = (name for name, pattern in self._patterns.items() if pattern.match(path))
        return next(matching, UNKNOWN_ROUTE)


def _caller_headers(scope: Scope) -> tuple[str | None, bytes | None]:
    """The caller's own request id, unless it could forge a line of the log; and its `traceparent`."""
    headers = headers_of(scope)
    request_id = headers.get(REQUEST_ID)
    accepted = request_id is not None and _ACCEPTED_ID.fullmatch(request_id)
    return accepted[0].decode() if accepted else None, headers.get(TRACEPARENT)
