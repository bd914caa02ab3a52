"""The replicas of each pool, as the load balancer sees them, as metrics."""

from __future__ import annotations

from collections import Counter, defaultdict

from prometheus_client.core import GaugeMetricFamily, HistogramMetricFamily, Metric

from gateway.triton.load_balancer import LoadBalancer
from web.metrics import family


def pool_metrics(load_balancer: LoadBalancer) -> list[Metric]:
    """At each scrape; a pool's series end with its last address."""
    states: Counter[tuple[str, str]] = Counter()
    engines: Counter[tuple[str, str]] = Counter()
    capacity: dict[str, float] = defaultdict(float)
    pairs: Counter[str] = Counter()
    shares: dict[str, float] = {}
    for replica in load_balancer.replicas:
        pool, share, engine = replica.address.pool, replica.address.share, replica.engine
        states[pool, "answering"] += engine is not None
        states[pool, "ejected"] += engine is None
        capacity[pool] += replica.address.weight if engine is not None else 0.0
        pairs[pool] += replica.outstanding_pairs
        if engine is not None:
            engines[pool, engine.id] += 1
        if share is not None:
            shares[pool] = share
    gauge, trial = GaugeMetricFamily, "Share of the requests of a model on trial."
    seconds = load_balancer.call_seconds
    return [
        family(gauge, "wanneng_pool_replicas", "Replicas by state.", states, "pool", "state"),
        family(gauge, "wanneng_pool_capacity", "Weights of the replicas that answer.", capacity, "pool"),
        family(gauge, "wanneng_pool_pairs", "Pairs under way at its replicas.", pairs, "pool"),
        family(gauge, "wanneng_pool_engines", "Replicas by engine.", engines, "pool", "engine"),
        family(gauge, "wanneng_pool_share", trial, shares, "pool"),
        family(HistogramMetricFamily, "wanneng_pool_call_seconds", "Calls to its replicas.", seconds, "pool"),
    ]
