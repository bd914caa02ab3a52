"""Renders the facts of a request: metrics and one log line. Texts, labels and keys never come here."""

from __future__ import annotations

from typing import Protocol

import msgspec
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from gateway.facts import Facts
from gateway.line_log import LineLog
from gateway.pair_cache import MemoryPairCache
from gateway.pool_metrics import PoolMetrics
from gateway.readiness import Readiness
from gateway.replicas import Replicas
from gateway.shared.link import RedisLink
from gateway.turns import Turns

SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.15, 0.2, 0.3, 0.5, 0.8, 1.5, 3.0, 6.0, 10.0)
TENANTS_NAMED, OTHERS = 100, "others"
"""Tenants with a series of their own, the first of a process; a label's values must have a bound."""
CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

_encoder = msgspec.json.Encoder()


class Soundness(Protocol):
    """Something that can be broken and still work."""

    @property
    def sound(self) -> bool: ...


class Telemetry:
    """Prometheus metrics in base units, and a canonical log line as JSON."""

    def __init__(
        self,
        turns: Turns,
        readiness: Readiness,
        replicas: Replicas,
        cache: MemoryPairCache,
        log: LineLog,
        link: RedisLink | None = None,
        declared: Soundness | None = None,
    ) -> None:
        self._log = log
        self._registry = registry = CollectorRegistry()
        self._requests = Counter("wanneng_requests", "Requests answered.", ["route", "status"], registry=registry)
        self._seconds = Histogram(
            "wanneng_request_seconds",
            "From the first byte to the answer.",
            ["route"],
            buckets=SECONDS,
            registry=registry,
        )
        self._triton_seconds = Histogram(
            "wanneng_triton_seconds",
            "Waiting for Triton, over all calls of a request.",
            buckets=SECONDS,
            registry=registry,
        )
        pairs = Counter("wanneng_pairs", "Pairs answered.", ["source"], registry=registry)
        if declared is not None:
            sound = Gauge("wanneng_declaration_sound", "0 while the declared file is broken.", registry=registry)
            sound.set_function(lambda: declared.sound)
        if link is not None:
            shared = Gauge("wanneng_shared_up", "1 while Redis answers.", registry=registry)
            shared.set_function(lambda: link.up)
            failures = Gauge("wanneng_shared_failures", "Calls that Redis did not answer.", registry=registry)
            failures.set_function(lambda: link.failures)
        registry.register(PoolMetrics(replicas))
        self._computed, self._cached = pairs.labels("computed"), pairs.labels("cached")
        self._tenants = Counter("wanneng_tenant_pairs", "Pairs answered.", ["tenant"], registry=registry)
        self._of_tenant: dict[str, Counter] = {}
        self._of_route: dict[tuple[str, int], tuple[Counter, Histogram]] = {}
        self._truncated = Counter("wanneng_truncated_texts", "Texts that were cut.", registry=registry)
        self._refused = Counter("wanneng_pairs_refused", "Pairs beyond a bound in flight.", registry=registry)
        in_flight = Gauge("wanneng_pairs_in_flight", "Pairs admitted, not answered.", registry=registry)
        in_flight.set_function(lambda: turns.pairs_in_flight)
        at_triton = Gauge("wanneng_pairs_at_triton", "Pairs at Triton; the others wait here.", registry=registry)
        at_triton.set_function(lambda: turns.pairs_at_triton)
        ready = Gauge("wanneng_ready", "1 when requests can be answered.", registry=registry)
        ready.set_function(lambda: readiness.ready)
        cached = Gauge("wanneng_cache_pairs", "Pairs in the cache of this process.", registry=registry)
        cached.set_function(lambda: cache.entries)

    def record(self, facts: Facts) -> None:
        """Count one answered request and log it; `facts.route` is a known path, so labels stay bounded."""
        route = (facts.route, facts.status)
        requests, seconds = self._of_route.get(route) or self._of_route.setdefault(
            route, (self._requests.labels(facts.route, str(facts.status)), self._seconds.labels(facts.route))
        )
        requests.inc()
        seconds.observe(facts.seconds)
        if facts.tenant_id is not None:
            self._tenant_pairs(facts.tenant_id).inc(facts.pairs_computed + facts.pairs_cached)
        if facts.pairs_computed:
            self._computed.inc(facts.pairs_computed)
        if facts.pairs_cached:
            self._cached.inc(facts.pairs_cached)
        if facts.pairs_refused:
            self._refused.inc(facts.pairs_refused)
        if facts.truncated_texts:
            self._truncated.inc(facts.truncated_texts)
        if facts.triton_s:
            self._triton_seconds.observe(facts.triton_s)
        self._log.add(_encoder.encode(facts))

    def _tenant_pairs(self, tenant_id: str) -> Counter:
        found = self._of_tenant.get(tenant_id)
        if found is None:
            named = tenant_id if len(self._of_tenant) < TENANTS_NAMED else OTHERS
            found = self._of_tenant.setdefault(named, self._tenants.labels(named))
        return found

    def exposition(self) -> bytes:
        """All metrics in Prometheus' text format."""
        return generate_latest(self._registry)
