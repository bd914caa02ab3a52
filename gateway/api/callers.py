"""Who is asking, for every path of a tenant."""

from __future__ import annotations

from starlette.requests import Request

from gateway.identity import Identities, Identity


async def caller_of(request: Request, identities: Identities, scope: str) -> Identity:
    """`Unauthorized` without a key that works, `MissingScope` with one that does not allow this."""
    caller = await identities.caller(request.headers.get("Authorization"))
    request.scope["facts"].tenant_id = caller.tenant_id
    caller.require(scope)
    return caller
