"""What a scrape says of each pool."""

from __future__ import annotations

import time

from prometheus_client import CollectorRegistry, generate_latest

from gateway.addresses import Address, FixedAddresses
from gateway.errors import TritonUnavailable
from gateway.pool_metrics import PoolMetrics
from gateway.replicas import Replicas
from tests.fakes.classifier import FakeClassifier


def exposition(replicas: Replicas) -> set[str]:
    registry = CollectorRegistry()
    registry.register(PoolMetrics(replicas))
    return {line for line in generate_latest(registry).decode().splitlines() if not line.startswith("#")}


async def test_each_pool_tells_who_answers_what_they_can_do_and_with_which_engine() -> None:
    tritons = {name: FakeClassifier() for name in ("a", "b", "c")}
    addresses = [
        Address("a", "a10", 1.0),
        Address("b", "a100", 3.0),
        Address("c", "a100", 3.0),
    ]
    replicas = Replicas(FixedAddresses(addresses), tritons.__getitem__, time.monotonic)
    assert exposition(replicas) == set(), "nothing is known of anybody"
    tritons["c"].failure = TritonUnavailable("gone")
    await replicas.refresh()
    await replicas.check()
    replicas.known[1].outstanding_pairs = 7
    engine = (await tritons["a"].engine(1.0)).id
    assert exposition(replicas) == {
        'wanneng_pool_replicas{pool="a10",state="answering"} 1.0',
        'wanneng_pool_replicas{pool="a10",state="ejected"} 0.0',
        'wanneng_pool_replicas{pool="a100",state="answering"} 1.0',
        'wanneng_pool_replicas{pool="a100",state="ejected"} 1.0',
        'wanneng_pool_capacity{pool="a10"} 1.0',
        'wanneng_pool_capacity{pool="a100"} 3.0',
        'wanneng_pool_pairs{pool="a10"} 0.0',
        'wanneng_pool_pairs{pool="a100"} 7.0',
        f'wanneng_pool_engines{{engine="{engine}",pool="a10"}} 1.0',
        f'wanneng_pool_engines{{engine="{engine}",pool="a100"}} 1.0',
    }
