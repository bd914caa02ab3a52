"""Authentication at the gateway: API keys as in both planes, and the batch worker, which asks for a tenant."""

from __future__ import annotations

import hmac

from starlette.requests import Request

from stores.clock import Clock
from stores.errors import NotFound, Unauthorized
from stores.record_cache import RecordCache
from stores.tenants import ACTIVE, CLASSIFY, Tenant, TenantStore
from web.authentication import Authenticator, Caller, bearer_token

TENANT_HEADER = "X-Wanneng-Tenant"


class GatewayAuthentication:
    """An `Authentication`; with an `internal_key`, whoever has it classifies at low priority for any tenant."""

    def __init__(
        self, keys: Authenticator, tenants: TenantStore, clock: Clock, *, ttl_s: float, internal_key: str = ""
    ) -> None:
        self._keys = keys
        self._internal_key = internal_key.encode()
        self._tenants: RecordCache[str, Tenant | None] = RecordCache(tenants.get, clock, ttl_s)

    async def caller_of(self, request: Request) -> Caller:
        authorization = request.headers.get("Authorization")
        tenant_id = request.headers.get(TENANT_HEADER)
        if tenant_id is None or authorization is None or not self._internal_key:
            return await self._keys.caller(authorization)
        if not hmac.compare_digest(bearer_token(authorization).encode(), self._internal_key):
            raise Unauthorized
        tenant = await self._tenants.get(tenant_id)
        if tenant is None or tenant.status != ACTIVE:
            raise Unauthorized
        return Caller(tenant.id, (CLASSIFY,), tenant.quota, low_priority=True)

    def require_operator(self, request: Request) -> None:
        raise NotFound("the control plane manages tenants")

    def forget(self) -> None:
        """Look tenants and keys up again: one has changed."""
        self._keys.forget()
        self._tenants.clear()
