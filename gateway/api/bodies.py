"""Reads a request's body within its bounds of size and time. Knows nothing about its content."""

from __future__ import annotations

import asyncio

from starlette.requests import Request

from gateway.errors import BodyTooLarge, BodyTooSlow, ClientGone
from gateway.settings import Settings

DISCONNECT = "http.disconnect"


async def read_body(request: Request, limits: Settings) -> bytes:
    """The whole body; `BodyTooLarge` as soon as that is known, `BodyTooSlow` when it does not come."""
    most = limits.max_body_bytes
    declared = request.headers.get("Content-Length", "0")
    if declared.isdigit() and int(declared) > most:
        raise BodyTooLarge(f"{declared} bytes, at most {most}")
    body = bytearray()
    try:
        async with asyncio.timeout(limits.body_timeout_s):
            more = True
            while more:
                message = await request.receive()
                if message["type"] == DISCONNECT:
                    raise ClientGone
                body += message.get("body", b"")
                more = message.get("more_body", False)
                if len(body) > most:
                    raise BodyTooLarge(f"more than {most} bytes")
    except TimeoutError:
        raise BodyTooSlow(f"the body did not arrive within {limits.body_timeout_s:g} s") from None
    return bytes(body)
