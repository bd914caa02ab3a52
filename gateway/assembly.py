"""What every process of the gateway is made of: stores, and the way from a body to an answer."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import httpx
from httpx_aiohttp import AiohttpTransport

from gateway.addresses import addresses_of
from gateway.answering import Answering
from gateway.batches import BatchStore
from gateway.classify import Classify
from gateway.clock import Clock
from gateway.errors import StoreUnavailable
from gateway.files import FileStore
from gateway.label_sets import LabelSets, LabelSetStore
from gateway.pair_cache import MemoryPairCache
from gateway.pair_source import PairSource
from gateway.quotas import Quotas
from gateway.readiness import Readiness
from gateway.replicas import Replicas
from gateway.settings import Settings
from gateway.shared.link import RedisLink
from gateway.shared.pairs import RedisPairCache, TieredPairCache
from gateway.shared.quotas import RedisQuotas
from gateway.stores.absent import NoBatches, NoFiles, NoUsage
from gateway.stores.batches import SqlBatches
from gateway.stores.database import Database
from gateway.stores.declared import DeclaredFile, DeclaredKeys, DeclaredLabelSets, DeclaredTenants
from gateway.stores.files import SqlFiles
from gateway.stores.label_sets import SqlLabelSets
from gateway.stores.tenants import SqlKeys, SqlTenants
from gateway.stores.usage import SqlUsage
from gateway.tenants import KeyStore, TenantStore
from gateway.tracing import Tracing
from gateway.triton import CONNECT_TIMEOUT_S, Classifier, Triton
from gateway.turns import Turns
from gateway.usage import Usage, UsageStore

MAX_CONNECTIONS = 128
PATIENCE = 0.3
"""Share of the deadline after which a silent Triton is lost: what it had can still be answered by another."""


@dataclass(frozen=True, slots=True)
class Stores:
    """Where what must last is kept; `close` at the end."""

    tenants: TenantStore
    keys: KeyStore
    label_sets: LabelSetStore
    files: FileStore
    batches: BatchStore
    usage: UsageStore
    close: Callable[[], Awaitable[None]]
    declared: DeclaredFile | None = None
    """Where all of it comes from, if not from a database."""


def open_stores(settings: Settings) -> Stores:
    """The declared file or the database of the settings; nothing is read before the first use."""
    if settings.declared:
        return _declared_stores(DeclaredFile(Path(settings.declared), settings))
    return stores_in(Database(settings.database_url))


def stores_in(database: Database) -> Stores:
    """All of them on one pool of connections."""
    return Stores(
        SqlTenants(database),
        SqlKeys(database),
        SqlLabelSets(database),
        SqlFiles(database),
        SqlBatches(database),
        SqlUsage(database),
        database.close,
    )


def _declared_stores(file: DeclaredFile) -> Stores:
    async def close() -> None:
        pass

    return Stores(
        DeclaredTenants(file),
        DeclaredKeys(file),
        DeclaredLabelSets(file),
        NoFiles(),
        NoBatches(),
        NoUsage(),
        close,
        file,
    )


@dataclass(frozen=True, slots=True)
class Assembly:
    """The parts, joined."""

    client: httpx.AsyncClient
    tracing: Tracing
    replicas: Replicas
    readiness: Readiness
    turns: Turns
    cache: MemoryPairCache
    link: RedisLink | None
    """None where gateways share nothing but the database."""
    shared_quotas: RedisQuotas | None
    label_sets: LabelSets
    usage: Usage
    answering: Answering

    async def close(self) -> None:
        """What was counted is kept first."""
        with suppress(StoreUnavailable):
            await self.usage.store()
        await self.client.aclose()
        await asyncio.to_thread(self.tracing.close)
        if self.link is not None:
            await self.link.close()


def assemble(settings: Settings, stores: Stores, clock: Clock, classifier: Classifier | None = None) -> Assembly:
    """Join the parts; `classifier` instead of Triton."""
    client, tracing = _client(settings), Tracing(settings.otlp_endpoint)
    replicas = Replicas(
        addresses_of(settings.triton_url),
        lambda url: classifier or Triton(client, url, settings.buckets, settings.priority, tracing),
        time.monotonic,
        patience_s=PATIENCE * settings.deadline_s,
    )
    readiness = Readiness(replicas)
    turns = Turns(
        settings.max_pairs_in_flight,
        lambda: round(replicas.capacity * settings.pairs_per_replica),
        settings.max_wait_s,
    )
    cache = MemoryPairCache(settings.cache_bytes, settings.cache_ttl_s)
    link = RedisLink(settings.redis_url, settings.redis_timeout_s) if settings.redis_url else None
    pairs = cache if link is None else TieredPairCache(cache, RedisPairCache(link, settings.cache_ttl_s))
    shared_quotas = None if link is None else RedisQuotas(link)
    source = PairSource(readiness, pairs, turns, settings)
    quotas = Quotas(time.monotonic, settings.cached_pair_cost, shared_quotas)
    classify = Classify(source, quotas, settings)
    label_sets = LabelSets(stores.label_sets, clock, settings)
    usage = Usage(stores.usage, clock)
    return Assembly(
        client,
        tracing,
        replicas,
        readiness,
        turns,
        cache,
        link,
        shared_quotas,
        label_sets,
        usage,
        Answering(classify, label_sets, usage, settings),
    )


def _client(settings: Settings) -> httpx.AsyncClient:
    # The aiohttp transport carries ten times the calls of httpx's own at 32 at once.
    limits = httpx.Limits(max_connections=MAX_CONNECTIONS, max_keepalive_connections=MAX_CONNECTIONS)
    return httpx.AsyncClient(
        transport=AiohttpTransport(limits=limits),
        timeout=httpx.Timeout(settings.deadline_s, connect=CONNECT_TIMEOUT_S),
        trust_env=False,
    )
