"""Renders the context of a request into Prometheus metrics and a log line."""

from __future__ import annotations

import msgspec
from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest

from web.access_log import AccessLog
from web.request_context import RequestContext

SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.15, 0.2, 0.3, 0.5, 0.8, 1.5, 3.0, 6.0, 10.0)
SERVER_ERROR = 500
CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

_encoder = msgspec.json.Encoder()


class HttpMetrics:
    """Requests by route and status, and one JSON line for each."""

    def __init__(self, log: AccessLog) -> None:
        self._log = log
        self.registry = CollectorRegistry()
        self._requests = Counter(
            "wanneng_requests", "Requests answered.", ["route", "status"], registry=self.registry
        )
        self._seconds = Histogram(
            "wanneng_request_seconds",
            "From the first byte of a request to its answer.",
            ["route"],
            buckets=SECONDS,
            registry=self.registry,
        )
        self._series: dict[tuple[str, int], tuple[Counter, Histogram]] = {}

    def record(self, context: RequestContext) -> None:
        """Count one answered request and log it; `context.route` is a known path, so labels stay bounded."""
        key = (context.route, context.status)
        requests, seconds = self._series.get(key) or self._series.setdefault(
            key, (self._requests.labels(context.route, str(context.status)), self._seconds.labels(context.route))
        )
        requests.inc()
        seconds.observe(context.seconds)
        self._log.add(_encoder.encode(context), failed=context.status >= SERVER_ERROR)

    def exposition(self) -> bytes:
        """All metrics in Prometheus' text format."""
        return generate_latest(self.registry)
