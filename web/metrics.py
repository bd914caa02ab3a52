"""Renders the context of a request into Prometheus metrics and a log line."""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Iterable, Mapping
from itertools import accumulate
from typing import Any

import msgspec
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from web.access_log import AccessLog
from web.loop_lag import LoopLag
from web.request_context import RequestContext
from web.worker_metrics import WorkerMetrics

SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.15, 0.2, 0.3, 0.5, 0.8, 1.5, 3.0, 6.0, 10.0)
SERVER_ERROR = 500
CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

_encoder = msgspec.json.Encoder()


class Durations:
    """A histogram in plain numbers: prometheus_client's own takes ten times as long for a value."""

    def __init__(self) -> None:
        self._counts = [0] * (len(SECONDS) + 1)
        self._sum = 0.0

    def observe(self, seconds: float) -> None:
        self._counts[bisect_left(SECONDS, seconds)] += 1
        self._sum += seconds

    def values(self) -> tuple[list[tuple[str, int]], float]:
        """How many took no longer than each bound, and the sum of all."""
        bounds = [*map(str, SECONDS), "+Inf"]
        return list(zip(bounds, accumulate(self._counts), strict=True)), self._sum


Value = float | Durations
Kind = type[CounterMetricFamily] | type[GaugeMetricFamily] | type[HistogramMetricFamily]


def family(kind: Kind, name: str, documentation: str, values: Value | Mapping[Any, Value], *labels: str) -> Metric:
    """A metric; `values` are by that of the only label, or by a tuple of those of all, or one without labels."""
    metric = kind(name, documentation, labels=labels)
    add: Any = metric.add_metric
    for key, value in values.items() if isinstance(values, Mapping) else [((), values)]:
        of_labels = [key] if isinstance(key, str) else [*map(_label, key)]
        add(of_labels, *(value.values() if isinstance(value, Durations) else (float(value),)))
    return metric


def _label(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


class HttpMetrics(Collector):
    """Requests by route and status, and one JSON line for each; counted in plain numbers, without locks."""

    def __init__(self, log: AccessLog) -> None:
        self._log = log
        self.registry = CollectorRegistry()
        self.registry.register(self)
        self.loop_lag = LoopLag(self.registry)
        self.workers: WorkerMetrics | None = None
        """Where several processes serve together."""
        self._requests: Counter[tuple[str, int]] = Counter()
        self._seconds: dict[str, Durations] = {}

    def record(self, context: RequestContext) -> None:
        """Count one answered request and log it; `context.route` is a known path, so labels stay bounded."""
        self._requests[context.route, context.status] += 1
        seconds = self._seconds.get(context.route) or self._seconds.setdefault(context.route, Durations())
        seconds.observe(context.seconds)
        self._log.add(_encoder.encode(context), failed=context.status >= SERVER_ERROR)

    def collect(self) -> Iterable[Metric]:
        counter, histogram = CounterMetricFamily, HistogramMetricFamily
        told = "From the first byte of a request to its answer."
        return [
            family(counter, "wanneng_requests", "Requests answered.", self._requests, "route", "status"),
            family(histogram, "wanneng_request_seconds", told, self._seconds, "route"),
        ]

    async def exposition(self) -> bytes:
        """All metrics in Prometheus' text format."""
        return generate_latest(self.registry) if self.workers is None else await self.workers.exposition()
