"""Authentication: an Authorization header becomes a caller with scopes, or one and the same refusal."""

from __future__ import annotations

import asyncio
import hmac
from contextlib import suppress
from datetime import datetime, timedelta

from msgspec import Struct

from stores.api_keys import digest_of, key_id_of, matches
from stores.budgets import Limit, limits_of
from stores.clock import Clock
from stores.errors import MissingScope, NotFound, StoreUnavailable, Unauthorized
from stores.record_cache import RecordCache
from stores.special_tokens import MODEL, SpecialTokens
from stores.tenants import ACTIVE, NO_QUOTA, ApiKey, ApiKeyStore, Quota, Tenant
from web.sessions import SCHEME

LAST_USED_INTERVAL_S, ENDS_INTERVAL_S = 60.0, 1.0
MAX_ENDS = 1_000
"""The last of more wait for their records to be read again, as any change does."""
MAX_KNOWN = 10_000
"""Headers whose key was found right; all are looked at anew beyond this."""
ADMIN_ID_DIGITS = 12
TENANT_HEADER = "X-Wanneng-Tenant"
"""With the internal key: the tenant that a request is for."""
KEY_HEADER = "X-Wanneng-Key"
"""With the internal key: the id of the key whose budget pays for it."""


class Caller(Struct, frozen=True):
    """Who asks: a tenant, and what its key allows."""

    tenant_id: str
    scopes: tuple[str, ...]
    quota: Quota = NO_QUOTA
    """The tenant's own."""
    low_priority: bool = False
    """Served when nobody else waits: a batch's lines."""
    has_key: bool = True
    """False for `local`, where it needs none."""
    special_tokens: SpecialTokens = MODEL
    """The tenant's."""
    key_id: str = ""
    """For a batch's lines, of the key that created the batch; empty where none was needed."""
    subject: str = ""
    """Of a person who has signed in, as the identity provider has it."""
    limits: tuple[Limit, ...] = ()
    """The budgets of the tenant and of the key."""

    def require(self, scope: str) -> None:
        """`MissingScope` when the key does not allow it."""
        if scope not in self.scopes:
            lacking = "the key lacks the scope" if self.has_key else "this needs a key, with the scope"
            lacking = "your role lacks the scope" if self.subject else lacking
            raise MissingScope(f"{lacking} {scope!r}")


class Authenticator:
    """Looks keys up in a store, and trusts a record for `ttl_s`: a revoked key works that long at most.

    A key that is replaced ends on time even if that is sooner.
    """

    def __init__(self, api_keys: ApiKeyStore, clock: Clock, *, ttl_s: float, admin_key: str = "") -> None:
        self._api_keys = api_keys
        self._clock = clock
        self._ttl_s = ttl_s
        self._admin_key = admin_key
        self._records: RecordCache[str, tuple[ApiKey, Tenant] | None] = RecordCache(api_keys.find, clock, ttl_s)
        self._known: dict[str, tuple[str, tuple[ApiKey, Tenant], Caller]] = {}
        """By header: the key's id, and the caller as long as the record is this one. A digest is computed once."""
        self._last_used: dict[str, datetime] = {}

    async def caller(self, authorization: str | None) -> Caller:
        """`Unauthorized`, in the same words whatever is wrong with the key."""
        caller = None if authorization is None else await self.find(authorization)
        if caller is None:
            raise Unauthorized
        return caller

    async def find(self, authorization: str) -> Caller | None:
        """The caller who has this key; None where nobody has, `Unauthorized` where its owner may not use it."""
        known = self._known.get(authorization)
        key_id = known[0] if known else key_id_of(bearer_token(authorization))
        record = await self._records.get(key_id) if key_id is not None else None
        if known is None or known[1] is not record:
            known = self._check(authorization, key_id, record)
        if known is None:
            return None
        now, api_key, tenant = self._clock.now(), *known[1]
        if tenant.status != ACTIVE or (api_key.expires_at is not None and api_key.expires_at <= now):
            raise Unauthorized
        self._last_used[api_key.id] = now
        return known[2]

    def remembers(self, authorization: str) -> bool:
        """Whether the key is one that was found before, so that the store need not be asked."""
        return authorization in self._known

    def _check(
        self, authorization: str, key_id: str | None, record: tuple[ApiKey, Tenant] | None
    ) -> tuple[str, tuple[ApiKey, Tenant], Caller] | None:
        """Compare the key with the record that its id has found."""
        self._known.pop(authorization, None)
        right = matches(bearer_token(authorization), record[0].digest if record else None)
        if not right or record is None or key_id is None:
            return None
        if len(self._known) >= MAX_KNOWN:
            self._known.clear()
        api_key, tenant = record
        caller = Caller(
            tenant.id,
            api_key.scopes,
            tenant.quota,
            special_tokens=tenant.special_tokens,
            key_id=key_id,
            limits=caller_limits(tenant, api_key),
        )
        self._known[authorization] = known = (key_id, record, caller)
        return known

    def require_operator(self, authorization: str | None) -> None:
        """`NotFound` where tenants are not managed, `Unauthorized` without the admin key."""
        if not self._admin_key:
            raise NotFound("tenants are managed only where WANNENG_ADMIN_KEY is set")
        if not hmac.compare_digest(bearer_token(authorization or "").encode(), self._admin_key.encode()):
            raise Unauthorized

    def forget(self, tenant_id: str | None = None) -> None:
        """Look keys up again, of this tenant or of all: it or one of them has changed."""
        # A record that another is found for is compared with the key again, so `_known` need not be searched.
        self._records.forget_where(lambda _, record: concerns(record, tenant_id))

    async def learn_ends(self) -> None:
        """Forget records of keys that end sooner than they say: a key that was replaced a moment ago ends soon."""
        now, margin = self._clock.now(), timedelta(seconds=self._ttl_s + ENDS_INTERVAL_S)
        for key_id, expires_at in (await self._api_keys.ends(now - margin, now + margin, MAX_ENDS)).items():
            known = self._records.known(key_id)
            if known is not None and known[0].expires_at != expires_at:
                self._records.forget(key_id)

    async def keep_ends_known(self) -> None:
        """Every `ENDS_INTERVAL_S`, until cancelled, so that a key ends on time at each process that knows it."""
        while True:
            await asyncio.sleep(ENDS_INTERVAL_S)
            with suppress(StoreUnavailable):
                if self._known:
                    await self.learn_ends()

    async def store_last_used(self) -> None:
        """Write when keys were last used; all at once, for one at a time would be a write for each request.

        `StoreUnavailable`: those not written yet are written the next time.
        """
        for key_id, used_at in list(self._last_used.items()):
            with suppress(NotFound):
                await self._api_keys.mark_used(key_id, used_at)
            # The key may have been used again while it was written.
            if self._last_used[key_id] == used_at:
                del self._last_used[key_id]

    async def keep_last_used(self) -> None:
        """Store it every `LAST_USED_INTERVAL_S`, until cancelled; a loss of power loses the last interval."""
        while True:
            await asyncio.sleep(LAST_USED_INTERVAL_S)
            with suppress(StoreUnavailable):
                await self.store_last_used()


def concerns(record: tuple[ApiKey, Tenant] | None, tenant_id: str | None) -> bool:
    """Whether it may be of this tenant, None: of any; of a record that is not known yet nobody knows."""
    return tenant_id is None or record is None or record[1].id == tenant_id


def caller_limits(tenant: Tenant, api_key: ApiKey | None = None) -> tuple[Limit, ...]:
    """The budgets of the tenant, and of the key where there is one."""
    of_key = () if api_key is None else limits_of(tenant.id, api_key.budget, api_key.id)
    return (*limits_of(tenant.id, tenant.budget), *of_key)


def admin_id(authorization: str) -> str:
    """Tells admin keys apart, and is nothing that anybody could guess one from."""
    return digest_of(bearer_token(authorization))[:ADMIN_ID_DIGITS]


def is_internal_key(authorization: str, internal_key: str) -> bool:
    """Whether the caller is another process of this deployment; nobody is where there is no such key."""
    is_right = hmac.compare_digest(bearer_token(authorization).encode(), internal_key.encode())
    return is_right and internal_key != ""


def bearer_token(authorization: str) -> str:
    """The token of `Bearer <token>`; empty, which no key is, for any other scheme."""
    scheme, _, token = authorization.partition(" ")
    return token.strip() if scheme.lower() == SCHEME else ""
