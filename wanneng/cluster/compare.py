"""Two models of a release side by side, as its gateways have counted: calls, their latency, and agreement."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass

from wanneng.cluster.gateway_metrics import samples


@dataclass(frozen=True, slots=True)
class PoolModel:
    """A pool and what it serves."""

    pool: str
    share: float | None
    """Of the requests; None: those that no pool with a share answers."""
    engines: frozenset[str]
    calls: int
    mean_call_s: float | None
    """None without a call."""


@dataclass(frozen=True, slots=True)
class Comparison:
    pools: tuple[PoolModel, ...]
    compared: int
    """Texts that two models have answered."""
    same: int
    """Those of them with the same best label."""

    @property
    def agreement(self) -> float | None:
        """None before a text was compared."""
        return self.same / self.compared if self.compared else None


def comparison_of(expositions: Iterable[str]) -> Comparison:
    """One exposition for each gateway. Counts are since its start, of engines that still answer."""
    shares: dict[str, float] = {}
    engines: dict[str, set[str]] = defaultdict(set)
    calls: dict[str, float] = defaultdict(float)
    seconds: dict[str, float] = defaultdict(float)
    texts: dict[tuple[str, str, str], float] = defaultdict(float)
    for exposition in expositions:
        for name, labels, value in samples(exposition):
            if name == "wanneng_pool_share":
                shares[labels["pool"]] = value
            elif name == "wanneng_pool_engines":
                engines[labels["pool"]].add(labels["engine"])
            elif name == "wanneng_pool_call_seconds_count":
                calls[labels["pool"]] += value
            elif name == "wanneng_pool_call_seconds_sum":
                seconds[labels["pool"]] += value
            elif name == "wanneng_compared_texts_total":
                texts[labels["engine"], labels["other"], labels["same_best_label"]] += value
    answering = frozenset().union(*engines.values())
    current = {key: count for key, count in texts.items() if {key[0], key[1]} <= answering}
    return Comparison(
        tuple(
            PoolModel(
                pool,
                shares.get(pool),
                frozenset(engines[pool]),
                int(calls[pool]),
                seconds[pool] / calls[pool] if calls[pool] else None,
            )
            for pool in sorted(engines)
        ),
        int(sum(current.values())),
        int(sum(count for (_, _, same), count in current.items() if same == "true")),
    )
