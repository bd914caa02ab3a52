"""Builds the HTTP process: the only place where its parts meet. Importing it does nothing."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress

from starlette.routing import Router

from gateway.api.batches import BatchEndpoints
from gateway.api.boundary import Boundary
from gateway.api.endpoints import Endpoints
from gateway.api.files import FileEndpoints
from gateway.api.huggingface import HuggingFaceEndpoints
from gateway.api.kserve import KserveEndpoints
from gateway.api.label_sets import LabelSetEndpoints
from gateway.api.openapi import OpenApiEndpoint
from gateway.api.tei import TeiEndpoints
from gateway.api.tenants import TenantEndpoints
from gateway.api.ui import UiEndpoints
from gateway.api.usage import UsageEndpoints
from gateway.assembly import Stores, assemble, open_stores
from gateway.batches import Batches
from gateway.clock import Clock, SystemClock
from gateway.draining import Draining
from gateway.errors import GatewayError
from gateway.files import Files
from gateway.identity import Identities
from gateway.line_log import LineLog
from gateway.settings import Settings
from gateway.telemetry import Telemetry
from gateway.tenants import Tenants
from gateway.triton import Classifier

AGAIN_S = 1.0
logger = logging.getLogger(__name__)


def create_app(
    settings: Settings,
    *,
    classifier: Classifier | None = None,
    stores: Stores | None = None,
    clock: Clock | None = None,
    log: LineLog | None = None,
    draining: Draining | None = None,
) -> Boundary:
    """The ASGI application; tests give a `classifier`, `stores`, a `clock` and a `log` of their own."""
    stores = stores or open_stores(settings)
    clock = clock or SystemClock()
    log = log or LineLog()
    draining = draining or Draining()
    parts = assemble(settings, stores, clock, classifier)
    telemetry = Telemetry(
        parts.turns, parts.readiness, parts.replicas, parts.cache, log, parts.link, stores.declared
    )
    identities = Identities(
        stores.keys,
        clock,
        require_key=settings.keys_needed,
        remembered_s=settings.key_memory_s,
        admin_key=settings.admin_key,
    )
    files = Files(stores.files, clock, settings)
    routes = [
        *Endpoints(parts.answering, identities, parts.readiness, draining, telemetry, settings).routes(),
        *HuggingFaceEndpoints(parts.answering, identities, settings).routes(),
        *TeiEndpoints(parts.answering, identities, settings).routes(),
        *KserveEndpoints(parts.answering, identities, parts.readiness, settings).routes(),
        *LabelSetEndpoints(parts.label_sets, identities, settings).routes(),
        *FileEndpoints(files, identities, settings).routes(),
        *BatchEndpoints(Batches(stores.batches, stores.files, clock), identities, settings).routes(),
        *OpenApiEndpoint().routes(),
        *UiEndpoints().routes(),
        *UsageEndpoints(parts.usage, identities).routes(),
        *TenantEndpoints(Tenants(stores.tenants, stores.keys, clock), identities, settings).routes(),
    ]
    keepers = [parts.replicas.keep, parts.readiness.keep, identities.keep_uses, parts.usage.keep]
    if stores.declared is not None:
        keepers.append(stores.declared.keep)
    if parts.shared_quotas is not None:
        keepers.append(parts.shared_quotas.keep)

    @asynccontextmanager
    async def lifespan(app: Boundary) -> AsyncIterator[None]:
        running = [asyncio.create_task(_again_and_again(keep)) for keep in keepers]
        try:
            yield
        finally:
            for task in running:
                task.cancel()
            await asyncio.gather(*running, return_exceptions=True)
            with suppress(GatewayError):
                await identities.store_uses()
            await parts.close()
            await stores.close()
            log.flush()

    router = Router(routes, redirect_slashes=False, lifespan=lifespan)
    return Boundary(router, telemetry, parts.tracing, draining, routes)


async def _again_and_again(keep: Callable[[], Awaitable[None]]) -> None:
    """What keeps the process well must not end with something that nobody thought of."""
    while True:
        try:
            await keep()
        except Exception:
            logger.exception("%s ended and begins again", keep.__qualname__)
        await asyncio.sleep(AGAIN_S)
