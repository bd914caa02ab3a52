"""Spans, and what Triton hears of them."""

from __future__ import annotations

from typing import Any

import httpx
import pytest
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import StatusCode

from gateway.facts import Facts
from gateway.tracing import Tracing
from gateway.triton import Triton
from tests.gateway.test_api import gateway
from tests.gateway.test_triton import LOGITS, TOKENS, answer

TRACE, PARENT = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
TRACEPARENT = f"00-{TRACE}-{PARENT}-01"


async def heard_by_triton(tracing: Tracing, facts: Facts, traceparent: bytes | None) -> str | None:
    heard: list[httpx.Headers] = []

    def handle(request: httpx.Request) -> httpx.Response:
        heard.append(request.headers)
        return answer(LOGITS, TOKENS)

    async with httpx.AsyncClient(transport=httpx.MockTransport(handle)) as client:
        triton = Triton(client, "http://triton", tracing=tracing)
        with tracing.request(facts, traceparent):
            await triton.logits("手机", ["投诉", "咨询"], "{}", None, 1.0)
    return heard[0].get("traceparent")


async def test_without_a_collector_a_callers_traceparent_is_handed_on_as_it_came() -> None:
    facts = Facts("r", "POST", "/v1/classify")
    assert await heard_by_triton(Tracing(), facts, TRACEPARENT.encode()) == TRACEPARENT
    assert facts.trace_id == TRACE
    assert await heard_by_triton(Tracing(), Facts("r", "POST"), b"nonsense") is None


async def test_spans_hang_together_from_the_caller_to_triton_and_tell_no_text() -> None:
    exporter = InMemorySpanExporter()
    tracing = Tracing(exporter=exporter)
    facts = Facts("r-1", "POST", "/v1/classify", status=503, tenant_id="t_1", error_code="overloaded")
    heard = await heard_by_triton(tracing, facts, TRACEPARENT.encode())
    tracing.close()
    call, request = exporter.get_finished_spans()
    assert request.parent is not None
    assert call.parent is not None
    assert (f"{request.context.trace_id:032x}", f"{request.parent.span_id:016x}") == (TRACE, PARENT)
    assert call.parent.span_id == request.context.span_id
    assert heard == f"00-{TRACE}-{call.context.span_id:016x}-01"
    assert (request.name, call.name) == ("POST /v1/classify", "infer zero_shot_logits")
    assert request.status.status_code is StatusCode.ERROR
    told: dict[str, Any] = dict(request.attributes or {}) | dict(call.attributes or {})
    assert told["wanneng.request_id"] == "r-1"
    assert "手机" not in repr(told)


async def test_a_gateway_without_a_collector_logs_the_callers_trace() -> None:
    lines: list[bytes] = []
    async with gateway(lines=lines) as client:
        for headers in ({"traceparent": TRACEPARENT}, {}):
            body = {"text": "x", "labels": "y"}
            assert (await client.post("/v1/classify", json=body, headers=headers)).status_code == 200
    first, second = b"".join(lines).splitlines()
    assert TRACE.encode() in first
    assert b'"trace_id":null' in second


@pytest.mark.parametrize("given", [b"x" * 5_000, b"00-\xe9", b"", TRACEPARENT.encode() + b"-9"])
async def test_a_traceparent_that_is_none_does_no_harm(given: bytes) -> None:
    async with gateway() as client:
        body = {"text": "x", "labels": "y"}
        headers = [(b"traceparent", given)]
        assert (await client.post("/v1/classify", json=body, headers=headers)).status_code == 200
