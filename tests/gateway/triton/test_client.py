"""Triton's client against a server that misbehaves, in the place of the network."""

from __future__ import annotations

import json
import struct
import time
from typing import Any

import httpx
import numpy as np
import pytest
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from gateway.errors import (
    DeadlineExceeded,
    ModelNotLoaded,
    NothingToRead,
    TritonFailed,
    TritonRejected,
    TritonUnavailable,
)
from gateway.triton.backend import LOWEST_PRIORITY, InferenceCall, PairLogits
from gateway.triton.client import CONNECT_TIMEOUT_S, TritonClient
from gateway.triton.kserve import HEADER_LENGTH
from stores.errors import InvalidRequest, ServiceError
from tests.fakes.triton import LOGITS, TOKENS, logits_response
from web.request_context import RequestContext
from web.tracing import Tracing

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
TRACEPARENT = f"00-{TRACE}-00f067aa0ba902b7-01"


def call(
    text: str = "手机", max_tokens: int | None = None, *, in_s: float = 1.0, priority: int = 0
) -> InferenceCall:
    return InferenceCall(text, ["投诉", "咨询"], "{}", max_tokens, time.monotonic() + in_s, priority)


async def ask(reply: httpx.Response | Exception, in_s: float = 1.0) -> PairLogits:
    def handle(request: httpx.Request) -> httpx.Response:
        if isinstance(reply, Exception):
            raise reply
        return reply

    async with httpx.AsyncClient(transport=httpx.MockTransport(handle)) as client:
        return await TritonClient(client, "http://triton").logits(call(in_s=in_s))


async def test_a_good_answer_is_taken() -> None:
    pairs = await ask(logits_response())
    assert (pairs.logits.shape, pairs.engine.id) == ((2, 3), "e")


@pytest.mark.parametrize(
    ("reply", "error"),
    [
        (httpx.ConnectError("refused"), TritonUnavailable),
        (httpx.ConnectTimeout("lost"), TritonUnavailable),
        (httpx.ReadError("reset"), TritonUnavailable),
        (httpx.RemoteProtocolError("closed"), TritonUnavailable),
        (httpx.ReadTimeout("slow"), DeadlineExceeded),
        (httpx.PoolTimeout("full"), DeadlineExceeded),
        (httpx.Response(503, json={"error": "queue full"}), TritonUnavailable),
        (httpx.Response(404, json={"error": "unknown model"}), ModelNotLoaded),
        (httpx.Response(500, json={"error": "broken"}), TritonFailed),
        (httpx.Response(400, content=b"<html>"), TritonRejected),
        (httpx.Response(400, json={"error": "in ensemble 'z', token_limit: 600, 8 to 512"}), InvalidRequest),
        (httpx.Response(200, content=b"garbage", headers={HEADER_LENGTH: "3"}), TritonFailed),
        (httpx.Response(200, content=b""), TritonFailed),
        (logits_response(LOGITS[:1]), TritonFailed),
        (logits_response(unknown=np.zeros((1, 2), np.float32)), TritonFailed),
        (logits_response(LOGITS * np.float32(np.nan)), TritonFailed),
    ],
)
async def test_every_failure_has_its_error(reply: httpx.Response | Exception, error: type[ServiceError]) -> None:
    with pytest.raises(error) as failure:
        await ask(reply)
    assert type(failure.value) is error


@pytest.mark.parametrize(
    ("words", "labels"), [("nothing_to_read: text", []), ("nothing_to_read: labels 0,12", [0, 12])]
)
async def test_what_has_no_token_is_told_apart(words: str, labels: list[int]) -> None:
    with pytest.raises(NothingToRead) as refused:
        await ask(httpx.Response(400, json={"error": f"in ensemble 'z', {words}"}))
    assert refused.value.labels == labels


async def test_a_replica_that_tells_no_unknown_tokens_is_understood() -> None:
    """In a roll-out, the gateway may be newer than a replica."""
    assert (await ask(logits_response())).unknown.tolist() == [[0, 0], [0, 0]]
    told = await ask(logits_response(unknown=np.array([[0.5, 0], [0.5, 1]], np.float32)))
    assert told.unknown.tolist() == [[0.5, 0], [0.5, 1]]


@pytest.mark.parametrize("words", ["Request timeout expired", "Exceeds maximum queue size", "it is late"])
@pytest.mark.parametrize(("in_s", "error"), [(0.0, DeadlineExceeded), (1.0, TritonUnavailable)])
async def test_a_503_is_a_wait_that_was_too_long_only_near_the_deadline(
    words: str, in_s: float, error: type[ServiceError]
) -> None:
    with pytest.raises(error):
        await ask(httpx.Response(503, json={"error": words}), in_s)


@pytest.mark.parametrize("status", [400, 500])
@pytest.mark.parametrize(
    "before", ["", "in ensemble 'zero_shot_logits', ", "in ensemble 'x', Failed to process: "]
)
async def test_a_code_acts_wherever_triton_puts_its_own_words_before_it(status: int, before: str) -> None:
    refusal = {"error": f"{before}token_limit: 600 is outside 8 to 512\nTraceback"}
    with pytest.raises(InvalidRequest) as refused:
        await ask(httpx.Response(status, json=refusal))
    assert (refused.value.field, str(refused.value)) == ("max_tokens", "max_tokens: 600 is outside 8 to 512")


@pytest.mark.parametrize(
    "words",
    [
        "in ensemble 'z', max_tokens: 600, 8 to 512",
        "pad_to: a pair has 100 tokens, 32 were asked for",
        "Stub process 'expand_0_0' is not healthy.",
        "Request timeout expired",
        "token_limit exceeded",
        "first\ntoken_limit: 600",
    ],
)
async def test_no_words_act(words: str) -> None:
    for status, error in ((400, TritonRejected), (500, TritonFailed)):
        with pytest.raises(error) as failure:
            await ask(httpx.Response(status, json={"error": words}))
        assert type(failure.value) is error


async def test_a_call_waits_for_its_answer_until_its_deadline_and_triton_knows_how_long() -> None:
    """A batch line waits in Triton's queue for longer than the gateway's own deadline."""
    seen: list[tuple[dict[str, float], dict[str, int]]] = []

    def handle(request: httpx.Request) -> httpx.Response:
        header = json.loads(request.content[: int(request.headers[HEADER_LENGTH])])
        seen.append((request.extensions["timeout"], header["parameters"]))
        return logits_response()

    async with httpx.AsyncClient(transport=httpx.MockTransport(handle)) as client:
        await TritonClient(client, "http://triton").logits(call(in_s=60.0, priority=LOWEST_PRIORITY))
    ((timeout, parameters),) = seen
    assert timeout["connect"] == CONNECT_TIMEOUT_S
    assert timeout["read"] == pytest.approx(60.0, abs=5)
    assert parameters["timeout"] == pytest.approx(60e6, abs=5e6)
    assert parameters["priority"] == 3


@pytest.mark.parametrize(("buckets", "model"), [((), "zero_shot_logits"), ((64, 32), "zero_shot_logits_s32")])
async def test_a_probe_is_an_inference_before_all_others(buckets: tuple[int, ...], model: str) -> None:
    asked: list[tuple[str, int]] = []

    def handle(request: httpx.Request) -> httpx.Response:
        header = json.loads(request.content[: int(request.headers[HEADER_LENGTH])])
        asked.append((request.url.path.split("/")[3], header["parameters"]["priority"]))
        return logits_response(LOGITS[:1], TOKENS[:1])

    async with httpx.AsyncClient(transport=httpx.MockTransport(handle)) as client:
        engine = await TritonClient(client, "http://triton", tuple(sorted(buckets))).probe(1.0)
    assert (asked, engine.id) == ([(model, 1)], "e")


async def test_only_the_first_line_of_tritons_words_is_passed_on() -> None:
    with pytest.raises(TritonFailed) as failure:
        await ask(httpx.Response(500, json={"error": "it broke\nTraceback: secret"}))
    assert "secret" not in str(failure.value)


class Buckets:
    """Triton with length buckets: `expand` refuses a call whose `pad_to` is below `needed`, and says `said`."""

    def __init__(self, needed: int, said: str = "in ensemble 'x', pair_too_long: a pair has {} tokens") -> None:
        self.needed = needed
        self.said = said
        self.models: list[str] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        model = request.url.path.split("/")[3]
        self.models.append(model)
        pad_to = int(model.rpartition("_s")[2])
        assert struct.pack("<i", pad_to) in request.content
        if pad_to < self.needed:
            return httpx.Response(400, json={"error": self.said.format(self.needed)})
        return logits_response()

    async def ask(self, text: str, max_tokens: int | None = None) -> PairLogits:
        transport = httpx.MockTransport(self)
        async with httpx.AsyncClient(transport=transport) as client:
            triton = TritonClient(client, "http://triton", (32, 64, 128))
            return await triton.logits(call(text, max_tokens))


@pytest.mark.parametrize(
    ("text", "max_tokens", "bucket"),
    [("手机", None, 32), ("手" * 40, None, 64), ("手" * 500, None, 128), ("手" * 500, 50, 64)],
)
async def test_the_shortest_bucket_is_asked(text: str, max_tokens: int | None, bucket: int) -> None:
    triton = Buckets(needed=1)
    await triton.ask(text, max_tokens)
    assert triton.models == [f"zero_shot_logits_s{bucket}"]


@pytest.mark.parametrize("before", ["", "in ensemble 'x', "])
async def test_a_pair_that_does_not_fit_goes_one_bucket_up(before: str) -> None:
    triton = Buckets(100, before + "pair_too_long: a pair has {} tokens")
    pairs = await triton.ask("手机")
    assert triton.models == ["zero_shot_logits_s32", "zero_shot_logits_s64", "zero_shot_logits_s128"]
    assert pairs.engine.id == "e"


async def test_a_pair_beyond_the_longest_bucket_is_an_error_that_names_it() -> None:
    triton = Buckets(needed=300)
    with pytest.raises(TritonFailed, match="longer than the longest length bucket, 128 tokens"):
        await triton.ask("手" * 500)
    assert triton.models == ["zero_shot_logits_s128"]


async def test_words_without_a_code_try_no_other_bucket() -> None:
    triton = Buckets(100, "in ensemble 'x', pad_to: a pair has {} tokens, 32 were asked for")
    with pytest.raises(TritonRejected):
        await triton.ask("手机")
    assert triton.models == ["zero_shot_logits_s32"]


async def headers_at_triton(tracing: Tracing, context: RequestContext, traceparent: bytes) -> httpx.Headers:
    """Of a call within the request that `traceparent` came with."""
    received: list[httpx.Headers] = []

    def handle(request: httpx.Request) -> httpx.Response:
        received.append(request.headers)
        return logits_response()

    async with httpx.AsyncClient(transport=httpx.MockTransport(handle)) as client:
        triton = TritonClient(client, "http://triton", tracing=tracing)
        with tracing.request(context, traceparent):
            await triton.logits(call())
    return received[0]


async def test_triton_hears_of_the_callers_trace_though_nothing_is_recorded() -> None:
    context = RequestContext("r", "POST", "/v1/classify")
    headers = await headers_at_triton(Tracing(), context, TRACEPARENT.encode())
    assert headers["traceparent"] == TRACEPARENT
    headers = await headers_at_triton(Tracing(), context, b"nonsense")
    assert "traceparent" not in headers


async def test_the_span_of_a_call_hangs_below_its_request_and_tells_no_text() -> None:
    exporter = InMemorySpanExporter()
    tracing = Tracing(exporter=exporter)
    headers = await headers_at_triton(tracing, RequestContext("r-1", "POST", "/v1/classify"), TRACEPARENT.encode())
    tracing.close()
    span, request = exporter.get_finished_spans()
    assert span.parent is not None
    assert span.parent.span_id == request.context.span_id
    assert headers["traceparent"] == f"00-{TRACE}-{span.context.span_id:016x}-01"
    assert span.name == "infer zero_shot_logits"
    told: dict[str, Any] = dict(request.attributes or {}) | dict(span.attributes or {})
    assert told["wanneng.request_id"] == "r-1"
    assert "手机" not in repr(told)
