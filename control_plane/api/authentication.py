"""Authentication at the control plane: tenants and the operator by keys or sessions, a gateway for `local`."""

from __future__ import annotations

from starlette.requests import Request

from stores.audit import person
from stores.errors import Unauthorized
from stores.tenants import LOCAL_TENANT_ID
from web.authentication import TENANT_HEADER, Authenticator, Caller, admin_id, is_internal_key
from web.sessions import SessionTokens
from web.tenant_callers import TenantCallers


class HeaderAuthentication:
    """An `Authentication`. Nobody is served without a key: a gateway says with its own who needs none."""

    def __init__(
        self, keys: Authenticator, tenants: TenantCallers, operators: SessionTokens, *, internal_key: str
    ) -> None:
        self._operators = operators
        self._keys = keys
        self._tenants = tenants
        self._internal_key = internal_key

    async def caller_of(self, request: Request) -> Caller:
        authorization = request.headers.get("Authorization")
        if authorization is None:
            raise Unauthorized
        if not is_internal_key(authorization, self._internal_key):
            return await self._tenants.signed_in(authorization) or await self._keys.caller(authorization)
        if request.headers.get(TENANT_HEADER) != LOCAL_TENANT_ID:
            raise Unauthorized
        return await self._tenants.local()

    def require_operator(self, request: Request) -> str:
        authorization = request.headers.get("Authorization", "")
        session = self._operators.read(authorization)
        if session is not None:
            return person(session.subject)
        self._keys.require_operator(authorization)
        return f"admin:{admin_id(authorization)}"

    def forget(self, tenant_id: str | None = None) -> None:
        """Look this tenant or all up again, and keys: one has changed."""
        self._keys.forget(tenant_id)
        self._tenants.forget(tenant_id)
