"""What was used, by day: a tenant's own, and any tenant's for the operator."""

from __future__ import annotations

from datetime import date

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from gateway.api.answers import json_answer, route
from gateway.api.callers import caller_of
from gateway.api.shapes import DayOfUse, UsageAnswer
from gateway.errors import InvalidRequest
from gateway.identity import Identities
from gateway.tenants import READ_USAGE
from gateway.usage import Usage


class UsageEndpoints:
    """Holds what the endpoints delegate to."""

    def __init__(self, usage: Usage, identities: Identities) -> None:
        self._usage = usage
        self._identities = identities

    def routes(self) -> list[Route]:
        return [
            route("GET", "/v1/usage", self.own),
            route("GET", "/v1/tenants/{tenant_id}/usage", self.tenants),
        ]

    async def own(self, request: Request) -> Response:
        caller = await caller_of(request, self._identities, READ_USAGE)
        return await self._answer(request, caller.tenant_id)

    async def tenants(self, request: Request) -> Response:
        self._identities.check_operator(request.headers.get("Authorization"))
        return await self._answer(request, request.path_params["tenant_id"])

    async def _answer(self, request: Request, tenant_id: str) -> Response:
        uses = await self._usage.of(tenant_id, _day(request, "from"), _day(request, "to"))
        days = [DayOfUse(use.day, use.requests, use.pairs_computed, use.pairs_cached) for use in uses]
        return json_answer(UsageAnswer(days))


def _day(request: Request, name: str) -> date | None:
    given = request.query_params.get(name)
    if given is None:
        return None
    try:
        return date.fromisoformat(given)
    except ValueError:
        raise InvalidRequest("a day is needed, as 2030-01-31", field=name) from None
