"""The keys of tenants, `client.tenants.keys`, and the tenant's own, `client.keys`."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import httpx

from wanneng.client.transport import AsyncTransport, Listing, Request, Transport, json_object, nothing, quoted

TENANTS, OWN = "/v1/tenants", "/v1/keys"


@dataclass(frozen=True, slots=True)
class Key:
    """A key without its secret."""

    id: str
    name: str
    """Empty: it has none."""
    scopes: tuple[str, ...]
    created_at: datetime
    expires_at: datetime | None
    last_used_at: datetime | None


@dataclass(frozen=True, slots=True)
class NewKey(Key):
    """A key that was just made: nobody can read its secret again."""

    secret: str = field(repr=False)


class Keys:
    """The tenant's own, by one of them with the scope `keys:read` or `keys:write`."""

    def __init__(self, transport: Transport) -> None:
        self._send, self._each = transport.send, transport.each

    def create(
        self, *, name: str = "", scopes: Iterable[str] | None = None, expires_at: datetime | None = None
    ) -> NewKey:
        """By default with the scopes of the key that asks, without `keys:write`, and for as long as it works."""
        return self._send(_create(OWN, name, scopes, expires_at))

    def list(self) -> Sequence[Key]:
        return [*self._each(_all(OWN))]

    def rotate(self, key_id: str, *, overlap_s: float = 3_600.0) -> NewKey:
        """As `TenantKeys.rotate`."""
        return self._send(_rotate(OWN, key_id, overlap_s))

    def revoke(self, key_id: str) -> None:
        self._send(_revoke(OWN, key_id))


class AsyncKeys:
    """As `Keys`, to be awaited."""

    def __init__(self, transport: AsyncTransport) -> None:
        self._send, self._each = transport.send, transport.each

    async def create(
        self, *, name: str = "", scopes: Iterable[str] | None = None, expires_at: datetime | None = None
    ) -> NewKey:
        return await self._send(_create(OWN, name, scopes, expires_at))

    async def list(self) -> Sequence[Key]:
        return [key async for key in self._each(_all(OWN))]

    async def rotate(self, key_id: str, *, overlap_s: float = 3_600.0) -> NewKey:
        return await self._send(_rotate(OWN, key_id, overlap_s))

    async def revoke(self, key_id: str) -> None:
        await self._send(_revoke(OWN, key_id))


class TenantKeys:
    """The keys of a tenant, which is given by its id."""

    def __init__(self, transport: Transport) -> None:
        self._send, self._each = transport.send, transport.each

    def create(
        self,
        tenant_id: str,
        *,
        name: str = "",
        scopes: Iterable[str] | None = None,
        expires_at: datetime | None = None,
    ) -> NewKey:
        """With all scopes but `keys:write`, and for ever, by default."""
        return self._send(_create(keys_path(tenant_id), name, scopes, expires_at))

    def list(self, tenant_id: str) -> Sequence[Key]:
        return [*self._each(_all(keys_path(tenant_id)))]

    def rotate(self, tenant_id: str, key_id: str, *, overlap_s: float = 3_600.0) -> NewKey:
        """Another key with the same scopes; the old one still works for `overlap_s`."""
        return self._send(_rotate(keys_path(tenant_id), key_id, overlap_s))

    def revoke(self, tenant_id: str, key_id: str) -> None:
        self._send(_revoke(keys_path(tenant_id), key_id))


class AsyncTenantKeys:
    """As `TenantKeys`, to be awaited."""

    def __init__(self, transport: AsyncTransport) -> None:
        self._send, self._each = transport.send, transport.each

    async def create(
        self,
        tenant_id: str,
        *,
        name: str = "",
        scopes: Iterable[str] | None = None,
        expires_at: datetime | None = None,
    ) -> NewKey:
        return await self._send(_create(keys_path(tenant_id), name, scopes, expires_at))

    async def list(self, tenant_id: str) -> Sequence[Key]:
        return [key async for key in self._each(_all(keys_path(tenant_id)))]

    async def rotate(self, tenant_id: str, key_id: str, *, overlap_s: float = 3_600.0) -> NewKey:
        return await self._send(_rotate(keys_path(tenant_id), key_id, overlap_s))

    async def revoke(self, tenant_id: str, key_id: str) -> None:
        await self._send(_revoke(keys_path(tenant_id), key_id))


def tenant_path(tenant_id: str) -> str:
    return f"{TENANTS}/{quoted(tenant_id)}"


def keys_path(tenant_id: str) -> str:
    return f"{tenant_path(tenant_id)}/keys"


def key_path(keys: str, key_id: str) -> str:
    """`keys`: the path of all of them."""
    return f"{keys}/{quoted(key_id)}"


def _create(keys: str, name: str, scopes: Iterable[str] | None, expires_at: datetime | None) -> Request[NewKey]:
    body: dict[str, Any] = {"name": name} if name else {}
    if scopes is not None:
        body["scopes"] = list(scopes)
    if expires_at is not None:
        body["expires_at"] = expires_at.isoformat()
    return Request("POST", keys, _new_key, {"json": body})


def _all(keys: str) -> Listing[Key]:
    return Listing(keys, "keys", lambda item: Key(**_fields(item)))


def _rotate(keys: str, key_id: str, overlap_s: float) -> Request[NewKey]:
    return Request("POST", f"{key_path(keys, key_id)}/rotate", _new_key, {"json": {"overlap_s": overlap_s}})


def _revoke(keys: str, key_id: str) -> Request[None]:
    return Request("DELETE", key_path(keys, key_id), nothing)


def _new_key(response: httpx.Response) -> NewKey:
    item = json_object(response)
    return NewKey(**_fields(item), secret=item["key"])


def _fields(item: dict[str, Any]) -> dict[str, Any]:
    return {
        "id": item["id"],
        "name": item["name"],
        "scopes": tuple(item["scopes"]),
        "created_at": datetime.fromisoformat(item["created_at"]),
        "expires_at": _time(item["expires_at"]),
        "last_used_at": _time(item["last_used_at"]),
    }


def _time(value: str | None) -> datetime | None:
    return None if value is None else datetime.fromisoformat(value)
