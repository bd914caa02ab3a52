"""The caller's options, from the headers of its request."""

from __future__ import annotations

import math
from functools import partial

from starlette.requests import Request

from gateway.classification.work import CallOptions, Upstream
from stores.errors import InvalidRequest
from web.bodies import DISCONNECT
from web.headers import header_value, headers_of
from web.openapi import header

TIMEOUT_HEADER = "X-Request-Timeout"
_TIMEOUT, _CACHING = TIMEOUT_HEADER.lower().encode(), b"cache-control"
OPTIONS = frozenset({_TIMEOUT, _CACHING})
MIN_TIMEOUT_S, MAX_TIMEOUT_S = 0.01, 3_600.0
"""Less is a mistake, such as seconds given as milliseconds; more is longer than anything here lasts."""

TIMEOUT = header(
    TIMEOUT_HEADER,
    "Seconds that the caller waits.",
    type="number",
    format="double",
    minimum=MIN_TIMEOUT_S,
    maximum=MAX_TIMEOUT_S,
)
FRESH = header("Cache-Control", "`no-cache`: compute every pair anew.")


def has_options(request: Request) -> bool:
    return not OPTIONS.isdisjoint(headers_of(request.scope))


def call_options(request: Request, upstream: Upstream) -> CallOptions:
    """`InvalidRequest` for a timeout out of bounds. The body has been read before."""
    caching = header_value(request, _CACHING)
    fresh = caching is not None and "no-cache" in caching
    return CallOptions(fresh, _timeout_s(request), partial(_wait_for_disconnect, request), upstream)


def _timeout_s(request: Request) -> float | None:
    value = header_value(request, _TIMEOUT)
    if value is None:
        return None
    try:
        seconds = float(value)
    except ValueError:
        seconds = math.nan
    if not MIN_TIMEOUT_S <= seconds <= MAX_TIMEOUT_S:
        raise InvalidRequest(
            f"must be {MIN_TIMEOUT_S:g} to {MAX_TIMEOUT_S:g} seconds, as 2.5", field=TIMEOUT_HEADER
        )
    return seconds


async def _wait_for_disconnect(request: Request) -> None:
    while (await request.receive())["type"] != DISCONNECT:
        pass
