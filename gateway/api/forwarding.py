"""Forwards requests for the control plane, streamed in both directions and with a concurrency limit of their own.

Nothing here shares a connection, a queue or a buffer with classification: a control plane that hangs or is flooded
costs at most `max_forwarded_requests` idle coroutines.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable

import httpx
from starlette.requests import Request
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from gateway.errors import ControlPlaneUnavailable, Overloaded
from gateway.settings import Settings
from stores.errors import BodyTooSlow, ClientDisconnected, NotAvailable, Unauthorized
from web.bodies import DISCONNECT

PATHS = (
    "/v1/tenants",
    "/v1/tenants/{path:path}",
    "/v1/label-sets",
    "/v1/label-sets/{path:path}",
    "/v1/usage",
    "/v1/files",
    "/v1/files/{path:path}",
    "/v1/batches",
    "/v1/batches/{path:path}",
    "/",
    "/docs",
    "/ui/{path:path}",
)
METHODS = ["GET", "POST", "PUT", "PATCH", "DELETE"]
API_PREFIX = "/v1/"
CONNECT_TIMEOUT_S = 2.0
IDLE_TIMEOUT_S = 30.0
"""Longest pause of the control plane within an answer, or before it begins."""
CHUNK_BYTES = 65_536
HOP_BY_HOP = frozenset(
    {
        "connection",
        "keep-alive",
        "proxy-authenticate",
        "proxy-authorization",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
    }
)
"""Headers of one connection (RFC 9110, section 7.6.1)."""
NOT_CONFIGURED = (
    "tenants, label sets, files, batches and the page need a control plane: set WANNENG_CONTROL_PLANE_URL"
)
TENANTS_FILE = (
    "tenants and label sets are declared in WANNENG_TENANTS_FILE here: change that file; files, batches, usage "
    "and the page need a database and a control plane"
)


class Forwarding:
    """`on_change` is called when a change may have been made: what the gateway remembers of tenants is stale."""

    def __init__(self, http: httpx.AsyncClient, settings: Settings, on_change: Callable[[], None]) -> None:
        self._http = http
        self._settings = settings
        self._on_change = on_change
        self._in_flight = 0

    def routes(self) -> list[Route]:
        return [Route(path, _Endpoint(self), methods=METHODS) for path in PATHS]

    async def forward(self, request: Request, send: Send) -> None:
        self._check(request)
        self._in_flight += 1
        try:
            async with asyncio.timeout(self._settings.forward_timeout_s):
                await self._exchange(request, send)
        except TimeoutError:
            raise BodyTooSlow(f"not done within {self._settings.forward_timeout_s:g} s") from None
        finally:
            self._in_flight -= 1
            if request.method != "GET":
                self._on_change()

    def _check(self, request: Request) -> None:
        settings = self._settings
        if settings.tenants_file:
            raise NotAvailable(TENANTS_FILE)
        if not settings.control_plane_url:
            raise NotAvailable(NOT_CONFIGURED)
        is_api = request.url.path.startswith(API_PREFIX)
        if is_api and settings.keys_needed and "Authorization" not in request.headers:
            # The control plane may listen on loopback, where it would take a stranger for the tenant `local`.
            raise Unauthorized
        if self._in_flight >= settings.max_forwarded_requests:
            raise Overloaded(f"{self._in_flight} requests are being forwarded to the control plane; try again")

    async def _exchange(self, request: Request, send: Send) -> None:
        upstream = self._http.build_request(
            request.method,
            f"{self._settings.control_plane_url.rstrip('/')}{_target(request.scope)}",
            headers=_forwarded_headers(request),
            content=_body(request) if _has_body(request) else None,
        )
        try:
            response = await self._http.send(upstream, stream=True)
        except (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout):
            raise ControlPlaneUnavailable("the control plane does not answer; it may be starting") from None
        except httpx.TransportError:
            raise ControlPlaneUnavailable("the control plane ended the connection, or took too long") from None
        try:
            await _answer(response, send)
        finally:
            await response.aclose()


class _Endpoint:
    """Pure ASGI, so that the answer is streamed as it arrives."""

    def __init__(self, forwarding: Forwarding) -> None:
        self._forwarding = forwarding

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self._forwarding.forward(Request(scope, receive), send)


async def _answer(response: httpx.Response, send: Send) -> None:
    headers = [
        (name.lower().encode("latin-1"), value.encode("latin-1"))
        for name, value in response.headers.multi_items()
        if name.lower() not in HOP_BY_HOP and name.lower() != "x-request-id"
    ]
    await send({"type": "http.response.start", "status": response.status_code, "headers": headers})
    async for chunk in response.aiter_raw(CHUNK_BYTES):
        await send({"type": "http.response.body", "body": chunk, "more_body": True})
    await send({"type": "http.response.body", "body": b"", "more_body": False})


def _target(scope: Scope) -> str:
    """Path and query as the caller sent them, still percent-encoded."""
    path: bytes = scope.get("raw_path") or scope["path"].encode()
    query: bytes = scope["query_string"]
    return (path.partition(b"?")[0] + (b"?" + query if query else b"")).decode("latin-1")


def _forwarded_headers(request: Request) -> list[tuple[str, str]]:
    headers = [
        (name, value)
        for name, value in request.headers.items()
        if name not in HOP_BY_HOP and name not in ("host", "x-request-id")
    ]
    return [*headers, ("X-Request-Id", request.scope["context"].request_id)]


def _has_body(request: Request) -> bool:
    return "content-length" in request.headers or "transfer-encoding" in request.headers


async def _body(request: Request) -> AsyncIterator[bytes]:
    more = True
    while more:
        message = await request.receive()
        if message["type"] == DISCONNECT:
            raise ClientDisconnected
        yield message.get("body", b"")
        more = message.get("more_body", False)
