"""The gateway's Prometheus metrics, in base units. Texts, labels and keys never come here."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping
from http import HTTPStatus
from typing import Any

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric

from gateway.cache.tenant_cache import TenantCache
from gateway.errors import Overloaded, QuotaExceeded
from gateway.observability.pool_metrics import pool_metrics
from gateway.observability.request_context import GatewayContext
from gateway.redis.connection import RedisConnection
from gateway.redis.pair_cache import RedisPairCache
from gateway.redis.server_memory import RedisMemory
from gateway.scheduling.fair_queue import FairQueue
from gateway.triton.load_balancer import LoadBalancer
from stores.errors import BudgetExceeded
from stores.tenants_file.stores import TenantsFile
from web.access_log import AccessLog
from web.metrics import Durations, HttpMetrics, Kind, Value, family
from web.request_context import RequestContext

MAX_TENANTS, OTHER_TENANTS = 100, "others"
"""Tenants with a series of their own, the first of a process; a label's values must have a bound."""

REFUSED = (HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE)
EXPECTED = (QuotaExceeded.code, BudgetExceeded.code, Overloaded.code)
"""Their series begin at 0: `rate` does not see the first sample of a series."""

Values = Callable[[], Value | Mapping[Any, Value]]


class GatewayMetrics(HttpMetrics):
    """Beside the requests: pairs, Triton, the queue, the cache and Redis."""

    def __init__(
        self,
        log: AccessLog,
        load_balancer: LoadBalancer,
        queue: FairQueue,
        cache: TenantCache[bytes],
        redis: RedisConnection | None,
        redis_memory: RedisMemory | None,
        shared_cache: RedisPairCache | None,
        tenants_file: TenantsFile | None,
        compared_texts: Mapping[tuple[str, str, bool], int],
        budgets_exceeded: Mapping[str, int],
    ) -> None:
        super().__init__(log)
        self._load_balancer = load_balancer
        self._refused = self._truncated = 0
        self._pairs: Counter[str] = Counter(computed=0, cached=0)
        self._tenant_pairs: Counter[str] = Counter()
        self._tenant_requests: Counter[tuple[str, str]] = Counter()
        self._tenant_seconds: defaultdict[str, Durations] = defaultdict(Durations)
        self._refused_requests = Counter({("/v1/classify", code): 0 for code in EXPECTED})
        self._triton_seconds = Durations()
        caches = {"memory": cache} | ({} if shared_cache is None else {"redis": shared_cache})

        def lookups() -> Mapping[tuple[str, str], int]:
            told = ((tier, {"hit": cache.hits, "miss": cache.misses}) for tier, cache in caches.items())
            return {(tier, result): count for tier, results in told for result, count in results.items()}

        counter, gauge, histogram = CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
        of_models = ("engine", "other", "same_best_label")
        took = "What requests of tenants took."
        by_code = "Requests answered with 429 or 503."
        asked, beyond = "Requests of tenants.", "Requests beyond a budget."
        compared = "Texts answered by two models."
        triton = "Waiting for Triton, over all calls of a request."
        turns = "Waiting for the turn of a call to Triton."
        self._families: list[tuple[Kind, str, str, Values, *tuple[str, ...]]] = [
            (gauge, "wanneng_pairs_in_flight", "Pairs admitted and not answered.", lambda: queue.in_flight.pairs),
            (gauge, "wanneng_pairs_at_triton", "Pairs at Triton; the others wait.", lambda: queue.at_triton.pairs),
            (gauge, "wanneng_tokens_in_flight", "Estimated tokens admitted.", lambda: queue.in_flight.tokens),
            (gauge, "wanneng_tokens_at_triton", "Estimated tokens at Triton.", lambda: queue.at_triton.tokens),
            (gauge, "wanneng_ready", "1 when requests can be answered.", lambda: load_balancer.ready),
            (gauge, "wanneng_cache_pairs", "Pairs in the cache of this process.", lambda: cache.entries),
            (gauge, "wanneng_cache_bytes", "Their memory.", lambda: cache.size_bytes),
            (counter, "wanneng_truncated_texts", "Texts that were truncated.", lambda: self._truncated),
            (counter, "wanneng_pairs_refused", "Pairs beyond a bound in flight.", lambda: self._refused),
            (counter, "wanneng_cache_evicted_pairs", "Pairs that made room for others.", lambda: cache.evicted),
            (counter, "wanneng_cache_lookups", "Pairs looked up.", lookups, "tier", "result"),
            (counter, "wanneng_pairs", "Pairs answered.", lambda: self._pairs, "source"),
            (counter, "wanneng_tenant_pairs", "Pairs answered.", lambda: self._tenant_pairs, "tenant"),
            (counter, "wanneng_tenant_requests", asked, lambda: self._tenant_requests, "tenant", "outcome"),
            (histogram, "wanneng_tenant_request_seconds", took, lambda: self._tenant_seconds, "tenant"),
            (counter, "wanneng_refused_requests", by_code, lambda: self._refused_requests, "route", "code"),
            (counter, "wanneng_budget_exceeded_requests", beyond, lambda: budgets_exceeded, "enforcement"),
            (counter, "wanneng_compared_texts", compared, lambda: compared_texts, *of_models),
            (histogram, "wanneng_triton_seconds", triton, lambda: self._triton_seconds),
            (histogram, "wanneng_turn_seconds", turns, lambda: queue.wait_seconds),
        ]
        if redis is not None:
            self._families += [
                (gauge, "wanneng_redis_up", "1 while Redis answers.", lambda: redis.up),
                (counter, "wanneng_redis_failures", "Calls that Redis did not answer.", lambda: redis.failures),
            ]
        if (memory := redis_memory) is not None:
            used, limit = "Memory of all that Redis holds.", "What it may hold; 0: no limit."
            evicted = "Keys that Redis evicted for want of room."
            self._families += [
                (gauge, "wanneng_redis_memory_bytes", used, lambda: memory.used_bytes),
                (gauge, "wanneng_redis_memory_limit_bytes", limit, lambda: memory.limit_bytes),
                (counter, "wanneng_redis_evicted_keys", evicted, lambda: memory.evicted_keys),
            ]
        if tenants_file is not None:
            told = "0 while the tenants file is broken."
            self._families.append((gauge, "wanneng_tenants_file_valid", told, lambda: tenants_file.valid))

    def record(self, context: RequestContext) -> None:
        super().record(context)
        assert isinstance(context, GatewayContext)
        self._pairs["computed"] += context.pairs_computed
        self._pairs["cached"] += context.pairs_cached
        self._refused += context.pairs_refused
        self._truncated += context.truncated_texts
        if tenant := context.tenant_id:
            has_series = tenant in self._tenant_pairs or len(self._tenant_pairs) < MAX_TENANTS
            label = tenant if has_series else OTHER_TENANTS
            self._tenant_pairs[label] += context.pairs_computed + context.pairs_cached
            self._tenant_requests[label, _outcome(context.status)] += 1
            self._tenant_seconds[label].observe(context.seconds)
        if context.status in REFUSED and context.error_code is not None:
            self._refused_requests[context.route, context.error_code] += 1
        if context.triton_s:
            self._triton_seconds.observe(context.triton_s)

    def collect(self) -> Iterable[Metric]:
        own = [family(kind, name, told, values(), *labels) for kind, name, told, values, *labels in self._families]
        return [*super().collect(), *own, *pool_metrics(self._load_balancer)]


def _outcome(status: int) -> str:
    if status < HTTPStatus.BAD_REQUEST:
        return "answered"
    if status in REFUSED:
        return "refused"
    return "invalid" if status < HTTPStatus.INTERNAL_SERVER_ERROR else "failed"
