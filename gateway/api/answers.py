"""Structs become JSON responses. Knows no status but the one it is given."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from gateway.facts import Facts
from gateway.quotas import WINDOW_S

Endpoint = Callable[[Request], Awaitable[Response]]


class _Endpoint:
    """A function as an ASGI application; Starlette's own wrapper adds handlers of errors, which `Boundary` has."""

    def __init__(self, endpoint: Endpoint) -> None:
        self._endpoint = endpoint

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        response = await self._endpoint(Request(scope, receive))
        await response(scope, receive, send)


def route(method: str, path: str, endpoint: Endpoint) -> Route:
    return Route(path, _Endpoint(endpoint), methods=[method])


def json_answer(body: object, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    return Response(msgspec.json.encode(body), status, headers, media_type="application/json")


def quota_headers(facts: Facts) -> dict[str, str]:
    """What is left of the tenant's pairs, as draft-ietf-httpapi-ratelimit-headers-10 has it; none if unbounded."""
    standing = facts.quota
    if standing is None:
        return {}
    return {
        "RateLimit-Policy": f'"pairs";q={standing.quota};w={WINDOW_S:.0f}',
        "RateLimit": f'"pairs";r={standing.left};t={standing.full_in_s}',
    }
