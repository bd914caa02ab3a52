"""Builds the gateway: the only place where its parts meet. Importing it does nothing."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass

import httpx
from httpx_aiohttp import AiohttpTransport
from starlette.routing import Router

from gateway.addresses import addresses_of
from gateway.api.boundary import Boundary
from gateway.api.endpoints import Endpoints
from gateway.api.label_sets import LabelSetEndpoints
from gateway.api.tenants import TenantEndpoints
from gateway.classify import Classify
from gateway.clock import Clock, SystemClock
from gateway.errors import GatewayError
from gateway.identity import Identities
from gateway.label_sets import LabelSets, LabelSetStore
from gateway.line_log import LineLog
from gateway.pair_cache import MemoryPairCache
from gateway.pair_source import PairSource
from gateway.quotas import Quotas
from gateway.readiness import Readiness
from gateway.replicas import Replicas
from gateway.settings import Settings
from gateway.stores.database import Database
from gateway.stores.label_sets import SqlLabelSets
from gateway.stores.tenants import SqlKeys, SqlTenants
from gateway.telemetry import Telemetry
from gateway.tenants import KeyStore, Tenants, TenantStore
from gateway.triton import CONNECT_TIMEOUT_S, Classifier, Triton
from gateway.turns import Turns

MAX_CONNECTIONS = 128


@dataclass(frozen=True, slots=True)
class Stores:
    """Where what must last is kept; `close` at the end."""

    tenants: TenantStore
    keys: KeyStore
    label_sets: LabelSetStore
    close: Callable[[], Awaitable[None]]


def open_stores(settings: Settings) -> Stores:
    """The database of the settings; nothing connects before the first use."""
    database = Database(settings.database_url)
    return Stores(SqlTenants(database), SqlKeys(database), SqlLabelSets(database), database.close)


def create_app(
    settings: Settings,
    *,
    classifier: Classifier | None = None,
    stores: Stores | None = None,
    clock: Clock | None = None,
    log: LineLog | None = None,
) -> Boundary:
    """The ASGI application; tests give a `classifier`, `stores`, a `clock` and a `log` of their own."""
    stores = stores or open_stores(settings)
    clock = clock or SystemClock()
    client = _client(settings)
    replicas = Replicas(
        addresses_of(settings.triton_url),
        lambda url: classifier or Triton(client, url, settings.buckets),
        time.monotonic,
    )
    readiness = Readiness(replicas)
    turns = Turns(settings.max_pairs_in_flight, lambda: replicas.standing * settings.pairs_per_replica)
    cache = MemoryPairCache(settings.cache_bytes, settings.cache_ttl_s)
    log = log or LineLog()
    telemetry = Telemetry(turns, readiness, cache, log)
    source = PairSource(readiness, cache, turns, settings)
    quotas = Quotas(time.monotonic, settings.cached_pair_cost)
    classify = Classify(source, quotas, settings)
    identities = Identities(
        stores.keys,
        clock,
        require_key=settings.keys_needed,
        remembered_s=settings.key_memory_s,
        admin_key=settings.admin_key,
    )
    label_sets = LabelSets(stores.label_sets, clock, settings)
    tenants = Tenants(stores.tenants, stores.keys, clock)
    routes = [
        *Endpoints(classify, identities, label_sets, readiness, telemetry, settings).routes(),
        *LabelSetEndpoints(label_sets, identities, settings).routes(),
        *TenantEndpoints(tenants, identities, settings).routes(),
    ]

    @asynccontextmanager
    async def lifespan(app: Boundary) -> AsyncIterator[None]:
        running = [asyncio.create_task(keep()) for keep in (replicas.keep, readiness.keep, identities.keep_uses)]
        try:
            yield
        finally:
            for task in running:
                task.cancel()
            await asyncio.gather(*running, return_exceptions=True)
            with suppress(GatewayError):
                await identities.store_uses()
            await stores.close()
            await client.aclose()
            log.flush()

    return Boundary(Router(routes, redirect_slashes=False, lifespan=lifespan), telemetry, routes)


def _client(settings: Settings) -> httpx.AsyncClient:
    # The aiohttp transport carries ten times the calls of httpx's own at 32 at once.
    limits = httpx.Limits(max_connections=MAX_CONNECTIONS, max_keepalive_connections=MAX_CONNECTIONS)
    return httpx.AsyncClient(
        transport=AiohttpTransport(limits=limits),
        timeout=httpx.Timeout(settings.deadline_s, connect=CONNECT_TIMEOUT_S),
        trust_env=False,
    )
