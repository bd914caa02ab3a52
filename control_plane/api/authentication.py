"""Authentication at the control plane: tenants by their keys, the operator by his, a gateway for `local`."""

from __future__ import annotations

from starlette.requests import Request

from stores.errors import Unauthorized
from stores.tenants import LOCAL_TENANT_ID
from web.authentication import TENANT_HEADER, Authenticator, Caller, is_internal_key
from web.tenant_callers import TenantCallers


class HeaderAuthentication:
    """An `Authentication`. Nobody is served without a key: a gateway says with its own who needs none."""

    def __init__(self, keys: Authenticator, tenants: TenantCallers, *, internal_key: str) -> None:
        self._keys = keys
        self._tenants = tenants
        self._internal_key = internal_key

    async def caller_of(self, request: Request) -> Caller:
        authorization = request.headers.get("Authorization")
        if authorization is None or not is_internal_key(authorization, self._internal_key):
            return await self._keys.caller(authorization)
        if request.headers.get(TENANT_HEADER) != LOCAL_TENANT_ID:
            raise Unauthorized
        return await self._tenants.local()

    def require_operator(self, request: Request) -> None:
        self._keys.require_operator(request.headers.get("Authorization"))

    def forget(self, tenant_id: str | None = None) -> None:
        """Look this tenant or all up again, and keys: one has changed."""
        self._keys.forget(tenant_id)
        self._tenants.forget(tenant_id)
