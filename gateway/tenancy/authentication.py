"""Authentication at the gateway: API keys, sessions, the worker and, without a key, the tenant `local`."""

from __future__ import annotations

from starlette.requests import Request

from stores.api_keys import key_id_of
from stores.errors import NotFound, Unauthorized
from stores.tenants import CLASSIFY
from web.authentication import (
    KEY_HEADER,
    TENANT_HEADER,
    Authenticator,
    Caller,
    bearer_token,
    is_internal_key,
)
from web.failure_limit import FailureLimit, address_of
from web.headers import header_value
from web.local_callers import LocalCallers
from web.tenant_callers import TenantCallers

AUTHORIZATION, TENANT = b"authorization", TENANT_HEADER.lower().encode()
KEY = KEY_HEADER.lower().encode()


class GatewayAuthentication:
    """An `Authentication`. `local`: whose requests need no key; None: everybody's do.

    With an `internal_key`, whoever has it classifies at low priority for the tenant that it names.
    """

    def __init__(
        self,
        keys: Authenticator,
        tenants: TenantCallers,
        failures: FailureLimit,
        *,
        internal_key: str = "",
        local: LocalCallers | None = None,
    ) -> None:
        self._keys = keys
        self._tenants = tenants
        self._failures = failures
        self._internal_key = internal_key
        self._local = local

    async def caller_of(self, request: Request) -> Caller:
        tenant_id = header_value(request, TENANT)
        authorization = None if tenant_id is None else header_value(request, AUTHORIZATION)
        if tenant_id is None or authorization is None or not self._internal_key:
            return await self.tenant_of(request)
        if not is_internal_key(authorization, self._internal_key):
            raise self.failed(request)
        return await self._tenants.low_priority(tenant_id, (CLASSIFY,), header_value(request, KEY) or "")

    async def tenant_of(self, request: Request) -> Caller:
        """As `caller_of`, for a tenant alone: the worker has no business where this is asked."""
        authorization = header_value(request, AUTHORIZATION)
        caller = None if authorization is None else await self._find(authorization, request)
        if caller is not None:
            return caller
        if self._local is None:
            raise Unauthorized
        self._local.check(request)
        # Clients of other services always send a key of theirs; where none is needed, it does no harm.
        request.scope["context"].key_ignored = authorization is not None
        return await self._tenants.local()

    def require_operator(self, request: Request) -> str:
        raise NotFound("the control plane manages tenants")

    def check_host(self, request: Request) -> None:
        """`Unauthorized` where no key is needed and the request's `Host` is not this machine's."""
        if self._local is not None:
            self._local.check_host(request)

    def failed(self, request: Request) -> Unauthorized:
        """The refusal of a key, which it counts; `TooManyFailures` is raised in its place after too many."""
        self._failures.count(address_of(request))
        return Unauthorized()

    def forget(self, tenant_id: str | None = None) -> None:
        """Look this tenant or all up again, and keys: one has changed."""
        self._keys.forget(tenant_id)
        self._tenants.forget(tenant_id)

    async def _find(self, authorization: str, request: Request) -> Caller | None:
        """The caller who has the key; None for what is no key of ours, where none is needed."""
        try:
            caller = await self._tenants.signed_in(authorization)
            if caller is None:
                if self._local is None and not self._keys.remembers(authorization):
                    # Before the store is asked: a stranger's guesses cost it nothing.
                    self._failures.check(address_of(request))
                caller = await self._keys.find(authorization)
        except Unauthorized:
            raise self.failed(request) from None
        if caller is None and (self._local is None or key_id_of(bearer_token(authorization)) is not None):
            # A key of ours that nobody has was revoked: what is asked with it was not meant for `local`.
            raise self.failed(request)
        return caller
