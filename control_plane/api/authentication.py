"""Authentication at the control plane: tenants by their keys, the operator by his, a gateway for `local`."""

from __future__ import annotations

from starlette.requests import Request

from stores.clock import Clock
from stores.errors import Unauthorized
from stores.record_cache import RecordCache
from stores.tenants import ACTIVE, LOCAL_TENANT_ID, NO_QUOTA, SCOPES, Tenant, TenantStore
from web.authentication import TENANT_HEADER, Authenticator, Caller, is_internal_key


class HeaderAuthentication:
    """An `Authentication`. Nobody is served without a key: a gateway says with its own who needs none."""

    def __init__(
        self, keys: Authenticator, tenants: TenantStore, clock: Clock, *, ttl_s: float, internal_key: str
    ) -> None:
        self._keys = keys
        self._internal_key = internal_key
        self._tenants: RecordCache[str, Tenant | None] = RecordCache(tenants.get, clock, ttl_s)

    async def caller_of(self, request: Request) -> Caller:
        authorization = request.headers.get("Authorization")
        if authorization is None or not is_internal_key(authorization, self._internal_key):
            return await self._keys.caller(authorization)
        if request.headers.get(TENANT_HEADER) != LOCAL_TENANT_ID:
            raise Unauthorized
        tenant = await self._tenants.get(LOCAL_TENANT_ID)
        if tenant is not None and tenant.status != ACTIVE:
            raise Unauthorized
        return Caller(LOCAL_TENANT_ID, SCOPES, NO_QUOTA if tenant is None else tenant.quota, has_key=False)

    def require_operator(self, request: Request) -> None:
        self._keys.require_operator(request.headers.get("Authorization"))

    def forget(self) -> None:
        """Look tenants and keys up again: one has changed."""
        self._keys.forget()
        self._tenants.clear()
