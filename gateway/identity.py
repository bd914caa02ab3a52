"""Who is asking: an Authorization header becomes a tenant with scopes, or one and the same refusal."""

from __future__ import annotations

import asyncio
import hmac
from collections import OrderedDict
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime

from gateway.clock import Clock
from gateway.errors import MissingScope, NotFound, StoreUnavailable, Unauthorized
from gateway.keys import is_key, key_id_of
from gateway.quotas import NO_QUOTA, Quota
from gateway.tenants import ACTIVE, LOCAL_TENANT_ID, SCOPES, Key, KeyStore, Tenant

KNOWN_KEYS = 10_000
"""Records remembered, found or not; the one longest unused goes first."""
OUTAGE_S = 600.0
"""How long remembered keys go on working while the store does not answer."""
USES_S = 60.0
SCHEME = "bearer"


@dataclass(frozen=True, slots=True)
class Identity:
    """A tenant, and what its key allows."""

    tenant_id: str
    scopes: tuple[str, ...]
    quota: Quota = NO_QUOTA
    """The tenant's own."""

    def require(self, scope: str) -> None:
        """`MissingScope` when the key does not allow it."""
        if scope not in self.scopes:
            raise MissingScope(f"the key lacks the scope {scope!r}")


LOCAL = Identity(LOCAL_TENANT_ID, SCOPES)

_Record = tuple[Key, Tenant] | None


@dataclass(slots=True)
class _Known:
    """What the store said of a key, when it said so, and when it was asked last."""

    record: _Record
    found_at: datetime
    asked_at: datetime
    asking: bool = False


class Identities:
    """Keys looked up in a store, and remembered for `remembered_s`: so long a revoked one may work elsewhere."""

    def __init__(
        self, keys: KeyStore, clock: Clock, *, require_key: bool, remembered_s: float, admin_key: str = ""
    ) -> None:
        self._keys = keys
        self._clock = clock
        self._require_key = require_key
        self._remembered_s = remembered_s
        self._admin_key = admin_key
        self._known: OrderedDict[str, _Known] = OrderedDict()
        self._used: dict[str, datetime] = {}

    async def caller(self, authorization: str | None) -> Identity:
        """`Unauthorized`, in the same words whatever is wrong with the key."""
        if authorization is None:
            if self._require_key:
                raise Unauthorized
            return LOCAL
        key = _bearer(authorization)
        key_id = key_id_of(key)
        record = await self._record(key_id) if key_id is not None else None
        found = is_key(key, record[0].digest if record else None)
        if not found or record is None or not self._works(*record):
            raise Unauthorized
        self._used[record[0].id] = self._clock.now()
        return Identity(record[1].id, record[0].scopes, record[1].quota)

    def check_operator(self, authorization: str | None) -> None:
        """`NotFound` where tenants are not managed, `Unauthorized` without the admin key."""
        if not self._admin_key:
            raise NotFound("tenants are managed only where WANNENG_ADMIN_KEY is set")
        if not hmac.compare_digest(_bearer(authorization or "").encode(), self._admin_key.encode()):
            raise Unauthorized

    def forget(self) -> None:
        """Look every key up again: the operator has changed something here."""
        self._known.clear()

    async def store_uses(self) -> None:
        """Write down when keys were used last; a few at a time would be a write for each request."""
        used, self._used = self._used, {}
        for key_id, at in used.items():
            with suppress(NotFound):
                await self._keys.change(key_id, last_used_at=at)

    async def keep_uses(self) -> None:
        """Store them every `USES_S`, until cancelled; what a loss of power takes is a minute of last uses."""
        while True:
            await asyncio.sleep(USES_S)
            with suppress(StoreUnavailable):
                await self.store_uses()

    async def _record(self, key_id: str) -> _Record:
        now = self._clock.now()
        known = self._known.get(key_id)
        if known is not None:
            asked_s, found_s = ((now - at).total_seconds() for at in (known.asked_at, known.found_at))
            # One caller asks, the others go on with what is known: a store that hangs must not hold them all.
            if (known.asking or 0 <= asked_s < self._remembered_s) and found_s <= OUTAGE_S:
                self._known.move_to_end(key_id)
                return known.record
            known.asking = True
        try:
            record = await self._keys.find(key_id)
        except StoreUnavailable:
            if known is None or (now - known.found_at).total_seconds() > OUTAGE_S:
                raise
            known.asked_at = self._clock.now()
            return known.record
        finally:
            if known is not None:
                known.asking = False
        self._known[key_id] = _Known(record, now, now)
        self._known.move_to_end(key_id)
        if len(self._known) > KNOWN_KEYS:
            self._known.popitem(last=False)
        return record

    def _works(self, key: Key, tenant: Tenant) -> bool:
        expired = key.expires_at is not None and key.expires_at <= self._clock.now()
        return tenant.status == ACTIVE and not expired


def _bearer(authorization: str) -> str:
    """The token of `Bearer <token>`; what no key looks like for any other scheme."""
    scheme, _, token = authorization.partition(" ")
    return token.strip() if scheme.lower() == SCHEME else ""
