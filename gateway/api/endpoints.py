"""The paths of the gateway, three to six lines each. What they mean is elsewhere."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from gateway.answering import Answering
from gateway.api.answers import json_answer, quota_headers, route
from gateway.api.bodies import read_body
from gateway.api.callers import caller_of
from gateway.api.wishes import wishes_of
from gateway.draining import Draining
from gateway.facts import Facts
from gateway.identity import Identities
from gateway.readiness import Readiness
from gateway.schema import ClassifyBody, TokenizeBody, decode
from gateway.settings import Settings
from gateway.telemetry import CONTENT_TYPE, Telemetry
from gateway.tenants import CLASSIFY


class Endpoints:
    """Holds what the endpoints delegate to."""

    def __init__(
        self,
        answering: Answering,
        identities: Identities,
        readiness: Readiness,
        draining: Draining,
        telemetry: Telemetry,
        settings: Settings,
    ) -> None:
        self._answering = answering
        self._identities = identities
        self._readiness = readiness
        self._draining = draining
        self._telemetry = telemetry
        self._settings = settings

    def routes(self) -> list[Route]:
        return [
            route("POST", "/v1/classify", self.classify),
            route("POST", "/v1/tokenize", self.tokenize),
            route("GET", "/livez", self.livez),
            route("GET", "/readyz", self.readyz),
            route("GET", "/metrics", self.metrics),
        ]

    async def classify(self, request: Request) -> Response:
        facts: Facts = request.scope["facts"]
        caller = await caller_of(request, self._identities, CLASSIFY)
        body = decode(ClassifyBody, await read_body(request, self._settings))
        fresh = "no-cache" in request.headers.get("Cache-Control", "")
        answer = await self._answering.answer(body, caller, facts, wishes_of(request, fresh=fresh))
        return json_answer(answer, headers=quota_headers(facts))

    async def tokenize(self, request: Request) -> Response:
        caller = await caller_of(request, self._identities, CLASSIFY)
        body = decode(TokenizeBody, await read_body(request, self._settings))
        return json_answer(await self._answering.count_tokens(body, caller))

    async def livez(self, request: Request) -> Response:
        return json_answer({"status": "alive"})

    async def readyz(self, request: Request) -> Response:
        if self._draining.begun:
            return json_answer({"status": "stopping"}, 503)
        ready = self._readiness.ready
        status = {"status": "ready" if ready else "waiting for a first answer from Triton"}
        return json_answer(status, 200 if ready else 503)

    async def metrics(self, request: Request) -> Response:
        return Response(self._telemetry.exposition(), media_type=CONTENT_TYPE)
