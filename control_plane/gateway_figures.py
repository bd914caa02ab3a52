"""What a gateway tells of itself in its metrics, and what all tell together."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from itertools import chain

from msgspec import Struct, structs
from prometheus_client.parser import text_string_to_metric_families

MAX_COUNT = 2**53
"""Of anything that a gateway counts; whole numbers are exact so far, and sums of all gateways are JSON's."""
PREFIX = "wanneng_"
OUTCOMES = ("answered", "refused", "invalid", "failed")

Labels = Mapping[str, str]


class Figures(Struct, frozen=True):
    """Of one gateway, or summed: pairs in flight and the cache as they are now, the rest since its start."""

    pairs_in_flight: int = 0
    pairs_at_triton: int = 0
    """The others wait in the gateway."""
    cached_pairs: int = 0
    cache_bytes: int = 0
    cache_hits: int = 0
    """In memory or in Redis."""
    pairs_computed: int = 0
    pairs_from_cache: int = 0
    pairs_refused: int = 0
    """Beyond a bound in flight."""
    requests_answered: int = 0
    requests_refused: int = 0
    """429 and 503."""
    requests_invalid: int = 0
    requests_failed: int = 0
    budgets_exceeded: int = 0
    """Requests beyond a budget, whether it is enforced or not."""

    def __add__(self, other: Figures) -> Figures:
        return Figures(*map(sum, zip(structs.astuple(self), structs.astuple(other), strict=True)))


class PoolFigures(Struct, frozen=True):
    """Of one pool of Triton's replicas, at the gateway that sees the fewest of them answer."""

    pool: str
    answering: int
    ejected: int
    engines: dict[str, int]
    """Replicas by engine."""


class TenantFigures(Struct, frozen=True):
    """Since the gateways started; tenants beyond the first 100 of a gateway are `others` together."""

    tenant_id: str
    pairs: int
    answered: int
    refused: int
    invalid: int
    failed: int

    def __add__(self, other: TenantFigures) -> TenantFigures:
        return TenantFigures(self.tenant_id, *map(sum, zip(self._counts, other._counts, strict=True)))

    @property
    def _counts(self) -> Sequence[int]:
        return structs.astuple(self)[1:]


class Source(Struct, frozen=True):
    """One gateway."""

    url: str
    error: str | None
    """Why nothing is known of it; null: it answered, and what follows is known."""
    ready: bool | None = None
    workers: int | None = None
    redis_up: bool | None = None
    """null: it has none."""
    figures: Figures | None = None


class Answer(Struct, frozen=True):
    """What one gateway tells; nothing but the error where it does not answer."""

    source: Source
    pools: list[PoolFigures] = []
    tenants: list[TenantFigures] = []


class Overview(Struct, frozen=True):
    """Of all gateways that answered."""

    gateways: list[Source]
    total: Figures
    pools: list[PoolFigures]
    tenants: list[TenantFigures]


class Samples:
    """The samples of one gateway by name."""

    def __init__(self, exposition: str) -> None:
        # Comments are left out, so that samples keep their names.
        lines = [line for line in exposition.split("\n") if line.startswith(PREFIX)]
        self._by_name: dict[str, list[tuple[Labels, float]]] = defaultdict(list)
        for family in text_string_to_metric_families("\n".join(lines) + "\n"):
            for sample in family.samples:
                self._by_name[sample.name].append((sample.labels, sample.value))

    def of(self, name: str) -> Sequence[tuple[Labels, float]]:
        return self._by_name.get(f"{PREFIX}{name}", ())

    def sum(self, name: str, **labels: str) -> int:
        """Of those that have these labels."""
        return _count(sum(value for own, value in self.of(name) if labels.items() <= own.items()))

    def all(self, name: str) -> bool | None:
        """Whether it is 1 in every worker; None: there is no such metric."""
        values = [value for _, value in self.of(name)]
        return all(values) if values else None


def _count(value: float) -> int:
    """`ValueError` for what nobody counts to, such as NaN."""
    if not 0 <= value <= MAX_COUNT:
        raise ValueError(f"a count is {value}")
    return int(value)


def overview_of(answers: Sequence[Answer]) -> Overview:
    """The sums, and each pool at the gateway that sees the fewest of its replicas answer."""
    sources = [answer.source for answer in answers]
    total = sum((source.figures for source in sources if source.figures is not None), Figures())
    pools: dict[str, PoolFigures] = {}
    for pool in chain.from_iterable(answer.pools for answer in answers):
        if pool.pool not in pools or pool.answering < pools[pool.pool].answering:
            pools[pool.pool] = pool
    tenants: dict[str, TenantFigures] = {}
    for tenant in chain.from_iterable(answer.tenants for answer in answers):
        known = tenants.get(tenant.tenant_id)
        tenants[tenant.tenant_id] = tenant if known is None else known + tenant
    return Overview(
        sources, total, [pools[name] for name in sorted(pools)], [tenants[name] for name in sorted(tenants)]
    )


def answer_of(url: str, exposition: str) -> Answer:
    """`ValueError` or `KeyError` for what no gateway tells."""
    samples = Samples(exposition)
    source = Source(
        url,
        None,
        ready=samples.all("ready"),
        workers=len(samples.of("ready")),
        redis_up=samples.all("redis_up"),
        figures=_figures(samples),
    )
    return Answer(source, _pools(samples), _tenants(samples))


def _figures(samples: Samples) -> Figures:
    outcomes = (samples.sum("tenant_requests_total", outcome=outcome) for outcome in OUTCOMES)
    answered, refused, invalid, failed = outcomes
    return Figures(
        samples.sum("pairs_in_flight"),
        samples.sum("pairs_at_triton"),
        samples.sum("cache_pairs"),
        samples.sum("cache_bytes"),
        samples.sum("cache_lookups_total", result="hit"),
        samples.sum("pairs_total", source="computed"),
        samples.sum("pairs_total", source="cached"),
        samples.sum("pairs_refused_total"),
        answered,
        refused,
        invalid,
        failed,
        samples.sum("budget_exceeded_requests_total"),
    )


def _pools(samples: Samples) -> list[PoolFigures]:
    """Of each worker: a gateway of several has a series of each."""
    states: dict[tuple[str, str], Counter[str]] = defaultdict(Counter)
    engines: dict[tuple[str, str], Counter[str]] = defaultdict(Counter)
    for labels, value in samples.of("pool_replicas"):
        states[labels["pool"], labels.get("worker", "")][labels["state"]] = _count(value)
    for labels, value in samples.of("pool_engines"):
        engines[labels["pool"], labels.get("worker", "")][labels["engine"]] = _count(value)
    return [
        PoolFigures(pool, counts["answering"], counts["ejected"], dict(engines[pool, worker]))
        for (pool, worker), counts in states.items()
    ]


def _tenants(samples: Samples) -> list[TenantFigures]:
    pairs: defaultdict[str, float] = defaultdict(float)
    requests: defaultdict[tuple[str, str], float] = defaultdict(float)
    for labels, value in samples.of("tenant_pairs_total"):
        pairs[labels["tenant"]] += value
    for labels, value in samples.of("tenant_requests_total"):
        requests[labels["tenant"], labels["outcome"]] += value
    return [
        TenantFigures(each, _count(pairs[each]), *(_count(requests[each, outcome]) for outcome in OUTCOMES))
        for each in {*pairs, *(tenant for tenant, _ in requests)}
    ]
