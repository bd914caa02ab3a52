"""Callers without a key of their own: those of the tenant `local`, and whoever another process asks for."""

from __future__ import annotations

from stores.clock import Clock
from stores.errors import Unauthorized
from stores.record_cache import RecordCache
from stores.tenants import ACTIVE, LOCAL_TENANT_ID, SCOPES, Tenant, TenantStore
from web.authentication import Caller


class TenantCallers:
    """By tenant; its record is remembered for `ttl_s`."""

    def __init__(self, tenants: TenantStore, clock: Clock, ttl_s: float) -> None:
        self._tenants: RecordCache[str, Tenant | None] = RecordCache(tenants.get, clock, ttl_s)

    async def low_priority(self, tenant_id: str, scopes: tuple[str, ...]) -> Caller:
        """The worker, for a tenant; `Unauthorized` where that does not exist or is suspended."""
        tenant = await self._tenants.get(tenant_id)
        if tenant is None or tenant.status != ACTIVE:
            raise Unauthorized
        return Caller(tenant.id, scopes, tenant.quota, low_priority=True, special_tokens=tenant.special_tokens)

    async def local(self) -> Caller:
        """Whoever needs no key; `local` need not exist, but `Unauthorized` where it is suspended."""
        tenant = await self._tenants.get(LOCAL_TENANT_ID)
        if tenant is None:
            return Caller(LOCAL_TENANT_ID, SCOPES, has_key=False)
        if tenant.status != ACTIVE:
            raise Unauthorized(
                f"the tenant {LOCAL_TENANT_ID!r} of callers without a key is suspended, so a key is needed"
            )
        return Caller(LOCAL_TENANT_ID, SCOPES, tenant.quota, has_key=False, special_tokens=tenant.special_tokens)

    def forget(self) -> None:
        """Look the tenants up again: one has changed."""
        self._tenants.clear()
