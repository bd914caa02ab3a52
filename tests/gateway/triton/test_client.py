"""Triton's client against a server that misbehaves, in the place of the network."""

from __future__ import annotations

import json
import struct
from typing import Any

import httpx
import numpy as np
import pytest
from msgspec import structs

from gateway.errors import (
    DeadlineExceeded,
    ModelNotLoaded,
    NothingToRead,
    TritonFailed,
    TritonRejected,
    TritonUnavailable,
)
from gateway.triton.backend import InferenceCall, Pair, PairLogits
from gateway.triton.client import CONNECT_TIMEOUT_S, PairTooLong, TritonClient
from gateway.triton.length_buckets import bucket_of
from stores.errors import InvalidRequest, ServiceError
from tests.fakes.backend import inference_call
from tests.fakes.triton import LOGITS, TOKENS, UNKNOWN, logits_response, response
from web.kserve import HEADER_LENGTH

BUCKETS = (32, 64, 128)


def call(text: str = "手机", max_tokens: int | None = None, *, in_s: float = 1.0) -> InferenceCall:
    of_text = inference_call(text, ["投诉", "咨询"], in_s=in_s, max_tokens=max_tokens)
    return structs.replace(of_text, bucket=bucket_of(BUCKETS, of_text.pairs))


async def ask(reply: httpx.Response | Exception, in_s: float = 1.0) -> PairLogits:
    def handle(request: httpx.Request) -> httpx.Response:
        if isinstance(reply, Exception):
            raise reply
        return reply

    return await TritonClient(httpx.MockTransport(handle), "http://triton").logits(call(in_s=in_s))


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
        (httpx.Response(200, content=b"garbage", headers={HEADER_LENGTH: "3"}), TritonFailed),
        (httpx.Response(200, content=b""), TritonFailed),
        (logits_response(LOGITS[:1]), TritonFailed),
        (logits_response(unknown=np.zeros((1, 2), np.float32)), TritonFailed),
        (logits_response(LOGITS * np.float32(np.nan)), TritonFailed),
        (logits_response(strings=0), TritonFailed),
    ],
)
async def test_every_failure_has_its_error(reply: httpx.Response | Exception, error: type[ServiceError]) -> None:
    with pytest.raises(error) as failure:
        await ask(reply)
    assert type(failure.value) is error


@pytest.mark.parametrize(
    ("reason", "error"),
    [
        ("nothing_to_read: text", NothingToRead()),
        ("nothing_to_read: label", NothingToRead(of_label=True)),
        ("token_limit: 600 tokens, 8 to 512", InvalidRequest("600 tokens, 8 to 512", field="max_tokens")),
        ("pair_too_long: a pair has 9 tokens", PairTooLong("a pair has 9 tokens")),
        ("labels: a label is empty", TritonRejected("labels: a label is empty")),
    ],
)
async def test_a_pair_is_refused_alone(reason: str, error: ServiceError) -> None:
    answer = await ask(logits_response(refused=json.dumps({"1": reason})))
    assert [*answer.refused] == [1]
    assert (type(answer.refused[1]), str(answer.refused[1])) == (type(error), str(error))
    assert getattr(answer.refused[1], "of_label", None) == getattr(error, "of_label", None)
    assert answer.logits.shape == (2, 3)


async def test_a_pair_that_overflows_in_the_engine_fails_alone() -> None:
    logits = LOGITS.copy()
    logits[1, 2] = np.inf
    answer = await ask(logits_response(logits))
    assert [*answer.refused] == [1]
    assert type(answer.refused[1]) is TritonFailed
    refused = await ask(logits_response(logits, refused='{"1": "nothing_to_read: text"}'))
    assert type(refused.refused[1]) is NothingToRead


async def test_a_call_names_its_requests_and_its_answer_the_replica() -> None:
    """As the `id` of KServe; a call without them, such as a probe, has none."""
    sent: list[dict[str, Any]] = []

    def handle(request: httpx.Request) -> httpx.Response:
        sent.append(json.loads(request.content[: int(request.headers[HEADER_LENGTH])]))
        return logits_response()

    client = TritonClient(httpx.MockTransport(handle), "http://triton:8000")
    for ids in (("a", "b.1"), ()):
        answer = await client.logits(structs.replace(call(), request_ids=ids))
        assert answer.replica == "http://triton:8000"
        assert answer.part(1, 1).replica == "http://triton:8000"
    assert [header.get("id") for header in sent] == ["a,b.1", None]


async def test_each_text_label_and_template_is_sent_once() -> None:
    sent: list[dict[str, Any]] = []

    def handle(request: httpx.Request) -> httpx.Response:
        length = int(request.headers[HEADER_LENGTH])
        start = length
        for described in json.loads(request.content[:length])["inputs"]:
            blob = request.content[start : (start := start + described["parameters"]["binary_data_size"])]
            sent.append(described | {"blob": blob})
        return logits_response(
            np.ones((3, 3), np.float32), np.ones((3, 3), np.int32), np.zeros((3, 2), np.float32)
        )

    pairs = [Pair("a", "x", "{}", None), Pair("b", "x", "{}", 20), Pair("a", "y", "{}", None)]
    client = TritonClient(httpx.MockTransport(handle), "http://triton")
    await client.logits(InferenceCall(pairs, 1.0))
    by_name = {tensor["name"]: tensor for tensor in sent}
    assert {name: tensor["shape"] for name, tensor in by_name.items()} == {
        "text": [2],
        "labels": [2],
        "hypothesis_template": [1],
        "pairs": [3, 4],
    }
    index = np.frombuffer(by_name["pairs"]["blob"], np.int32).reshape(3, 4)
    assert index.tolist() == [[0, 0, 0, 0], [1, 0, 0, 20], [0, 1, 0, 0]]
    sent.clear()
    await client.logits(InferenceCall(pairs, 1.0, special_tokens="text"))
    by_name = {tensor["name"]: tensor for tensor in sent}
    assert (by_name["special_tokens"]["shape"], by_name["special_tokens"]["blob"][4:]) == ([1], b"text")


@pytest.mark.parametrize(
    "words",
    [
        "in ensemble 'z', max_tokens: 600, 8 to 512",
        "pad_to: a pair has 100 tokens, 32 were asked for",
        "Stub process 'expand_0_0' is not healthy.",
        "Request timeout expired",
        "token_limit: 600 is outside 8 to 512",
    ],
)
async def test_no_words_act(words: str) -> None:
    for status, error in ((400, TritonRejected), (500, TritonFailed)):
        with pytest.raises(error) as failure:
            await ask(httpx.Response(status, json={"error": words}))
        assert type(failure.value) is error


async def test_counts_and_limits_that_are_empty_are_unreadable() -> None:
    """Seen failing: an `IndexError`, which ended the health check of that replica."""
    triton = TritonClient(httpx.MockTransport(lambda _: logits_response(strings=0)), "http://triton")
    with pytest.raises(TritonFailed):
        await triton.count_tokens(call())
    length, body = response([("limits", "INT32", [4], bytes(16)), ("contract", "BYTES", [0], b"")])
    answer = httpx.Response(200, content=body, headers={HEADER_LENGTH: str(length)})
    triton = TritonClient(httpx.MockTransport(lambda _: answer), "http://triton")
    with pytest.raises(TritonFailed, match="names no limits"):
        await triton.engine(1.0)


async def test_a_call_waits_for_its_answer_until_its_deadline() -> None:
    """That of a batch line is later than the gateway's own."""
    seen: list[dict[str, float]] = []

    def handle(request: httpx.Request) -> httpx.Response:
        seen.append(request.extensions["timeout"])
        return logits_response()

    triton = TritonClient(httpx.MockTransport(handle), "http://triton")
    await triton.logits(call(in_s=60.0))
    (timeout,) = seen
    assert timeout["connect"] == CONNECT_TIMEOUT_S
    assert timeout["read"] == pytest.approx(60.0, abs=5)


@pytest.mark.parametrize(("buckets", "model"), [((), "zero_shot_logits"), ((64, 32), "zero_shot_logits_s32")])
async def test_a_probe_is_an_inference(buckets: tuple[int, ...], model: str) -> None:
    asked: list[str] = []

    def handle(request: httpx.Request) -> httpx.Response:
        asked.append(request.url.path.split("/")[3])
        return logits_response(LOGITS[:1], TOKENS[:1], UNKNOWN[:1])

    engine = await TritonClient(httpx.MockTransport(handle), "http://triton", tuple(sorted(buckets))).probe(1.0)
    assert (asked, engine.id) == ([model], "e")


async def test_only_the_first_line_of_tritons_words_is_passed_on() -> None:
    with pytest.raises(TritonFailed) as failure:
        await ask(httpx.Response(500, json={"error": "it broke\nTraceback: secret"}))
    assert "secret" not in str(failure.value)


class Buckets:
    """Triton with length buckets: pairs need `needed` tokens each, and one is refused where `pad_to` is below."""

    def __init__(self, *needed: int, said: str = "pair_too_long: a pair has {} tokens") -> None:
        self.needed = needed
        self.said = said
        self.models: list[str] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        model = request.url.path.split("/")[3]
        pad_to = int(model.rpartition("_s")[2])
        assert struct.pack("<i", pad_to) in request.content
        needed = [
            tokens for tokens in self.needed if all(tokens > int(m.rpartition("_s")[2]) for m in self.models)
        ]
        self.models.append(model)
        refused = {str(i): self.said.format(tokens) for i, tokens in enumerate(needed) if tokens > pad_to}
        logits = np.array([[tokens, 0, 0] for tokens in needed], np.float32)
        return logits_response(
            logits, TOKENS[: len(needed)], UNKNOWN[: len(needed)], json.dumps(refused) if refused else ""
        )

    async def ask(self, text: str, max_tokens: int | None = None) -> PairLogits:
        return await TritonClient(httpx.MockTransport(self), "http://triton", BUCKETS).logits(
            call(text, max_tokens)
        )


@pytest.mark.parametrize(
    ("text", "max_tokens", "bucket"),
    [("手机", None, 32), ("手" * 40, None, 64), ("手" * 500, None, 128), ("手" * 500, 50, 64)],
)
async def test_the_shortest_bucket_is_asked(text: str, max_tokens: int | None, bucket: int) -> None:
    triton = Buckets(1, 1)
    await triton.ask(text, max_tokens)
    assert triton.models == [f"zero_shot_logits_s{bucket}"]


async def test_only_the_pairs_that_do_not_fit_go_one_bucket_up() -> None:
    triton = Buckets(20, 100)
    answer = await triton.ask("手机")
    assert triton.models == ["zero_shot_logits_s32", "zero_shot_logits_s64", "zero_shot_logits_s128"]
    assert (answer.logits[:, 0].tolist(), answer.refused, answer.engine.id) == ([20, 100], {}, "e")


async def test_a_pair_beyond_the_longest_bucket_is_an_error_that_names_it() -> None:
    triton = Buckets(300, 300)
    with pytest.raises(TritonFailed, match="longer than the longest length bucket, 128 tokens"):
        await triton.ask("手" * 500)
    assert triton.models == ["zero_shot_logits_s128"]


async def test_words_without_a_code_try_no_other_bucket() -> None:
    triton = Buckets(100, 100, said="pad_to: a pair has {} tokens, 32 were asked for")
    answer = await triton.ask("手机")
    assert {type(error) for error in answer.refused.values()} == {TritonRejected}
    assert triton.models == ["zero_shot_logits_s32"]
