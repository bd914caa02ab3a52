"""Spans of requests and of calls to Triton, by OpenTelemetry. Knows nothing of what they are about.

Without an endpoint nothing is recorded, and a caller's `traceparent` is handed on to Triton as it came
(W3C Trace Context, https://www.w3.org/TR/trace-context/).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter
from opentelemetry.trace import NoOpTracer, SpanKind, Status, StatusCode, Tracer, format_trace_id
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from gateway.facts import Facts

SERVICE = "wanneng-gateway"
EXPORT_TIMEOUT_S = 5.0
SERVER_ERROR = 500
TRACEPARENT = b"traceparent"

_propagator = TraceContextTextMapPropagator()


class Tracing:
    """Sends spans to the OTLP collector at `endpoint`, such as `http://collector:4318`; nowhere without one."""

    def __init__(self, endpoint: str = "", exporter: SpanExporter | None = None) -> None:
        self._tracer: Tracer = NoOpTracer()
        self._provider: TracerProvider | None = None
        if endpoint:
            exporter = OTLPSpanExporter(f"{endpoint.rstrip('/')}/v1/traces", timeout=EXPORT_TIMEOUT_S)
        if exporter is not None:
            self._provider = TracerProvider(resource=Resource({"service.name": SERVICE}), shutdown_on_exit=False)
            self._provider.add_span_processor(BatchSpanProcessor(exporter))
            self._tracer = self._provider.get_tracer("wanneng.gateway")

    @property
    def records(self) -> bool:
        return self._provider is not None

    @contextmanager
    def request(self, facts: Facts, traceparent: bytes | None) -> Iterator[None]:
        """The span of a request, under the caller's if it named one; its facts are told at the end."""
        carrier = {} if traceparent is None else {"traceparent": traceparent.decode("latin-1")}
        parent = _propagator.extract(carrier, Context())
        with self._tracer.start_as_current_span(facts.method, parent, SpanKind.SERVER) as span:
            context = span.get_span_context()
            facts.trace_id = format_trace_id(context.trace_id) if context.is_valid else None
            yield
            span.update_name(f"{facts.method} {facts.route}")
            told: dict[str, str | int | None] = {
                "http.request.method": facts.method,
                "http.route": facts.route,
                "http.response.status_code": facts.status,
                "wanneng.request_id": facts.request_id,
                "wanneng.tenant_id": facts.tenant_id,
                "wanneng.pairs_computed": facts.pairs_computed,
                "wanneng.pairs_cached": facts.pairs_cached,
                "error.type": facts.error_code,
            }
            span.set_attributes({name: value for name, value in told.items() if value is not None})
            if facts.status >= SERVER_ERROR:
                span.set_status(Status(StatusCode.ERROR))

    @contextmanager
    def call(self, model: str) -> Iterator[dict[str, str]]:
        """The span of a call to a model of Triton's, and the headers that tell Triton of it."""
        with self._tracer.start_as_current_span(f"infer {model}", kind=SpanKind.CLIENT) as span:
            span.set_attribute("gen_ai.request.model", model)
            headers: dict[str, str] = {}
            _propagator.inject(headers)
            yield headers

    def close(self) -> None:
        """Send what is left; at most a few seconds."""
        if self._provider is not None:
            self._provider.shutdown()
