"""The composition root of the gateway: the only place where its parts meet. Importing it does nothing."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from functools import partial
from itertools import chain
from pathlib import Path

from starlette.routing import Router

from gateway.api.classifications import Classifications
from gateway.api.classify import ClassifyEndpoints
from gateway.api.compat.operations import compatible_operations
from gateway.api.forwarding import OPERATORS_PATHS, SIGN_IN, Forwarding
from gateway.api.statuses import STATUSES as GATEWAY_STATUSES
from gateway.cache.pair_cache import PairCache
from gateway.cache.tenant_cache import TenantCache
from gateway.classification.call_merger import CallMerger
from gateway.classification.known_answers import KnownAnswers
from gateway.classification.service import ClassificationService
from gateway.observability.metrics import GatewayMetrics
from gateway.observability.request_context import GatewayContext
from gateway.redis.connection import RedisConnection
from gateway.redis.pair_cache import RedisPairCache, TieredPairCache
from gateway.redis.quotas import RedisQuotas
from gateway.redis.server_memory import RedisMemory
from gateway.scheduling.fair_queue import FairQueue
from gateway.scheduling.lane import Load
from gateway.settings import Settings
from gateway.tenancy.authentication import GatewayAuthentication
from gateway.tenancy.label_sets import label_set_cache
from gateway.tenancy.quotas import Quotas
from gateway.tenancy.usage import UsageCounter
from gateway.triton.backend import Backend
from gateway.triton.client import TritonClient
from gateway.triton.discovery import discovery_of
from gateway.triton.limits import end_on_contradiction
from gateway.triton.load_balancer import LoadBalancer
from logs.setup import is_text
from stores.budget_levels import BudgetLevels
from stores.clock import Clock, SystemClock
from stores.database import Database
from stores.errors import ServiceError
from stores.factory import Stores, file_stores, sql_stores
from stores.tenants import Quota
from web.access_log import AccessLog
from web.authentication import Authenticator
from web.background import run_forever, running
from web.failure_limit import FailureLimit
from web.health import HealthEndpoints
from web.internal_port import InternalPort
from web.local_callers import LocalCallers
from web.middleware import Middleware
from web.openapi_endpoint import OpenApiEndpoint
from web.operations import routes_of
from web.pacing import Pacing
from web.problems import STATUSES, Problems
from web.reverse_proxy import proxy_client
from web.root_path import RootPath
from web.same_user import aiohttp_transport
from web.server import Draining
from web.sessions import TENANT, SessionTokens
from web.settings import SettingsError
from web.tenant_callers import TenantCallers
from web.tracing import Tracing
from web.worker_metrics import WorkerMetrics

MAX_TRITON_CONNECTIONS = 128
MAX_PROBES = 32
"""Connections of their own: probes must not wait behind the work that they judge."""
INTERNAL_PATHS = ("/metrics", *OPERATORS_PATHS)
"""For operators and their Prometheus, where there is a port for them."""
CONSOLE_PATHS = ("/console", "/ui", SIGN_IN)
"""For tenants on one port and for operators on the other."""
PATIENCE = 0.3
"""Share of the deadline after which a silent replica is lost: its calls can still be answered by another."""


def open_stores(settings: Settings) -> Stores:
    """The tenants file or the database of the settings; nothing is read before the first use."""
    if settings.tenants_file:
        return file_stores(Path(settings.tenants_file), settings)
    return sql_stores(Database(settings.database_url))


def create_app(
    settings: Settings,
    *,
    backend: Backend | None = None,
    stores: Stores | None = None,
    clock: Clock | None = None,
    log: AccessLog | None = None,
    draining: Draining | None = None,
    workers: tuple[Path, int] | None = None,
) -> Middleware:
    """The ASGI application; tests give a `backend` in place of Triton, `stores`, a `clock` and a `log`.

    `workers`: a folder that all processes of this gateway share, and the number of this one.
    """
    stores = stores or open_stores(settings)
    clock, draining = clock or SystemClock(), draining or Draining()
    log = log or AccessLog(text=is_text(settings.log_format))
    tracing = Tracing(settings.otlp_endpoint, service="wanneng-gateway")

    # The aiohttp transport carries ten times the calls of httpx's own at 32 at once.
    triton_transport = aiohttp_transport(settings.triton_url, MAX_TRITON_CONNECTIONS, same_user=settings.same_user)
    probe_transport = aiohttp_transport(settings.triton_url, MAX_PROBES, same_user=settings.same_user)
    forward_http = proxy_client(
        settings.control_plane_url, settings.max_forwarded_requests, same_user=settings.same_user
    )
    load_balancer = LoadBalancer(
        discovery_of(settings.triton_url),
        lambda url: backend or TritonClient(triton_transport, url, settings.length_buckets, probe_transport),
        patience_s=PATIENCE * settings.deadline_s,
    )
    # Pairs of different buckets are executed apart, so more are needed to fill executions.
    tokens_per_replica = settings.tokens_per_replica * (2 if settings.length_buckets else 1)
    queue = FairQueue(
        settings.max_tokens_in_flight,
        lambda: round(load_balancer.capacity * tokens_per_replica),
        settings.max_queue_delay_s,
        max_call=Load(settings.max_pairs_per_call, settings.max_tokens_per_call),
    )
    cache: TenantCache[bytes] = TenantCache(settings.cache_bytes, settings.cache_ttl_s)
    redis = RedisConnection(settings.redis_url, settings.redis_timeout_s) if settings.redis_url else None
    shared_cache = RedisPairCache(redis, settings.cache_ttl_s, settings.internal_key) if redis else None
    pair_cache: PairCache = TieredPairCache(cache, shared_cache) if shared_cache else cache
    shared_quotas = RedisQuotas(redis) if redis else None
    redis_memory = RedisMemory(redis) if redis else None
    budgets = BudgetLevels(stores.usage, clock, shared_quotas, stores.alerts)
    quotas = Quotas(time.monotonic, budgets, settings.cached_pair_cost, _default_quota(settings), shared_quotas)

    label_sets = label_set_cache(stores.label_sets, clock, settings.key_cache_ttl_s)
    usage = UsageCounter(stores.usage, clock)
    keys = Authenticator(stores.api_keys, clock, ttl_s=settings.key_cache_ttl_s)
    authentication = GatewayAuthentication(
        keys,
        TenantCallers(
            stores.tenants,
            stores.api_keys,
            clock,
            settings.key_cache_ttl_s,
            SessionTokens(TENANT, settings.internal_key, clock),
        ),
        FailureLimit(settings.max_auth_failures_per_s, time.monotonic),
        internal_key=settings.internal_key,
        local=None if settings.keys_needed else LocalCallers(settings.host),
    )
    call_merger = CallMerger(load_balancer, tracing)
    service = ClassificationService(
        load_balancer, call_merger, pair_cache, queue, quotas, label_sets, usage, settings
    )

    async def readiness() -> str | None:
        return None if load_balancer.ready else "waiting for a first answer from Triton"

    compared, exceeded, tenants_file = service.comparison.texts, budgets.exceeded, stores.tenants_file
    metrics = GatewayMetrics(
        log, load_balancer, queue, cache, redis, redis_memory, shared_cache, tenants_file, compared, exceeded
    )
    metrics.workers = WorkerMetrics(metrics.registry, *workers, settings.workers) if workers else None
    classifications = Classifications(service, KnownAnswers(cache, load_balancer, label_sets, settings))
    openapi = OpenApiEndpoint(
        {**STATUSES, **GATEWAY_STATUSES},
        settings.root_path,
        http=forward_http,
        other_url="" if settings.tenants_file else settings.control_plane_url,
    )
    apis = {
        "Classification": ClassifyEndpoints(classifications).operations(),
        "Compatible APIs": compatible_operations(classifications, label_sets, load_balancer),
        "Server": [
            *HealthEndpoints(readiness, draining, metrics, authentication.check_host).operations(),
            *openapi.operations(),
        ],
    }
    openapi.describe(apis)

    pacing = Pacing()
    routes = [
        *routes_of([*chain(*apis.values())], authentication, settings, pacing),
        *Forwarding(forward_http, authentication, label_sets, settings).routes(),
    ]
    background = [
        load_balancer.keep_healthy,
        keys.keep_last_used,
        keys.keep_ends_known,
        usage.keep_stored,
    ]
    background += [metrics.workers.serve] if metrics.workers else []
    background += [redis_memory.watch] if redis_memory else []
    if tenants_file is not None:
        background.append(partial(tenants_file.watch, (authentication.forget, label_sets.clear)))
    if shared_quotas is not None:
        background += [shared_quotas.keep_announced, quotas.keep_shared]

    @asynccontextmanager
    async def lifespan(app: Middleware) -> AsyncIterator[None]:
        check = end_on_contradiction(load_balancer, settings, draining)
        try:
            async with running(check, *map(run_forever, background)):
                yield
        finally:
            with suppress(ServiceError):
                await keys.store_last_used()
            with suppress(ServiceError):
                await usage.store()
            await triton_transport.aclose()
            await probe_transport.aclose()
            await forward_http.aclose()
            await asyncio.to_thread(tracing.close)
            if redis is not None:
                await redis.close()
            await stores.close()
            log.flush()

    router = Router(routes, redirect_slashes=False, lifespan=lifespan)
    internal_port = (
        InternalPort(settings.internal_port, INTERNAL_PATHS, CONSOLE_PATHS) if settings.internal_port else None
    )
    root_path = RootPath(settings.root_path) if settings.root_path else None
    if root_path is not None and any(route.path.startswith(f"{root_path.prefix}/") for route in routes):
        raise SettingsError(f"WANNENG_ROOT_PATH is {root_path.prefix}, where the gateway has paths of its own")
    return Middleware(
        router,
        routes,
        metrics,
        tracing,
        draining,
        Problems(GATEWAY_STATUSES),
        pacing,
        GatewayContext,
        internal_port,
        root_path,
    )


def _default_quota(settings: Settings) -> Quota:
    return Quota(
        settings.requests_per_minute or None,
        settings.pairs_per_minute or None,
        settings.tenant_pairs_in_flight or None,
        settings.tokens_per_minute or None,
    )
