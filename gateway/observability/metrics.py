"""The gateway's Prometheus metrics, in base units. Texts, labels and keys never come here."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from http import HTTPStatus
from types import MappingProxyType

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric

from gateway.cache.memory_pair_cache import MemoryPairCache
from gateway.observability.pool_metrics import pool_metrics
from gateway.observability.request_context import GatewayContext
from gateway.redis.connection import RedisConnection
from gateway.redis.pair_cache import RedisPairCache
from gateway.scheduling.fair_queue import FairQueue
from gateway.triton.load_balancer import LoadBalancer
from stores.tenants_file.stores import TenantsFile
from web.access_log import AccessLog
from web.metrics import Durations, HttpMetrics
from web.request_context import RequestContext

MAX_TENANTS, OTHER_TENANTS = 100, "others"
"""Tenants with a series of their own, the first of a process; a label's values must have a bound."""


class GatewayMetrics(HttpMetrics):
    """Beside the requests: pairs, Triton, the queue, the cache and Redis."""

    def __init__(
        self,
        log: AccessLog,
        load_balancer: LoadBalancer,
        queue: FairQueue,
        cache: MemoryPairCache,
        redis: RedisConnection | None = None,
        shared_cache: RedisPairCache | None = None,
        tenants_file: TenantsFile | None = None,
        compared_texts: Mapping[tuple[str, str, bool], int] = MappingProxyType({}),
        budgets_exceeded: Mapping[str, int] = MappingProxyType({}),
    ) -> None:
        super().__init__(log)
        self._load_balancer, self._compared_texts = load_balancer, compared_texts
        self._budgets_exceeded = budgets_exceeded
        self._computed = self._cached = self._refused = self._truncated = 0
        self._tenant_pairs: Counter[str] = Counter()
        self._tenant_requests: Counter[tuple[str, str]] = Counter()
        self._triton_seconds, self._turn_seconds = Durations(), Durations()
        queue.observe_wait = self._turn_seconds.observe
        self._caches = {"memory": cache} | ({} if shared_cache is None else {"redis": shared_cache})
        self._gauges: list[tuple[str, str, Callable[[], float]]] = [
            ("wanneng_pairs_in_flight", "Pairs admitted and not answered.", lambda: queue.in_flight.pairs),
            ("wanneng_pairs_at_triton", "Pairs at Triton; the others wait.", lambda: queue.at_triton.pairs),
            ("wanneng_tokens_in_flight", "Estimated tokens admitted.", lambda: queue.in_flight.tokens),
            ("wanneng_tokens_at_triton", "Estimated tokens at Triton.", lambda: queue.at_triton.tokens),
            ("wanneng_ready", "1 when requests can be answered.", lambda: load_balancer.ready),
            ("wanneng_cache_pairs", "Pairs in the cache of this process.", lambda: cache.entries),
            ("wanneng_cache_bytes", "Their memory.", lambda: cache.size_bytes),
        ]
        self._counters: list[tuple[str, str, Callable[[], float]]] = [
            ("wanneng_truncated_texts", "Texts that were truncated.", lambda: self._truncated),
            ("wanneng_pairs_refused", "Pairs beyond a bound in flight.", lambda: self._refused),
            ("wanneng_cache_evicted_pairs", "Pairs that made room for others.", lambda: cache.evicted),
        ]
        if redis is not None:
            self._gauges.append(("wanneng_redis_up", "1 while Redis answers.", lambda: redis.up))
            self._counters.append(
                ("wanneng_redis_failures", "Calls that Redis did not answer.", lambda: redis.failures)
            )
        if tenants_file is not None:
            self._gauges.append(
                ("wanneng_tenants_file_valid", "0 while the tenants file is broken.", lambda: tenants_file.valid)
            )

    def record(self, context: RequestContext) -> None:
        super().record(context)
        assert isinstance(context, GatewayContext)
        self._computed += context.pairs_computed
        self._cached += context.pairs_cached
        self._refused += context.pairs_refused
        self._truncated += context.truncated_texts
        if tenant := context.tenant_id:
            has_series = tenant in self._tenant_pairs or len(self._tenant_pairs) < MAX_TENANTS
            label = tenant if has_series else OTHER_TENANTS
            self._tenant_pairs[label] += context.pairs_computed + context.pairs_cached
            self._tenant_requests[label, _outcome(context.status)] += 1
        if context.triton_s:
            self._triton_seconds.observe(context.triton_s)

    def collect(self) -> Iterable[Metric]:
        pairs = CounterMetricFamily("wanneng_pairs", "Pairs answered.", labels=["source"])
        pairs.add_metric(["computed"], self._computed)
        pairs.add_metric(["cached"], self._cached)
        of_tenants = CounterMetricFamily("wanneng_tenant_pairs", "Pairs answered.", labels=["tenant"])
        for tenant, count in self._tenant_pairs.items():
            of_tenants.add_metric([tenant], count)
        requests = CounterMetricFamily(
            "wanneng_tenant_requests", "Requests of tenants.", labels=["tenant", "outcome"]
        )
        for labels, count in self._tenant_requests.items():
            requests.add_metric(list(labels), count)
        triton = HistogramMetricFamily(
            "wanneng_triton_seconds", "Waiting for Triton, over all calls of a request.", labels=[]
        )
        self._triton_seconds.add_to(triton, [])
        turns = HistogramMetricFamily(
            "wanneng_turn_seconds", "Waiting for the turn of a call to Triton.", labels=[]
        )
        self._turn_seconds.add_to(turns, [])
        lookups = CounterMetricFamily("wanneng_cache_lookups", "Pairs looked up.", labels=["tier", "result"])
        for tier, cache in self._caches.items():
            lookups.add_metric([tier, "hit"], cache.hits)
            lookups.add_metric([tier, "miss"], cache.misses)
        compared = CounterMetricFamily(
            "wanneng_compared_texts",
            "Texts answered by two models.",
            labels=["engine", "other", "same_best_label"],
        )
        for (engine, other, same), count in self._compared_texts.items():
            compared.add_metric([engine, other, str(same).lower()], count)
        exceeded = CounterMetricFamily(
            "wanneng_budget_exceeded_requests", "Requests beyond a budget.", labels=["enforcement"]
        )
        for enforcement, count in self._budgets_exceeded.items():
            exceeded.add_metric([enforcement], count)
        gauges = [GaugeMetricFamily(name, told, float(value())) for name, told, value in self._gauges]
        counters = [CounterMetricFamily(name, told, value()) for name, told, value in self._counters]
        own = [pairs, of_tenants, requests, triton, turns, lookups, compared, exceeded, *counters, *gauges]
        return [*super().collect(), *own, *pool_metrics(self._load_balancer)]


def _outcome(status: int) -> str:
    if status < HTTPStatus.BAD_REQUEST:
        return "answered"
    if status in (HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE):
        return "refused"
    return "invalid" if status < HTTPStatus.INTERNAL_SERVER_ERROR else "failed"
