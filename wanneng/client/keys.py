"""The keys of tenants: `client.tenants.keys`."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from urllib.parse import quote

import httpx

from wanneng.client.transport import AsyncTransport, Listing, Request, Transport, json_object, nothing

TENANTS = "/v1/tenants"


@dataclass(frozen=True, slots=True)
class Key:
    """A key without its secret."""

    id: str
    scopes: tuple[str, ...]
    created_at: datetime
    expires_at: datetime | None
    last_used_at: datetime | None


@dataclass(frozen=True, slots=True)
class NewKey(Key):
    """A key that was just made: nobody can read its secret again."""

    secret: str = field(repr=False)


class TenantKeys:
    """The keys of a tenant, which is given by its id."""

    def __init__(self, transport: Transport) -> None:
        self._send, self._each = transport.send, transport.each

    def create(
        self, tenant_id: str, *, scopes: Iterable[str] | None = None, expires_at: datetime | None = None
    ) -> NewKey:
        """With all scopes and for ever by default."""
        return self._send(_create(tenant_id, scopes, expires_at))

    def list(self, tenant_id: str) -> Sequence[Key]:
        return [*self._each(_all(tenant_id))]

    def rotate(self, tenant_id: str, key_id: str, *, overlap_s: float = 3_600.0) -> NewKey:
        """Another key with the same scopes; the old one still works for `overlap_s`."""
        return self._send(_rotate(tenant_id, key_id, overlap_s))

    def revoke(self, tenant_id: str, key_id: str) -> None:
        self._send(_revoke(tenant_id, key_id))


class AsyncTenantKeys:
    """As `TenantKeys`, to be awaited."""

    def __init__(self, transport: AsyncTransport) -> None:
        self._send, self._each = transport.send, transport.each

    async def create(
        self, tenant_id: str, *, scopes: Iterable[str] | None = None, expires_at: datetime | None = None
    ) -> NewKey:
        return await self._send(_create(tenant_id, scopes, expires_at))

    async def list(self, tenant_id: str) -> Sequence[Key]:
        return [key async for key in self._each(_all(tenant_id))]

    async def rotate(self, tenant_id: str, key_id: str, *, overlap_s: float = 3_600.0) -> NewKey:
        return await self._send(_rotate(tenant_id, key_id, overlap_s))

    async def revoke(self, tenant_id: str, key_id: str) -> None:
        await self._send(_revoke(tenant_id, key_id))


def tenant_path(tenant_id: str) -> str:
    return f"{TENANTS}/{quote(tenant_id, safe='')}"


def _create(tenant_id: str, scopes: Iterable[str] | None, expires_at: datetime | None) -> Request[NewKey]:
    body: dict[str, Any] = {} if scopes is None else {"scopes": list(scopes)}
    if expires_at is not None:
        body["expires_at"] = expires_at.isoformat()
    return Request("POST", f"{tenant_path(tenant_id)}/keys", _new_key, {"json": body})


def _all(tenant_id: str) -> Listing[Key]:
    return Listing(f"{tenant_path(tenant_id)}/keys", "keys", lambda item: Key(**_fields(item)))


def _rotate(tenant_id: str, key_id: str, overlap_s: float) -> Request[NewKey]:
    return Request("POST", f"{key_path(tenant_id, key_id)}/rotate", _new_key, {"json": {"overlap_s": overlap_s}})


def _revoke(tenant_id: str, key_id: str) -> Request[None]:
    return Request("DELETE", key_path(tenant_id, key_id), nothing)


def key_path(tenant_id: str, key_id: str) -> str:
    return f"{tenant_path(tenant_id)}/keys/{quote(key_id, safe='')}"


def _new_key(response: httpx.Response) -> NewKey:
    item = json_object(response)
    return NewKey(**_fields(item), secret=item["key"])


def _fields(item: dict[str, Any]) -> dict[str, Any]:
    return {
        "id": item["id"],
        "scopes": tuple(item["scopes"]),
        "created_at": datetime.fromisoformat(item["created_at"]),
        "expires_at": _time(item["expires_at"]),
        "last_used_at": _time(item["last_used_at"]),
    }


def _time(value: str | None) -> datetime | None:
    return None if value is None else datetime.fromisoformat(value)
