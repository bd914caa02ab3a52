"""Passes a request on to another HTTP server and its answer back, streamed in both directions."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from http.cookiejar import CookieJar, DefaultCookiePolicy

import httpx
from starlette.requests import Request
from starlette.types import Scope, Send

from stores.errors import ClientDisconnected, InvalidRequest
from web.bodies import DISCONNECT
from web.headers import has_body
from web.same_user import SameUserTransport, certificates_for

CONNECT_TIMEOUT_S = 2.0
IDLE_TIMEOUT_S = 30.0
"""Longest pause of the server within an answer, or before it begins."""
CHUNK_BYTES = 65_536
HOP_BY_HOP = frozenset(
    {
        b"connection",
        b"keep-alive",
        b"proxy-authenticate",
        b"proxy-authorization",
        b"te",
        b"trailer",
        b"transfer-encoding",
        b"upgrade",
    }
)
"""Headers of one connection (RFC 9110, section 7.6.1). What `Connection` names stays: it could name the key."""
OWN_REQUEST_HEADERS = frozenset({b"host", b"x-request-id", b"x-wanneng-tenant"})
OWN_RESPONSE_HEADERS = frozenset({b"date", b"x-request-id"})
"""The proxy sets its own in their place."""

Headers = list[tuple[bytes, bytes]]


def proxy_client(url: str, max_connections: int, *, same_user: bool) -> httpx.AsyncClient:
    """A client of `url` that adds nothing; `same_user`: it connects on loopback to what is ours alone."""
    limits = httpx.Limits(max_connections=max_connections)
    kind = SameUserTransport if same_user else httpx.AsyncHTTPTransport
    client = httpx.AsyncClient(
        transport=kind(limits=limits, verify=certificates_for(url, trust_env=False), trust_env=False),
        timeout=httpx.Timeout(IDLE_TIMEOUT_S, connect=CONNECT_TIMEOUT_S),
        # One caller's cookies must never go out with another's request.
        cookies=CookieJar(policy=DefaultCookiePolicy(allowed_domains=[])),
        trust_env=False,
    )
    # httpx's own `Accept-Encoding` could bring an encoding that the caller cannot read.
    client.headers.clear()
    return client


async def send_on(
    http: httpx.AsyncClient, url: str, request: Request, credentials: Headers | None
) -> httpx.Response:
    """The beginning of the answer to `request` of the server at `url`, which has no path; close it in the end.

    `credentials`: headers in place of those of the request. `httpx.TransportError` without an answer.
    """
    request_id: bytes = request.scope["context"].request_id.encode()
    try:
        upstream = http.build_request(
            request.method,
            f"{url}{_target(request.scope)}",
            headers=[*_headers(request, credentials), (b"x-request-id", request_id)],
            content=_body(request) if has_body(request) else None,
        )
    except httpx.InvalidURL:
        # With the server's address it is longer than httpx sends.
        raise InvalidRequest("the URL is too long") from None
    return await http.send(upstream, stream=True)


async def send_back(response: httpx.Response, send: Send) -> None:
    """`httpx.TransportError` where the server ends its answer early."""
    headers = _end_to_end(response.headers.raw, OWN_RESPONSE_HEADERS)
    await send({"type": "http.response.start", "status": response.status_code, "headers": headers})
    async for chunk in response.aiter_raw(CHUNK_BYTES):
        await send({"type": "http.response.body", "body": chunk, "more_body": True})
    await send({"type": "http.response.body", "body": b"", "more_body": False})


def _target(scope: Scope) -> str:
    """Path and query as the caller sent them, still percent-encoded."""
    path: bytes = scope.get("raw_path") or scope["path"].encode()
    query: bytes = scope["query_string"]
    return (path.partition(b"?")[0] + (b"?" + query if query else b"")).decode("latin-1")


def _end_to_end(headers: Sequence[tuple[bytes, bytes]], own: frozenset[bytes]) -> Headers:
    """Headers for the other side, byte for byte: without those of one connection, and without our `own`."""
    # Blanks around a value are no part of it (RFC 9110, section 5.5), and httpx refuses to send them.
    lowercase = [(name.lower(), value.strip(b" \t")) for name, value in headers]
    return [(name, value) for name, value in lowercase if name not in HOP_BY_HOP and name not in own]


def _headers(request: Request, credentials: Headers | None) -> Headers:
    headers = _end_to_end(request.headers.raw, OWN_REQUEST_HEADERS)
    if credentials is None:
        return headers
    return [*(header for header in headers if header[0] != b"authorization"), *credentials]


async def _body(request: Request) -> AsyncIterator[bytes]:
    more = True
    while more:
        message = await request.receive()
        if message["type"] == DISCONNECT:
            raise ClientDisconnected
        yield message.get("body", b"")
        more = message.get("more_body", False)
