"""OpenTelemetry spans of requests and of upstream calls.

Without an endpoint nothing is recorded, and a caller's `traceparent` is passed on upstream as it came
(W3C Trace Context, https://www.w3.org/TR/trace-context/).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from urllib.parse import urlsplit

import requests
from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter
from opentelemetry.trace import NoOpTracer, SpanKind, Status, StatusCode, Tracer, format_trace_id, get_current_span
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from web.request_context import RequestContext
from web.settings import is_loopback

EXPORT_TIMEOUT_S = 5.0
SERVER_ERROR = 500
TRACEPARENT = b"traceparent"

_propagator = TraceContextTextMapPropagator()


class Tracing:
    """Sends spans to the OTLP collector at `endpoint`, such as `http://collector:4318`; nowhere without one."""

    def __init__(self, endpoint: str = "", exporter: SpanExporter | None = None, service: str = "wanneng") -> None:
        self._tracer: Tracer = NoOpTracer()
        self._provider: TracerProvider | None = None
        if endpoint:
            session = requests.Session()
            # A collector elsewhere may be behind the proxy of the environment, one of this machine never is.
            session.trust_env = not is_loopback(urlsplit(endpoint).hostname or "")
            url = f"{endpoint.rstrip('/')}/v1/traces"
            exporter = OTLPSpanExporter(url, timeout=EXPORT_TIMEOUT_S, session=session)
        if exporter is not None:
            self._provider = TracerProvider(resource=Resource({"service.name": service}), shutdown_on_exit=False)
            self._provider.add_span_processor(BatchSpanProcessor(exporter))
            self._tracer = self._provider.get_tracer(service)

    @property
    def records(self) -> bool:
        return self._provider is not None

    @contextmanager
    def request(self, context: RequestContext, traceparent: bytes | None) -> Iterator[None]:
        """The span of a request, under the caller's if it named one; its attributes are set at the end."""
        carrier = {} if traceparent is None else {"traceparent": traceparent.decode("latin-1")}
        parent = _propagator.extract(carrier, Context())
        with self._tracer.start_as_current_span(context.method, parent, SpanKind.SERVER) as span:
            span_context = span.get_span_context()
            context.trace_id = format_trace_id(span_context.trace_id) if span_context.is_valid else None
            yield
            span.update_name(f"{context.method} {context.route}")
            attributes = context.span_attributes()
            span.set_attributes({name: value for name, value in attributes.items() if value is not None})
            if context.status >= SERVER_ERROR:
                span.set_status(Status(StatusCode.ERROR))

    @contextmanager
    def upstream_call(self, model: str) -> Iterator[dict[str, str]]:
        """The span of a call to a model at Triton, and the headers that carry it there."""
        if not self.records:
            headers: dict[str, str] = {}
            _propagator.inject(headers)
            yield headers
            return
        with self._tracer.start_as_current_span(f"infer {model}", kind=SpanKind.CLIENT) as span:
            span.set_attribute("gen_ai.request.model", model)
            headers = {}
            _propagator.inject(headers)
            yield headers

    def link(self, headers: Mapping[str, str]) -> None:
        """Let the present span name the one that `headers` carry, which does its work too."""
        if self.records:
            other = get_current_span(_propagator.extract(headers, Context()))
            get_current_span().add_link(other.get_span_context())

    def close(self) -> None:
        """Send what is left; at most a few seconds."""
        if self._provider is not None:
            self._provider.shutdown()
