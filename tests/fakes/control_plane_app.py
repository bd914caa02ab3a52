"""The control plane on fake stores: the one place where tests build it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx

from control_plane.bootstrap import create_app
from control_plane.identity_provider import IdentityProvider
from control_plane.settings import Settings
from stores.clock import Clock
from stores.factory import Stores
from tests.fakes.clock import FakeClock
from tests.fakes.stores import Memory, fake_stores
from web.access_log import AccessLog
from web.middleware import Middleware
from web.server import Draining

ADMIN_KEY = "operator"
OPERATOR = {"Authorization": f"Bearer {ADMIN_KEY}"}
INTERNAL_KEY = "internal-key-0123456789-0123456789"
LOCAL = {"Authorization": f"Bearer {INTERNAL_KEY}", "X-Wanneng-Tenant": "local"}
"""What a gateway sends for a caller that needs no key."""


def control_plane_app(
    memory: Memory | None = None,
    lines: list[bytes] | None = None,
    clock: Clock | None = None,
    draining: Draining | None = None,
    stores: Stores | None = None,
    provider: IdentityProvider | None = None,
    **settings: Any,
) -> Middleware:
    """It has an admin key, and recognizes a gateway; `lines` receives the access log. `stores`: no fakes."""
    values: dict[str, Any] = {"admin_key": ADMIN_KEY, "internal_key": INTERNAL_KEY} | settings
    return create_app(
        Settings(**values),
        stores=stores or fake_stores(memory),
        clock=clock or FakeClock(),
        log=AccessLog((lines if lines is not None else []).append),
        draining=draining,
        provider=provider,
    )


@asynccontextmanager
async def control_plane(
    memory: Memory | None = None,
    lines: list[bytes] | None = None,
    clock: Clock | None = None,
    draining: Draining | None = None,
    headers: dict[str, str] | None = None,
    stores: Stores | None = None,
    provider: IdentityProvider | None = None,
    **settings: Any,
) -> AsyncIterator[httpx.AsyncClient]:
    """A client of the whole control plane, which runs as long as the block; `headers` are in each request."""
    app = control_plane_app(memory, lines, clock, draining, stores, provider, **settings)
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(transport=transport, base_url="http://control-plane", headers=headers) as client,
    ):
        yield client


async def new_tenant(client: httpx.AsyncClient, name: str = "Acme") -> str:
    """The id of a tenant that the operator has created."""
    created = await client.post("/v1/tenants", json={"name": name}, headers=OPERATOR)
    assert created.status_code == 201, created.text
    return str(created.json()["id"])


async def new_key(client: httpx.AsyncClient, tenant_id: str, **body: Any) -> dict[str, Any]:
    """The answer that has the key."""
    created = await client.post(f"/v1/tenants/{tenant_id}/keys", json=body, headers=OPERATOR)
    assert created.status_code == 201, created.text
    answer: dict[str, Any] = created.json()
    return answer


async def new_caller(client: httpx.AsyncClient, name: str = "Acme", **body: Any) -> dict[str, str]:
    """The header of a new tenant's caller."""
    return bearer((await new_key(client, await new_tenant(client, name), **body))["key"])


def bearer(key: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {key}"}
