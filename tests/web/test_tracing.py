"""Spans of requests and of upstream calls, and the header that joins them."""

from __future__ import annotations

from http.server import BaseHTTPRequestHandler, HTTPServer
from threading import Thread
from typing import Any

import pytest
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import StatusCode

from tests.fakes.control_plane_app import LOCAL, control_plane
from web.request_context import RequestContext
from web.tracing import Tracing

TRACE, PARENT = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
AS_LOCAL = [(name.encode(), value.encode()) for name, value in LOCAL.items()]
TRACEPARENT = f"00-{TRACE}-{PARENT}-01"


def sent_upstream(tracing: Tracing, context: RequestContext, traceparent: bytes | None) -> str | None:
    """The `traceparent` of a call within a request."""
    with tracing.request(context, traceparent), tracing.upstream_call("zero_shot_logits") as headers:
        return headers.get("traceparent")


def test_without_a_collector_a_callers_traceparent_is_passed_on_as_it_came() -> None:
    context = RequestContext("r", "POST", "/v1/classify")
    assert sent_upstream(Tracing(), context, TRACEPARENT.encode()) == TRACEPARENT
    assert context.trace_id == TRACE
    assert sent_upstream(Tracing(), RequestContext("r", "POST"), b"nonsense") is None


def test_spans_hang_together_from_the_caller_to_the_upstream_call() -> None:
    exporter = InMemorySpanExporter()
    tracing = Tracing(exporter=exporter)
    context = RequestContext("r-1", "POST", "/v1/classify", status=503, tenant_id="t_1", error_code="overloaded")
    traceparent = sent_upstream(tracing, context, TRACEPARENT.encode())
    tracing.close()
    call, request = exporter.get_finished_spans()
    assert request.parent is not None
    assert call.parent is not None
    assert (f"{request.context.trace_id:032x}", f"{request.parent.span_id:016x}") == (TRACE, PARENT)
    assert call.parent.span_id == request.context.span_id
    assert traceparent == f"00-{TRACE}-{call.context.span_id:016x}-01"
    assert (request.name, call.name) == ("POST /v1/classify", "infer zero_shot_logits")
    assert request.status.status_code is StatusCode.ERROR
    attributes: dict[str, Any] = dict(request.attributes or {}) | dict(call.attributes or {})
    assert attributes["wanneng.request_id"] == "r-1"
    assert attributes["wanneng.tenant_id"] == "t_1"


async def test_without_a_collector_the_callers_trace_is_logged() -> None:
    lines: list[bytes] = []
    async with control_plane(lines=lines, headers=LOCAL) as client:
        for headers in ({"traceparent": TRACEPARENT}, {}):
            assert (await client.get("/v1/files", headers=headers)).status_code == 200
    first, second = b"".join(lines).splitlines()
    assert TRACE.encode() in first
    assert b'"trace_id":null' in second


@pytest.mark.parametrize("given", [b"x" * 5_000, b"00-\xe9", b"", TRACEPARENT.encode() + b"-9"])
async def test_an_invalid_traceparent_does_no_harm(given: bytes) -> None:
    async with control_plane() as client:
        assert (await client.get("/v1/files", headers=[*AS_LOCAL, (b"traceparent", given)])).status_code == 200


def test_a_collector_of_this_machine_is_not_behind_the_proxy_of_the_environment(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    received = []

    class Collector(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            received.append(self.path)
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    collector = HTTPServer(("127.0.0.1", 0), Collector)
    thread = Thread(target=collector.handle_request)
    thread.start()
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    tracing = Tracing(f"http://127.0.0.1:{collector.server_port}")
    with tracing.request(RequestContext("r", "GET"), None):
        pass
    tracing.close()
    thread.join(10)
    collector.server_close()
    assert received == ["/v1/traces"]
