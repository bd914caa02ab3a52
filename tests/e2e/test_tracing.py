"""A real gateway process sends its spans to a collector."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import httpx
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from tests.e2e.replicas import GatewayProcess
from tests.e2e.server import Server
from tests.http_server import in_thread

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"


@contextmanager
def collector() -> Iterator[tuple[str, list[ExportTraceServiceRequest]]]:
    """The OTLP receiver of a collector, over HTTP."""
    received: list[ExportTraceServiceRequest] = []

    class Receiver(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            received.append(ExportTraceServiceRequest.FromString(body))
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, format: str, *arguments: object) -> None:  # noqa: A002 - the base class has it
            """Quiet."""

    with in_thread(HTTPServer(("127.0.0.1", 0), Receiver)) as server:
        yield f"http://127.0.0.1:{server.server_port}", received


def test_a_request_and_its_call_to_triton_reach_the_collector(server: Server, tmp_path: Path) -> None:
    with collector() as (endpoint, received):
        settings = {"WANNENG_OTLP_ENDPOINT": endpoint}
        gateway = GatewayProcess(f"http://{server.triton_http}", tmp_path, settings=settings)
        gateway.start()
        headers = {"traceparent": f"00-{TRACE}-00f067aa0ba902b7-01"}
        body = {"text": "手机坏了", "labels": "投诉,咨询"}
        answer = httpx.post(f"{gateway.url}/v1/classify", json=body, headers=headers, trust_env=False)
        assert answer.status_code == 200, answer.text
        gateway.stop()
    spans = [
        span
        for request in received
        for resource in request.resource_spans
        for scope in resource.scope_spans
        for span in scope.spans
    ]
    ours = {span.name: span for span in spans if span.trace_id.hex() == TRACE}
    assert set(ours) == {"POST /v1/classify", "infer zero_shot_logits"}
    assert ours["infer zero_shot_logits"].parent_span_id == ours["POST /v1/classify"].span_id
    assert "手机".encode() not in b"".join(request.SerializeToString() for request in received)
