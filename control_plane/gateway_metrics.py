"""What the gateways do at present, from the metrics that each of them serves: nothing is counted twice."""

from __future__ import annotations

import asyncio
import socket
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from itertools import chain
from typing import Protocol
from urllib.parse import urlsplit

import httpx
from msgspec import Struct, structs
from prometheus_client.parser import text_string_to_metric_families

from control_plane.settings import SettingsError
from stores.errors import NotAvailable
from web.background import start_shared
from web.connection_causes import connection_cause

DNS = "dns+"
"""Before a URL whose host has an address for each gateway, such as a headless Service."""
SETTING = "WANNENG_GATEWAY_METRICS_URL"
MAX_GATEWAYS = 100
TIMEOUT_S = 2.0
"""For all that is asked of one gateway; they are asked at once."""
MAX_BYTES = 8_000_000
"""Of the metrics of one gateway."""
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
        return int(sum(value for own, value in self.of(name) if labels.items() <= own.items()))

    def all(self, name: str) -> bool | None:
        """Whether it is 1 in every worker; None: there is no such metric."""
        values = [value for _, value in self.of(name)]
        return all(values) if values else None


class GatewayMetrics(Protocol):
    """The port of whatever asks the gateways."""

    async def overview(self) -> Overview:
        """`NotAvailable` where none is known."""
        ...


class HttpGatewayMetrics:
    """A `GatewayMetrics` of the addresses in `setting`; several who ask at once share one answer."""

    def __init__(self, http: httpx.AsyncClient, setting: str) -> None:
        self._http = http
        self._entries = [_checked(entry.strip()) for entry in setting.split(",") if entry.strip()]
        self._collecting: asyncio.Task[Overview] | None = None

    async def overview(self) -> Overview:
        if not self._entries:
            raise NotAvailable(f"the gateways are not known here: set {SETTING} at the control plane")
        if self._collecting is None or self._collecting.done():
            self._collecting = start_shared(self._collect())
        return await asyncio.shield(self._collecting)

    async def _collect(self) -> Overview:
        found = chain(*await asyncio.gather(*map(self._addresses, self._entries)))
        sources = list({source.url: source for source in found}.values())
        asked = [source for source in sources if source.error is None][:MAX_GATEWAYS]
        answers = dict(
            zip((source.url for source in asked), await asyncio.gather(*map(self._ask, asked)), strict=True)
        )
        unasked = f"not asked: only the first {MAX_GATEWAYS} gateways are"
        told = [
            answers.get(source.url) or (source if source.error else structs.replace(source, error=unasked), None)
            for source in sources
        ]
        samples = [each for _, each in told if each is not None]
        return await asyncio.to_thread(_overview, [source for source, _ in told], samples)

    async def _addresses(self, entry: str) -> Sequence[Source]:
        if not entry.startswith(DNS):
            return [Source(entry, None)]
        parts = urlsplit(entry.removeprefix(DNS))
        name, port = parts.hostname or "", parts.port or 80
        try:
            async with asyncio.timeout(TIMEOUT_S):
                resolved = await asyncio.get_running_loop().getaddrinfo(name, port, type=socket.SOCK_STREAM)
        except (OSError, TimeoutError):
            return [Source(entry, "its name cannot be resolved")]
        hosts = sorted({str(address[4][0]) for address in resolved})
        urls = (f"{parts.scheme}://{f'[{host}]' if ':' in host else host}:{port}" for host in hosts)
        return [Source(url, None) for url in urls]

    async def _ask(self, source: Source) -> tuple[Source, Samples | None]:
        try:
            async with asyncio.timeout(TIMEOUT_S):
                samples = await asyncio.to_thread(Samples, await self._exposition(source.url))
        except (httpx.ConnectError, httpx.ConnectTimeout) as error:
            # The transport has one kind for a connection that was refused and for one that took too long.
            return structs.replace(source, error=f"it does not answer, {connection_cause(error)}"), None
        except (TimeoutError, httpx.TimeoutException):
            return structs.replace(source, error=f"it does not answer within {TIMEOUT_S:g} s"), None
        except (httpx.HTTPError, ValueError) as error:
            return structs.replace(source, error=f"its metrics cannot be read, {error}"), None
        answered = structs.replace(
            source,
            ready=samples.all("ready"),
            workers=len(samples.of("ready")),
            redis_up=samples.all("redis_up"),
            figures=_figures(samples),
        )
        return answered, samples

    async def _exposition(self, url: str) -> str:
        """`ValueError` for what is no exposition."""
        content = bytearray()
        async with self._http.stream("GET", f"{url}/metrics", timeout=TIMEOUT_S) as response:
            if response.status_code != httpx.codes.OK:
                raise ValueError(f"the answer was {response.status_code}")
            async for chunk in response.aiter_bytes():
                content += chunk
                if len(content) > MAX_BYTES:
                    raise ValueError(f"they have more than {MAX_BYTES} bytes")
        return content.decode()


def _checked(entry: str) -> str:
    """The entry without a `/` at its end; `SettingsError` where it is no address."""
    try:
        parts = urlsplit(entry)
        # A port beyond 65535 is a `ValueError`.
        if parts.scheme.removeprefix(DNS) in ("http", "https") and parts.hostname and parts.port != 0:
            return entry.rstrip("/")
    except ValueError:
        pass
    raise SettingsError(f"{SETTING}: {entry!r} is not like http://host:8080 or dns+http://name:8090")


def _overview(sources: list[Source], answered: Sequence[Samples]) -> Overview:
    total = sum((source.figures for source in sources if source.figures is not None), Figures())
    return Overview(sources, total, _pools(answered), _tenants(answered))


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


def _pools(answered: Sequence[Samples]) -> list[PoolFigures]:
    seen: dict[str, PoolFigures] = {}
    for samples in answered:
        states: dict[tuple[str, str], Counter[str]] = defaultdict(Counter)
        engines: dict[tuple[str, str], Counter[str]] = defaultdict(Counter)
        # A gateway of several workers has a series of each.
        for labels, value in samples.of("pool_replicas"):
            states[labels["pool"], labels.get("worker", "")][labels["state"]] = int(value)
        for labels, value in samples.of("pool_engines"):
            engines[labels["pool"], labels.get("worker", "")][labels["engine"]] = int(value)
        for (pool, worker), counts in states.items():
            figures = PoolFigures(pool, counts["answering"], counts["ejected"], dict(engines[pool, worker]))
            if pool not in seen or figures.answering < seen[pool].answering:
                seen[pool] = figures
    return [seen[pool] for pool in sorted(seen)]


def _tenants(answered: Sequence[Samples]) -> list[TenantFigures]:
    pairs: Counter[str] = Counter()
    requests: Counter[tuple[str, str]] = Counter()
    for samples in answered:
        for labels, value in samples.of("tenant_pairs_total"):
            pairs[labels["tenant"]] += int(value)
        for labels, value in samples.of("tenant_requests_total"):
            requests[labels["tenant"], labels["outcome"]] += int(value)
    tenants = sorted({*pairs, *(tenant for tenant, _ in requests)})
    return [
        TenantFigures(each, pairs[each], *(requests[each, outcome] for outcome in OUTCOMES)) for each in tenants
    ]
