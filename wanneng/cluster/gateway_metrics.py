"""Adds up what the gateways of a release report in Prometheus' text format."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

_SAMPLE = re.compile(r"(?P<name>[a-zA-Z_:][\w:]*)(?:\{(?P<labels>.*)\})? (?P<value>\S+)")
_LABEL = re.compile(r'(\w+)="((?:[^"\\]|\\.)*)"')


@dataclass(frozen=True, slots=True)
class GatewayMetrics:
    """Of all gateways together."""

    answering: int
    """Gateways whose metrics could be read."""
    pairs_in_flight: int
    pairs_at_triton: int
    cached_pairs: int
    without_redis: int
    """Gateways that do not reach Redis."""
    invalid_tenants_files: int
    """Gateways that cannot use their file of tenants."""
    replicas: Mapping[str, tuple[int, int]]
    """By pool: replicas that answer and that are ejected, at the worker of a gateway where fewest answer."""
    engines: Mapping[str, frozenset[str]]
    """By pool."""


@dataclass(frozen=True, slots=True)
class Batches:
    """Of all tenants, as the control plane counts them."""

    unfinished: int
    oldest_s: float
    """Age of the oldest unfinished one."""


NO_BATCHES = Batches(0, 0.0)


def batches_of(expositions: Iterable[str]) -> Batches:
    """One exposition for each control plane; they count in the same database."""
    found = {name: value for exposition in expositions for name, _, value in samples(exposition)}
    return Batches(
        int(found.get("wanneng_batches_unfinished", 0)), found.get("wanneng_oldest_batch_age_seconds", 0.0)
    )


def aggregate(expositions: Iterable[str]) -> GatewayMetrics:
    """One exposition for each gateway; empty for a gateway that did not answer."""
    sums: dict[str, float] = defaultdict(float)
    zeros: dict[str, int] = defaultdict(int)
    replicas: dict[str, tuple[int, int]] = {}
    engines: dict[str, set[str]] = defaultdict(set)
    answering = 0
    for exposition in expositions:
        answering += bool(exposition)
        # A gateway of several workers has a series of each.
        pool_states: dict[tuple[str, str], dict[str, int]] = defaultdict(dict)
        zeros_here: set[str] = set()
        for name, labels, value in samples(exposition):
            sums[name] += value
            if value == 0:
                zeros_here.add(name)
            if name == "wanneng_pool_replicas":
                pool_states[labels["pool"], labels.get("worker", "")][labels["state"]] = int(value)
            if name == "wanneng_pool_engines":
                engines[labels["pool"]].add(labels["engine"])
        for name in zeros_here:
            zeros[name] += 1
        for (pool, _), states in pool_states.items():
            counts = (states.get("answering", 0), states.get("ejected", 0))
            replicas[pool] = min(replicas.get(pool, counts), counts)
    return GatewayMetrics(
        answering,
        int(sums["wanneng_pairs_in_flight"]),
        int(sums["wanneng_pairs_at_triton"]),
        int(sums["wanneng_cache_pairs"]),
        zeros["wanneng_redis_up"],
        zeros["wanneng_tenants_file_valid"],
        replicas,
        {pool: frozenset(names) for pool, names in engines.items()},
    )


def samples(exposition: str) -> Iterable[tuple[str, dict[str, str], float]]:
    """Name, labels and value of each."""
    for line in exposition.splitlines():
        sample = _SAMPLE.fullmatch(line)
        if sample is not None:
            yield sample["name"], dict(_LABEL.findall(sample["labels"] or "")), float(sample["value"])
