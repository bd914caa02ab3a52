"""The gateway on a fake backend and fake stores: the one place where tests build it."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Any

import httpx

from gateway.bootstrap import create_app
from gateway.cache.tenant_cache import TenantCache
from gateway.classification.call_merger import CallMerger
from gateway.classification.schema import ClassifyBody
from gateway.classification.service import ClassificationService
from gateway.classification.work import CallOptions, Outcome
from gateway.scheduling.fair_queue import FairQueue
from gateway.scheduling.lane import Load
from gateway.settings import Settings
from gateway.tenancy.label_sets import label_set_cache
from gateway.tenancy.quotas import Quotas
from gateway.tenancy.shared_bucket import SharedQuotas
from gateway.tenancy.usage import UsageCounter
from gateway.triton.backend import Engine
from gateway.triton.discovery import Address, AddressList
from gateway.triton.load_balancer import LoadBalancer
from stores.api_keys import generate_key
from stores.budget_levels import BudgetLevels
from stores.budgets import NO_BUDGET, Budget
from stores.clock import Clock
from stores.label_sets import LabelSet, LabelSetContent, SetLabel
from stores.special_tokens import MODEL, SpecialTokens
from stores.tenants import ACTIVE, CLASSIFY, LOCAL_TENANT_ID, NO_QUOTA, SCOPES, ApiKey, Quota, Tenant
from tests.fakes.backend import FakeBackend
from tests.fakes.clock import FakeClock
from tests.fakes.stores import Memory, fake_stores
from web.access_log import AccessLog
from web.authentication import Caller
from web.middleware import Middleware
from web.server import Draining
from web.tracing import Tracing

JSON = {"Content-Type": "application/json"}
"""Of every body: without a key, no other is taken."""
COMPLAINT: dict[str, Any] = {"text": "我要投诉", "labels": ["投诉", "咨询"]}
"""A good body of `/v1/classify`: two pairs."""


def gateway_app(
    backend: FakeBackend | None = None,
    memory: Memory | None = None,
    lines: list[bytes] | None = None,
    clock: Clock | None = None,
    draining: Draining | None = None,
    **settings: Any,
) -> Middleware:
    """`lines` receives the access log."""
    return create_app(
        Settings(**settings),
        backend=backend or FakeBackend(),
        stores=fake_stores(memory),
        clock=clock or FakeClock(),
        log=AccessLog((lines if lines is not None else []).append),
        draining=draining,
    )


@asynccontextmanager
async def gateway(
    backend: FakeBackend | None = None,
    memory: Memory | None = None,
    lines: list[bytes] | None = None,
    clock: Clock | None = None,
    draining: Draining | None = None,
    **settings: Any,
) -> AsyncIterator[httpx.AsyncClient]:
    """A client of the whole gateway, which runs as long as the block."""
    app = gateway_app(backend, memory, lines, clock, draining, **settings)
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1:8080", headers=JSON) as client,
    ):
        yield client


def add_tenant(
    memory: Memory,
    name: str = "acme",
    *,
    status: str = ACTIVE,
    special_tokens: SpecialTokens = MODEL,
    budget: Budget = NO_BUDGET,
    **quota: int,
) -> Tenant:
    """A tenant whose id is its name."""
    tenant = Tenant(name, name, status, FakeClock().now(), Quota(**quota), special_tokens, budget)
    memory.tenants[name] = tenant
    return tenant


def add_key(
    memory: Memory,
    tenant: Tenant,
    scopes: Sequence[str] = SCOPES,
    expires_at: datetime | None = None,
    budget: Budget = NO_BUDGET,
) -> dict[str, str]:
    """The header of a caller that has a new key of the tenant."""
    key, now = generate_key(), FakeClock().now()
    memory.keys[key.id] = ApiKey(key.id, tenant.id, key.digest, tuple(scopes), now, expires_at, budget=budget)
    return bearer(key.key)


def bearer(key: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {key}"}


def add_label_set(
    memory: Memory,
    labels: Sequence[str | tuple[str, str]],
    *,
    name: str = "tickets",
    tenant_id: str = LOCAL_TENANT_ID,
    **content: Any,
) -> LabelSet:
    """The next version of a label set; a label may come with a hypothesis of its own."""
    latest, _ = memory.latest.get((tenant_id, name), (0, False))
    set_labels = tuple(SetLabel(label) if isinstance(label, str) else SetLabel(*label) for label in labels)
    label_set = LabelSet(tenant_id, name, latest + 1, LabelSetContent(set_labels, **content), FakeClock().now())
    memory.versions[tenant_id, name, label_set.version] = label_set
    memory.latest[tenant_id, name] = (label_set.version, True)
    return label_set


NO_OPTIONS = CallOptions()


class FakeService:
    """The classification service with its parts in reach; quotas do not refill.

    `knows_engine=False`: as in a gateway that has not heard of a replica yet. `canary`: another
    replica, whose model has a share of the requests. `now`: of the cache.
    """

    def __init__(
        self,
        backend: FakeBackend | None = None,
        *,
        window: int = 32_000,
        knows_engine: bool = True,
        shared_quotas: SharedQuotas | None = None,
        canary: tuple[FakeBackend, float] | None = None,
        now: Callable[[], float] = time.monotonic,
        queue_type: type[FairQueue] = FairQueue,
        **settings: Any,
    ) -> None:
        self.backend = backend or FakeBackend()
        self.memory = Memory()
        self.settings = Settings(**settings)
        self.knows_engine = knows_engine
        clock, stores = FakeClock(), fake_stores(self.memory)
        addresses, self.backends = [Address("http://one")], {"http://one": self.backend}
        if canary is not None:
            addresses.append(Address("http://canary", "canary", share=canary[1]))
            self.backends["http://canary"] = canary[0]
        self.load_balancer = LoadBalancer(AddressList(addresses), self.backends.__getitem__)
        max_call = Load(self.settings.max_pairs_per_call, self.settings.max_tokens_per_call)
        self.queue = queue_type(self.settings.max_tokens_in_flight, lambda: window, max_call=max_call)
        self.cache: TenantCache[bytes] = TenantCache(self.settings.cache_bytes, self.settings.cache_ttl_s, now)
        budgets = BudgetLevels(stores.usage, clock)
        self.quotas = Quotas(lambda: 0.0, budgets, self.settings.cached_pair_cost, shared=shared_quotas)
        self.usage = UsageCounter(stores.usage, clock)
        self.label_sets = label_set_cache(stores.label_sets, clock, self.settings.key_cache_ttl_s)
        self.service = ClassificationService(
            self.load_balancer,
            CallMerger(self.load_balancer, Tracing()),
            self.cache,
            self.queue,
            self.quotas,
            self.label_sets,
            self.usage,
            self.settings,
        )

    async def learn_engine(self) -> None:
        if self.knows_engine and not self.load_balancer.replicas:
            await self.load_balancer.refresh()
            for replica in self.load_balancer.replicas:
                engine = Engine(self.backends[replica.url].engine_ids[0], "fake")
                replica.answered(engine, time.monotonic())

    async def classify(
        self,
        labels: Sequence[str],
        text: str | Sequence[str] = "投诉手机",
        *,
        tenant: str = "t_1",
        quota: Quota = NO_QUOTA,
        low_priority: bool = False,
        options: CallOptions = NO_OPTIONS,
        **body: Any,
    ) -> Outcome:
        await self.learn_engine()
        texts = [text] if isinstance(text, str) else list(text)
        return await self.service.classify(
            ClassifyBody(list(labels), texts=texts, **body),
            Caller(tenant, (CLASSIFY,), quota, low_priority=low_priority),
            options,
        )
