"""What a scrape says of each pool."""

from __future__ import annotations

import asyncio

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import Metric
from prometheus_client.registry import Collector

from gateway.errors import TritonUnavailable
from gateway.observability.pool_metrics import pool_metrics
from gateway.triton.discovery import Address, AddressList
from gateway.triton.load_balancer import LoadBalancer
from tests.fakes.backend import FakeBackend


class Pools(Collector):
    def __init__(self, load_balancer: LoadBalancer) -> None:
        self._load_balancer = load_balancer

    def collect(self) -> list[Metric]:
        return pool_metrics(self._load_balancer)


def exposition(load_balancer: LoadBalancer) -> set[str]:
    registry = CollectorRegistry()
    registry.register(Pools(load_balancer))
    return {line for line in generate_latest(registry).decode().splitlines() if not line.startswith("#")}


async def test_each_pool_tells_who_answers_what_they_can_do_and_with_which_engine() -> None:
    backends = {name: FakeBackend() for name in ("a", "b", "c")}
    addresses = [
        Address("a", "a10", 1.0),
        Address("b", "a100", 3.0),
        Address("c", "a100", 3.0),
    ]
    load_balancer = LoadBalancer(AddressList(addresses), backends.__getitem__)
    assert exposition(load_balancer) == set(), "nothing is known of anybody"
    backends["c"].failure = TritonUnavailable("gone")
    await load_balancer.refresh()
    await asyncio.gather(*load_balancer.start_checks())
    load_balancer.replicas[1].outstanding_pairs = 7
    engine = (await backends["a"].engine(1.0)).id
    assert exposition(load_balancer) == {
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
