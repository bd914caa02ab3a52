"""The gateway's Prometheus metrics, in base units. Texts, labels and keys never come here."""

from __future__ import annotations

from prometheus_client import Counter, Gauge, Histogram

from gateway.cache.memory_pair_cache import MemoryPairCache
from gateway.observability.pool_metrics import PoolMetrics
from gateway.observability.request_context import GatewayContext
from gateway.redis.connection import RedisConnection
from gateway.scheduling.fair_queue import FairQueue
from gateway.triton.load_balancer import LoadBalancer
from stores.tenants_file.stores import TenantsFile
from web.access_log import AccessLog
from web.metrics import SECONDS, HttpMetrics
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
        tenants_file: TenantsFile | None = None,
    ) -> None:
        super().__init__(log)
        registry = self.registry
        self._triton_seconds = Histogram(
            "wanneng_triton_seconds",
            "Waiting for Triton, over all calls of a request.",
            buckets=SECONDS,
            registry=registry,
        )
        pairs = Counter("wanneng_pairs", "Pairs answered.", ["source"], registry=registry)
        self._computed, self._cached = pairs.labels("computed"), pairs.labels("cached")
        self._tenant_pairs = Counter("wanneng_tenant_pairs", "Pairs answered.", ["tenant"], registry=registry)
        self._tenant_series: dict[str, Counter] = {}
        self._truncated = Counter("wanneng_truncated_texts", "Texts that were truncated.", registry=registry)
        self._refused = Counter("wanneng_pairs_refused", "Pairs beyond a bound in flight.", registry=registry)
        gauges = [
            ("wanneng_pairs_in_flight", "Pairs admitted and not answered.", lambda: queue.pairs_in_flight),
            ("wanneng_pairs_at_triton", "Pairs at Triton; the others wait.", lambda: queue.pairs_at_triton),
            ("wanneng_tokens_in_flight", "Estimated tokens admitted.", lambda: queue.tokens_in_flight),
            ("wanneng_tokens_at_triton", "Estimated tokens at Triton.", lambda: queue.tokens_at_triton),
            ("wanneng_ready", "1 when requests can be answered.", lambda: load_balancer.ready),
            ("wanneng_cache_pairs", "Pairs in the cache of this process.", lambda: cache.entries),
        ]
        if redis is not None:
            gauges += [
                ("wanneng_redis_up", "1 while Redis answers.", lambda: redis.up),
                ("wanneng_redis_failures", "Calls that Redis did not answer.", lambda: redis.failures),
            ]
        if tenants_file is not None:
            gauges.append(
                ("wanneng_tenants_file_valid", "0 while the tenants file is broken.", lambda: tenants_file.valid)
            )
        for name, documentation, value in gauges:
            Gauge(name, documentation, registry=registry).set_function(value)
        registry.register(PoolMetrics(load_balancer))

    def record(self, context: RequestContext) -> None:
        super().record(context)
        assert isinstance(context, GatewayContext)
        computed, cached = context.pairs_computed, context.pairs_cached
        self._add(self._computed, computed)
        self._add(self._cached, cached)
        self._add(self._refused, context.pairs_refused)
        self._add(self._truncated, context.truncated_texts)
        if context.tenant_id is not None:
            self._add(self._pairs_of(context.tenant_id), computed + cached)
        if context.triton_s:
            self._triton_seconds.observe(context.triton_s)

    @staticmethod
    def _add(counter: Counter, count: int) -> None:
        # Most counts are 0, and a counter takes a lock for those too.
        if count:
            counter.inc(count)

    def _pairs_of(self, tenant_id: str) -> Counter:
        series = self._tenant_series.get(tenant_id)
        if series is None:
            label = tenant_id if len(self._tenant_series) < MAX_TENANTS else OTHER_TENANTS
            series = self._tenant_series.setdefault(label, self._tenant_pairs.labels(label))
        return series
