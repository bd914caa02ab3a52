"""Callers without a key: those of the tenant `local`, whoever has signed in or another process asks for."""

from __future__ import annotations

from stores.clock import Clock
from stores.errors import Unauthorized
from stores.record_cache import RecordCache
from stores.tenants import ACTIVE, DEFAULT_SCOPES, LOCAL_TENANT_ID, ApiKey, ApiKeyStore, Tenant, TenantStore
from web.authentication import Caller, caller_limits, concerns
from web.sessions import SessionTokens


class TenantCallers:
    """By tenant; its record is remembered for `ttl_s`, and so are those of keys."""

    def __init__(
        self,
        tenants: TenantStore,
        api_keys: ApiKeyStore,
        clock: Clock,
        ttl_s: float,
        sessions: SessionTokens,
    ) -> None:
        self._sessions = sessions
        self._tenants: RecordCache[str, Tenant | None] = RecordCache(tenants.get, clock, ttl_s)
        self._keys: RecordCache[str, tuple[ApiKey, Tenant] | None] = RecordCache(api_keys.find, clock, ttl_s)

    async def low_priority(self, tenant_id: str, scopes: tuple[str, ...], key_id: str = "") -> Caller:
        """The worker, for a tenant and with the budget of its key; `Unauthorized` where the tenant does not exist
        or is suspended. A key that was revoked meanwhile has no budget.
        """
        tenant = await self._tenants.get(tenant_id)
        if tenant is None or tenant.status != ACTIVE:
            raise Unauthorized
        record = await self._keys.get(key_id) if key_id else None
        api_key = record[0] if record is not None and record[0].tenant_id == tenant_id else None
        return Caller(
            tenant.id,
            scopes,
            tenant.quota,
            low_priority=True,
            special_tokens=tenant.special_tokens,
            key_id="" if api_key is None else api_key.id,
            limits=caller_limits(tenant, api_key),
        )

    async def signed_in(self, authorization: str) -> Caller | None:
        """The person whose session the header has; None where it has none, `Unauthorized` where it has ended."""
        session = self._sessions.read(authorization)
        if session is None:
            return None
        tenant = await self._tenants.get(session.tenant_id)
        if tenant is None or tenant.status != ACTIVE:
            raise Unauthorized
        return Caller(
            tenant.id,
            session.scopes,
            tenant.quota,
            special_tokens=tenant.special_tokens,
            subject=session.subject,
            limits=caller_limits(tenant),
        )

    async def local(self) -> Caller:
        """Whoever needs no key; `local` need not exist, but `Unauthorized` where it is suspended."""
        tenant = await self._tenants.get(LOCAL_TENANT_ID)
        if tenant is None:
            return Caller(LOCAL_TENANT_ID, DEFAULT_SCOPES, has_key=False)
        if tenant.status != ACTIVE:
            raise Unauthorized(
                f"the tenant {LOCAL_TENANT_ID!r} of callers without a key is suspended, so a key is needed"
            )
        return Caller(
            LOCAL_TENANT_ID,
            DEFAULT_SCOPES,
            tenant.quota,
            has_key=False,
            special_tokens=tenant.special_tokens,
            limits=caller_limits(tenant),
        )

    def forget(self, tenant_id: str | None = None) -> None:
        """Look this tenant or all up again, and keys: one has changed."""
        self._tenants.forget_where(lambda known, _: tenant_id in (None, known))
        self._keys.forget_where(lambda _, record: concerns(record, tenant_id))
