"""What the replicas of each pool look like from here, as metrics. Knows no request."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence

from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from gateway.replicas import Replica, Replicas


class PoolMetrics(Collector):
    """Made at each scrape from what is known of the replicas; a pool's series end with its last address."""

    def __init__(self, replicas: Replicas) -> None:
        self._replicas = replicas

    def collect(self) -> Iterable[GaugeMetricFamily]:
        pools: dict[str, list[Replica]] = defaultdict(list)
        for replica in self._replicas.known:
            pools[replica.address.pool].append(replica)
        counts = GaugeMetricFamily("wanneng_pool_replicas", "Replicas by state.", labels=["pool", "state"])
        capacity = GaugeMetricFamily("wanneng_pool_capacity", "Weights of those that answer.", labels=["pool"])
        pairs = GaugeMetricFamily("wanneng_pool_pairs", "Pairs under way there.", labels=["pool"])
        engines = GaugeMetricFamily("wanneng_pool_engines", "Replicas by engine.", labels=["pool", "engine"])
        for pool, replicas in sorted(pools.items()):
            answering = [replica for replica in replicas if replica.engine is not None]
            counts.add_metric([pool, "answering"], len(answering))
            counts.add_metric([pool, "ejected"], len(replicas) - len(answering))
            capacity.add_metric([pool], sum(replica.address.weight for replica in answering))
            pairs.add_metric([pool], sum(replica.outstanding_pairs for replica in replicas))
            for engine, number in sorted(_engines(answering).items()):
                engines.add_metric([pool, engine], number)
        return (counts, capacity, pairs, engines)


def _engines(replicas: Sequence[Replica]) -> Counter[str]:
    return Counter(replica.engine.id for replica in replicas if replica.engine is not None)
