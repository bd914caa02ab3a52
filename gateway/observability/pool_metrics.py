"""The replicas of each pool, as the load balancer sees them, as metrics."""

from __future__ import annotations

from collections import Counter, defaultdict

from prometheus_client.core import GaugeMetricFamily, HistogramMetricFamily, Metric

from gateway.triton.load_balancer import LoadBalancer
from gateway.triton.replica import Replica


def pool_metrics(load_balancer: LoadBalancer) -> list[Metric]:
    """At each scrape; a pool's series end with its last address."""
    pools: dict[str, list[Replica]] = defaultdict(list)
    for replica in load_balancer.replicas:
        pools[replica.address.pool].append(replica)
    counts = GaugeMetricFamily("wanneng_pool_replicas", "Replicas by state.", labels=["pool", "state"])
    capacity = GaugeMetricFamily("wanneng_pool_capacity", "Weights of the replicas that answer.", labels=["pool"])
    pairs = GaugeMetricFamily("wanneng_pool_pairs", "Pairs under way at its replicas.", labels=["pool"])
    engines = GaugeMetricFamily("wanneng_pool_engines", "Replicas by engine.", labels=["pool", "engine"])
    shares = GaugeMetricFamily("wanneng_pool_share", "Share of the requests of a model on trial.", labels=["pool"])
    seconds = HistogramMetricFamily("wanneng_pool_call_seconds", "Calls to its replicas.", labels=["pool"])
    for pool, durations in sorted(load_balancer.call_seconds.items()):
        durations.add_to(seconds, [pool])
    for pool, replicas in sorted(pools.items()):
        if (share := replicas[0].address.share) is not None:
            shares.add_metric([pool], share)
        answering = [replica for replica in replicas if replica.engine is not None]
        counts.add_metric([pool, "answering"], len(answering))
        counts.add_metric([pool, "ejected"], len(replicas) - len(answering))
        capacity.add_metric([pool], sum(replica.address.weight for replica in answering))
        pairs.add_metric([pool], sum(replica.outstanding_pairs for replica in replicas))
        by_engine = Counter(replica.engine.id for replica in replicas if replica.engine is not None)
        for engine, number in sorted(by_engine.items()):
            engines.add_metric([pool, engine], number)
    return [counts, capacity, pairs, engines, shares, seconds]
