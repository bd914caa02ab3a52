"""Tenants: `client.tenants`, for a client with the admin key."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

import httpx

from wanneng.client.budgets import Budget, get_budget, set_budget
from wanneng.client.keys import TENANTS, AsyncTenantKeys, TenantKeys, tenant_path
from wanneng.client.transport import AsyncTransport, Listing, Request, Transport, json_object, nothing
from wanneng.client.usage import Usage, usage_request
from wanneng.errors import RequestError


@dataclass(frozen=True, slots=True)
class Tenant:
    """A tenant and its quota, where None is the gateway's own."""

    id: str
    name: str
    status: str
    """`active` or `suspended`."""
    created_at: datetime
    requests_per_minute: int | None
    pairs_per_minute: int | None
    pairs_in_flight: int | None
    tokens_per_minute: int | None
    special_tokens: str
    """`model` or `text`: what `[SEP]` and its like in its texts and labels are."""


class Tenants:
    """Tenants are given by their id; `find` knows their names too."""

    def __init__(self, transport: Transport) -> None:
        self._send, self._each = transport.send, transport.each
        self.keys = TenantKeys(transport)

    def create(self, name: str) -> Tenant:
        """It needs a key next."""
        return self._send(_create(name))

    def list(self) -> Sequence[Tenant]:
        return [*self._each(_ALL)]

    def get(self, tenant_id: str) -> Tenant:
        return self._send(_get(tenant_id))

    def find(self, name_or_id: str) -> Tenant:
        """`RequestError` when there is none."""
        for tenant in self._each(_ALL):
            if name_or_id in (tenant.id, tenant.name):
                return tenant
        raise _no_tenant(name_or_id)

    def rename(self, tenant_id: str, name: str) -> Tenant:
        return self._send(_update(tenant_id, name=name))

    def suspend(self, tenant_id: str) -> Tenant:
        """Refuse its keys until it is resumed; nothing of it is lost."""
        return self._send(_update(tenant_id, status="suspended"))

    def resume(self, tenant_id: str) -> Tenant:
        return self._send(_update(tenant_id, status="active"))

    def set_special_tokens(self, tenant_id: str, special_tokens: str) -> Tenant:
        """`text`: `[SEP]` and its like in its texts and labels are text; `model`: they are special tokens."""
        return self._send(_update(tenant_id, special_tokens=special_tokens))

    def set_quota(
        self,
        tenant_id: str,
        *,
        requests_per_minute: int | None = None,
        pairs_per_minute: int | None = None,
        pairs_in_flight: int | None = None,
        tokens_per_minute: int | None = None,
    ) -> Tenant:
        """All at once; None: the gateway's own."""
        return self._send(
            _set_quota(tenant_id, requests_per_minute, pairs_per_minute, pairs_in_flight, tokens_per_minute)
        )

    def budget(self, tenant_id: str, key_id: str | None = None) -> Budget:
        """Of the tenant, or of one of its keys, with what is used of it."""
        return self._send(get_budget(tenant_id, key_id))

    def set_budget(
        self,
        tenant_id: str,
        key_id: str | None = None,
        *,
        pairs_per_month: int | None = None,
        tokens_per_month: int | None = None,
        enforcement: str = "hard",
    ) -> Budget:
        """All at once; None: unlimited. `hard` refuses what exceeds it, `soft` tells, `shadow` only counts."""
        return self._send(set_budget(tenant_id, key_id, pairs_per_month, tokens_per_month, enforcement))

    def delete(self, tenant_id: str) -> None:
        """With its keys, label sets and files."""
        self._send(Request("DELETE", tenant_path(tenant_id), nothing))

    def usage(
        self,
        tenant_id: str,
        first: date | None = None,
        last: date | None = None,
        *,
        label_set: str | None = None,
    ) -> Usage:
        """As `Client.usage`."""
        return self._send(usage_request(f"{tenant_path(tenant_id)}/usage", first, last, label_set))


class AsyncTenants:
    """As `Tenants`, to be awaited."""

    def __init__(self, transport: AsyncTransport) -> None:
        self._send, self._each = transport.send, transport.each
        self.keys = AsyncTenantKeys(transport)

    async def create(self, name: str) -> Tenant:
        return await self._send(_create(name))

    async def list(self) -> Sequence[Tenant]:
        return [tenant async for tenant in self._each(_ALL)]

    async def get(self, tenant_id: str) -> Tenant:
        return await self._send(_get(tenant_id))

    async def find(self, name_or_id: str) -> Tenant:
        async for tenant in self._each(_ALL):
            if name_or_id in (tenant.id, tenant.name):
                return tenant
        raise _no_tenant(name_or_id)

    async def rename(self, tenant_id: str, name: str) -> Tenant:
        return await self._send(_update(tenant_id, name=name))

    async def suspend(self, tenant_id: str) -> Tenant:
        return await self._send(_update(tenant_id, status="suspended"))

    async def resume(self, tenant_id: str) -> Tenant:
        return await self._send(_update(tenant_id, status="active"))

    async def set_special_tokens(self, tenant_id: str, special_tokens: str) -> Tenant:
        return await self._send(_update(tenant_id, special_tokens=special_tokens))

    async def set_quota(
        self,
        tenant_id: str,
        *,
        requests_per_minute: int | None = None,
        pairs_per_minute: int | None = None,
        pairs_in_flight: int | None = None,
        tokens_per_minute: int | None = None,
    ) -> Tenant:
        return await self._send(
            _set_quota(tenant_id, requests_per_minute, pairs_per_minute, pairs_in_flight, tokens_per_minute)
        )

    async def budget(self, tenant_id: str, key_id: str | None = None) -> Budget:
        """Of the tenant, or of one of its keys, with what is used of it."""
        return await self._send(get_budget(tenant_id, key_id))

    async def set_budget(
        self,
        tenant_id: str,
        key_id: str | None = None,
        *,
        pairs_per_month: int | None = None,
        tokens_per_month: int | None = None,
        enforcement: str = "hard",
    ) -> Budget:
        """All at once; None: unlimited. `hard` refuses what exceeds it, `soft` tells, `shadow` only counts."""
        return await self._send(set_budget(tenant_id, key_id, pairs_per_month, tokens_per_month, enforcement))

    async def delete(self, tenant_id: str) -> None:
        await self._send(Request("DELETE", tenant_path(tenant_id), nothing))

    async def usage(
        self,
        tenant_id: str,
        first: date | None = None,
        last: date | None = None,
        *,
        label_set: str | None = None,
    ) -> Usage:
        return await self._send(usage_request(f"{tenant_path(tenant_id)}/usage", first, last, label_set))


def _create(name: str) -> Request[Tenant]:
    return Request("POST", TENANTS, _tenant_of, {"json": {"name": name}})


def _get(tenant_id: str) -> Request[Tenant]:
    return Request("GET", tenant_path(tenant_id), _tenant_of, changes=False)


def _update(tenant_id: str, **changes: str) -> Request[Tenant]:
    return Request("PATCH", tenant_path(tenant_id), _tenant_of, {"json": changes})


def _set_quota(
    tenant_id: str,
    requests_per_minute: int | None,
    pairs_per_minute: int | None,
    pairs_in_flight: int | None,
    tokens_per_minute: int | None,
) -> Request[Tenant]:
    quota = {
        "requests_per_minute": requests_per_minute,
        "pairs_per_minute": pairs_per_minute,
        "pairs_in_flight": pairs_in_flight,
        "tokens_per_minute": tokens_per_minute,
    }
    return Request("PUT", f"{tenant_path(tenant_id)}/quota", _tenant_of, {"json": quota})


def _no_tenant(name_or_id: str) -> RequestError:
    return RequestError(f"there is no tenant {name_or_id!r}; `wanneng tenant list` shows them")


def _tenant_of(response: httpx.Response) -> Tenant:
    return _tenant(json_object(response))


def _tenant(item: dict[str, Any]) -> Tenant:
    return Tenant(
        item["id"],
        item["name"],
        item["status"],
        datetime.fromisoformat(item["created_at"]),
        item["requests_per_minute"],
        item["pairs_per_minute"],
        item["pairs_in_flight"],
        item["tokens_per_minute"],
        item["special_tokens"],
    )


_ALL = Listing(TENANTS, "tenants", _tenant)
