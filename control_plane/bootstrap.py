"""The composition root of the control plane and of the worker: the only place where their parts meet.

Importing it does nothing.
"""

from __future__ import annotations

import asyncio
import os
import secrets
import socket
from collections.abc import AsyncIterator, Coroutine
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass
from functools import partial
from itertools import chain
from typing import Any

import httpx
from starlette.routing import Router

from control_plane.api.audit import AuditEndpoints, attributed
from control_plane.api.authentication import HeaderAuthentication
from control_plane.api.batches import BatchEndpoints
from control_plane.api.budgets import BudgetEndpoints
from control_plane.api.files import FileEndpoints
from control_plane.api.health import readiness
from control_plane.api.label_sets import LabelSetEndpoints
from control_plane.api.me import MeEndpoint
from control_plane.api.own_keys import OwnKeyEndpoints
from control_plane.api.page import PageEndpoints
from control_plane.api.sign_in import SignInEndpoints
from control_plane.api.status import StatusEndpoints
from control_plane.api.tenants import TenantEndpoints
from control_plane.api.usage import UsageEndpoints
from control_plane.backlog import BacklogMetrics
from control_plane.batches import Batches
from control_plane.files import Files
from control_plane.gateway_metrics import MAX_GATEWAYS, HttpGatewayMetrics
from control_plane.identity_provider import HttpIdentityProvider, IdentityProvider
from control_plane.label_sets import LabelSets
from control_plane.own_keys import OwnKeys
from control_plane.settings import Settings, WorkerSettings, check_oidc
from control_plane.sign_in import SignIn
from control_plane.tenant_names import TenantNames
from control_plane.tenants import Tenants
from control_plane.usage import UsageReports, price_of
from control_plane.worker.alerts import BudgetAlerts
from control_plane.worker.gateway_client import Gateway, HttpGateway
from control_plane.worker.health import WorkerMetrics, served
from control_plane.worker.webhook import HttpWebhook
from control_plane.worker.worker import Worker
from logs.setup import is_text
from stores.clock import Clock, SystemClock
from stores.database import Database
from stores.errors import ServiceError
from stores.factory import Stores, sql_stores
from stores.sql.alerts import SqlAlerts
from stores.sql.batches import SqlBatches
from stores.sql.files import SqlFiles
from stores.sql.retention import Retention
from web.access_log import AccessLog
from web.authentication import Authenticator
from web.background import run_forever, running
from web.health import HealthEndpoints
from web.internal_port import InternalPort
from web.metrics import HttpMetrics
from web.middleware import Middleware
from web.openapi_endpoint import OpenApiEndpoint
from web.operations import routes_of
from web.pacing import Pacing
from web.problems import STATUSES, Problems
from web.same_user import aiohttp_transport, certificates
from web.server import Draining
from web.sessions import OPERATOR, TENANT, SessionTokens
from web.tenant_callers import TenantCallers
from web.tracing import Tracing


def create_app(
    settings: Settings,
    *,
    stores: Stores | None = None,
    clock: Clock | None = None,
    log: AccessLog | None = None,
    draining: Draining | None = None,
    provider: IdentityProvider | None = None,
) -> Middleware:
    """The ASGI application; tests give `stores`, a `clock`, a `log` and a `provider`."""
    stores = stores or sql_stores(Database(settings.database_url))
    clock, draining = clock or SystemClock(), draining or Draining()
    log = log or AccessLog(text=is_text(settings.log_format))
    tracing, metrics = Tracing(settings.otlp_endpoint, service="wanneng-control-plane"), HttpMetrics(log)
    authenticator = Authenticator(
        stores.api_keys, clock, ttl_s=settings.key_cache_ttl_s, admin_key=settings.admin_key
    )
    authentication = HeaderAuthentication(
        authenticator,
        TenantCallers(
            stores.tenants,
            stores.api_keys,
            clock,
            settings.key_cache_ttl_s,
            SessionTokens(TENANT, settings.internal_key, clock),
        ),
        SessionTokens(OPERATOR, settings.admin_key, clock),
        internal_key=settings.internal_key,
    )
    files = Files(
        stores.files,
        clock,
        max_file_bytes=settings.max_file_bytes,
        max_tenant_file_bytes=settings.max_tenant_file_bytes,
        upload_timeout_s=settings.upload_timeout_s,
    )
    label_sets = LabelSets(
        stores.label_sets,
        clock,
        settings,
        max_versions=settings.max_label_set_versions,
        max_tenant_bytes=settings.max_tenant_label_set_bytes,
    )
    tenants = Tenants(stores.tenants, stores.api_keys, clock)
    reports = UsageReports(stores.usage, clock, price_of(settings.price_per_million_tokens, settings.currency))
    http = httpx.AsyncClient(
        transport=aiohttp_transport(settings.gateway_metrics_url, MAX_GATEWAYS, same_user=settings.same_user),
        trust_env=False,
    )
    gateway_metrics = HttpGatewayMetrics(http, settings.gateway_metrics_url)
    # Unlike the rest, the provider may be elsewhere: behind a proxy, or with a certificate of the company's own.
    to_provider = None
    if settings.oidc_issuer:
        to_provider = httpx.AsyncClient(trust_env=True, verify=certificates(trust_env=True))
    sign_in = None
    if to_provider is not None:
        check_oidc(settings)
        provider = provider or HttpIdentityProvider(to_provider, clock, settings)
        sign_in = SignIn(provider, stores.tenants, clock, settings)
    openapi = OpenApiEndpoint(STATUSES)
    apis = {
        "Label sets": LabelSetEndpoints(label_sets).operations(),
        "Batches": [
            *FileEndpoints(files, settings).operations(),
            *BatchEndpoints(Batches(stores.batches, stores.files, clock)).operations(),
        ],
        "Keys": [
            *MeEndpoint(tenants).operations(),
            *OwnKeyEndpoints(OwnKeys(tenants), authentication.forget).operations(),
        ],
        "Sign-in": SignInEndpoints(sign_in, settings.oidc_issuer).operations(),
        "Usage": UsageEndpoints(reports).operations(),
        "Budgets": BudgetEndpoints(tenants, reports, authentication.forget).operations(),
        "Tenants": TenantEndpoints(tenants, authentication.forget).operations(),
        "Audit log": AuditEndpoints(stores.audit).operations(),
        "Status": StatusEndpoints(gateway_metrics).operations(),
        "Server": [
            *HealthEndpoints(partial(readiness, stores.tenants), draining, metrics).operations(),
            *openapi.operations(),
        ],
    }
    openapi.describe(apis)
    backlog = BacklogMetrics(stores.batches, clock, metrics.registry)
    operations = [*map(attributed, chain(*apis.values())), *PageEndpoints().operations()]
    pacing = Pacing()
    routes = routes_of(operations, authentication, settings, pacing)

    @asynccontextmanager
    async def lifespan(app: Middleware) -> AsyncIterator[None]:
        background = [
            authenticator.keep_last_used,
            authenticator.keep_ends_known,
            backlog.watch,
        ]
        if settings.tenant_names_in_metrics:
            background.append(TenantNames(stores.tenants, metrics.registry).watch)
        try:
            async with running(*map(run_forever, background)):
                yield
        finally:
            with suppress(ServiceError):
                await authenticator.store_last_used()
            await http.aclose()
            if to_provider is not None:
                await to_provider.aclose()
            await asyncio.to_thread(tracing.close)
            await stores.close()
            log.flush()

    router = Router(routes, redirect_slashes=False, lifespan=lifespan)
    port = settings.control_plane_internal_port
    internal_port = InternalPort(port, ("/metrics",)) if port else None
    return Middleware(router, routes, metrics, tracing, draining, Problems(), pacing, internal_port=internal_port)


@dataclass(frozen=True, slots=True)
class WorkerProcess:
    """A worker, with retention and alerts beside it; call `close` at the end."""

    worker: Worker
    metrics: WorkerMetrics
    port: int
    """0: `metrics` are not served."""
    retention: Retention
    database: Database
    http: httpx.AsyncClient
    webhook: HttpWebhook | None
    """None: nobody is told of budgets."""
    clock: Clock

    async def run(self, stopping: asyncio.Event) -> None:
        """Until `stopping` is set; an unforeseen error of either part is raised, and ends both."""
        await self.database.check()
        async with AsyncExitStack() as stack:
            if self.port:
                await stack.enter_async_context(served(self.port, self.metrics))
            await self._work(stopping)

    async def _work(self, stopping: asyncio.Event) -> None:
        work: list[Coroutine[Any, Any, Any]] = [
            self.worker.keep_serving(),
            self.retention.keep(),
            stopping.wait(),
        ]
        if self.webhook is not None:
            work.append(BudgetAlerts(SqlAlerts(self.database), self.webhook, self.clock).keep())
        tasks = [asyncio.create_task(each) for each in work]
        try:
            finished, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in finished:
                task.result()
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def close(self) -> None:
        await self.http.aclose()
        if self.webhook is not None:
            await self.webhook.close()
        await self.database.close()


def create_worker(
    settings: WorkerSettings, *, gateway: Gateway | None = None, clock: Clock | None = None
) -> WorkerProcess:
    """Tests give a `gateway` and a `clock`."""
    database, clock = Database(settings.database_url), clock or SystemClock()
    metrics = WorkerMetrics()
    http = httpx.AsyncClient(
        transport=aiohttp_transport(
            settings.gateway_url, settings.batch_lines_at_once, same_user=settings.same_user
        ),
        trust_env=False,
    )
    worker = Worker(
        f"{socket.gethostname()[:30]}-{os.getpid()}-{secrets.token_hex(4)}",
        SqlBatches(database),
        SqlFiles(database),
        gateway or HttpGateway(http, settings.gateway_url, settings.internal_key),
        clock,
        max_batch_lines=settings.max_batch_lines,
        max_batch_output_bytes=settings.max_batch_output_bytes,
        max_tenant_file_bytes=settings.max_tenant_file_bytes,
        lines_at_once=settings.batch_lines_at_once,
        metrics=metrics,
    )
    return WorkerProcess(
        worker,
        metrics,
        settings.worker_port,
        Retention(database, clock, settings.batch_retention_days, settings.audit_retention_days),
        database,
        http,
        _webhook(settings),
        clock,
    )


def _webhook(settings: WorkerSettings) -> HttpWebhook | None:
    url, secret = settings.budget_webhook_url, settings.budget_webhook_secret
    return HttpWebhook(url, secret, allow_link_local=settings.budget_webhook_link_local) if url else None
