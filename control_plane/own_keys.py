"""A tenant's own keys: what may be done with them by one of them, or by a person who has signed in.

Nothing that a key makes may do more than the key itself: neither by its scopes, nor by its lifetime or budget. A
person's session ends within hours, but the keys that it makes are the tenant's, and stay.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from control_plane.tenants import Tenants
from stores.api_keys import NewApiKey
from stores.budgets import limits_of
from stores.errors import Conflict, InvalidRequest, MissingScope, NotFound, Unauthorized
from stores.paging import Page, PageRequest
from stores.tenants import SCOPES, WRITE_KEYS, ApiKey
from web.authentication import Caller


@dataclass(frozen=True, slots=True)
class _Maker:
    """Who makes keys, and what they may do at most."""

    scopes: Sequence[str]
    expires_at: datetime | None = None
    has_budget: bool = False


class OwnKeys:
    """`caller` is who asks."""

    def __init__(self, tenants: Tenants) -> None:
        self._tenants = tenants

    async def page(self, tenant_id: str, request: PageRequest) -> Page[ApiKey]:
        return await self._tenants.keys(tenant_id, request)

    async def add(
        self, caller: Caller, name: str, scopes: Sequence[str] | None, expires_at: datetime | None
    ) -> tuple[ApiKey, NewApiKey]:
        """By default with the scopes of the key that asks, without `WRITE_KEYS`, and for as long as it works."""
        maker = await self._maker(caller)
        if scopes is None:
            scopes = [scope for scope in maker.scopes if scope != WRITE_KEYS]
        _check_scopes(maker, scopes)
        _check_budget(maker)
        if maker.expires_at is not None:
            expires_at = expires_at or maker.expires_at
            if expires_at.tzinfo is not None and expires_at > maker.expires_at:
                end = f"{maker.expires_at.isoformat()}, when the key that makes it ends"
                raise InvalidRequest(f"must not be after {end}", field="expires_at")
        return await self._tenants.add_key(caller.tenant_id, scopes, expires_at, name)

    async def rotate(self, caller: Caller, key_id: str, overlap_s: float) -> tuple[ApiKey, NewApiKey]:
        """As `Tenants.rotate_key`, but the new one works no longer than the key that asks."""
        maker = await self._maker(caller)
        _check_scopes(maker, (await self._tenants.key(caller.tenant_id, key_id)).scopes)
        _check_budget(maker)
        return await self._tenants.rotate_key(caller.tenant_id, key_id, overlap_s, last_end=maker.expires_at)

    async def remove(self, tenant_id: str, key_id: str) -> None:
        """Any of them, the one that asks included."""
        await self._tenants.remove_key(tenant_id, key_id)

    async def _maker(self, caller: Caller) -> _Maker:
        """A key as it is now, not as it is remembered; `Unauthorized` where it has been revoked since."""
        if caller.subject:
            return _Maker(caller.scopes)
        try:
            key = await self._tenants.key(caller.tenant_id, caller.key_id)
        except NotFound:
            raise Unauthorized from None
        return _Maker(key.scopes, key.expires_at, bool(limits_of(key.tenant_id, key.budget, key.id)))


def _check_scopes(maker: _Maker, scopes: Sequence[str]) -> None:
    """Of those that exist; `Tenants` refuses the others."""
    lacking = [scope for scope in SCOPES if scope in scopes and scope not in maker.scopes]
    if lacking:
        raise MissingScope(f"the caller lacks the scope {lacking[0]!r}, so it cannot give it to a key")


def _check_budget(maker: _Maker) -> None:
    """A successor too counts for itself while both work."""
    if maker.has_budget:
        raise Conflict(
            "the key has a budget of its own, against which a key that it makes would not count; "
            "use a key without one, or ask the operator"
        )
