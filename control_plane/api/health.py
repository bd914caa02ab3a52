"""Readiness of the control plane."""

from __future__ import annotations

import asyncio

from stores.errors import StoreUnavailable
from stores.tenants import LOCAL_TENANT_ID, TenantStore

TIMEOUT_S = 1.0
"""Longest wait for the database."""


async def readiness(tenants: TenantStore) -> str | None:
    """None when the database answers."""
    try:
        async with asyncio.timeout(TIMEOUT_S):
            await tenants.get(LOCAL_TENANT_ID)
    except StoreUnavailable as error:
        return str(error)
    except TimeoutError:
        return "the database does not answer"
    return None
