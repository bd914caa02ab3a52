"""Reads what gateways say of themselves in Prometheus' text format. Asks nobody."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

_SAMPLE = re.compile(r"(?P<name>[a-zA-Z_:][\w:]*)(?:\{(?P<labels>.*)\})? (?P<value>\S+)")
_LABEL = re.compile(r'(\w+)="((?:[^"\\]|\\.)*)"')


@dataclass(frozen=True, slots=True)
class Sight:
    """What all gateways together see."""

    answering: int
    """Gateways whose metrics could be read."""
    pairs_in_flight: int
    pairs_at_triton: int
    cached_pairs: int
    shared_down: int
    """Gateways that do not reach Redis."""
    unsound: int
    """Gateways that cannot use the declared tenants."""
    replicas: Mapping[str, tuple[int, int]]
    """By pool: replicas that answer and that do not, as the gateway sees it that sees fewest."""
    engines: Mapping[str, frozenset[str]]
    """By pool."""


def sight(texts: Iterable[str]) -> Sight:
    """One text of metrics for each gateway; an empty one is a gateway that did not answer."""
    sums: dict[str, float] = defaultdict(float)
    zeros: dict[str, int] = defaultdict(int)
    replicas: dict[str, tuple[int, int]] = {}
    engines: dict[str, set[str]] = defaultdict(set)
    answering = 0
    for text in texts:
        answering += bool(text)
        states: dict[str, dict[str, int]] = defaultdict(dict)
        for name, labels, value in _samples(text):
            sums[name] += value
            zeros[name] += value == 0
            if name == "wanneng_pool_replicas":
                states[labels["pool"]][labels["state"]] = int(value)
            if name == "wanneng_pool_engines":
                engines[labels["pool"]].add(labels["engine"])
        for pool, by_state in states.items():
            seen = (by_state.get("answering", 0), by_state.get("ejected", 0))
            replicas[pool] = min(replicas.get(pool, seen), seen)
    return Sight(
        answering,
        int(sums["wanneng_pairs_in_flight"]),
        int(sums["wanneng_pairs_at_triton"]),
        int(sums["wanneng_cache_pairs"]),
        zeros["wanneng_shared_up"],
        zeros["wanneng_declaration_sound"],
        replicas,
        {pool: frozenset(found) for pool, found in engines.items()},
    )


def _samples(text: str) -> Iterable[tuple[str, dict[str, str], float]]:
    for line in text.splitlines():
        found = _SAMPLE.fullmatch(line)
        if found is not None:
            yield found["name"], dict(_LABEL.findall(found["labels"] or "")), float(found["value"])
