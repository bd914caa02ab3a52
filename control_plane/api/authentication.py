"""Authentication at the control plane: API keys for tenants, the admin key for the operator."""

from __future__ import annotations

from starlette.requests import Request

from web.authentication import Authenticator, Caller


class HeaderAuthentication:
    """An `Authentication` by the Authorization header."""

    def __init__(self, authenticator: Authenticator) -> None:
        self._authenticator = authenticator

    async def caller_of(self, request: Request) -> Caller:
        return await self._authenticator.caller(request.headers.get("Authorization"))

    def require_operator(self, request: Request) -> None:
        self._authenticator.require_operator(request.headers.get("Authorization"))
