"""Triton's client against a server that misbehaves, in the place of the network."""

from __future__ import annotations

import json
import struct
from typing import Any

import httpx
import numpy as np
import pytest

from gateway.errors import DeadlineExceeded, GatewayError, InvalidRequest, TritonFailed, TritonUnavailable
from gateway.kserve import HEADER_LENGTH
from gateway.triton import Triton
from tests.gateway.test_kserve import response as kserve_response


def answer(logits: np.ndarray, tokens: np.ndarray) -> httpx.Response:
    name = struct.pack("<I", 1) + b"e"
    length, body = kserve_response(
        [
            ("logits", "FP32", list(logits.shape), logits.tobytes()),
            ("tokens", "INT32", list(tokens.shape), tokens.tobytes()),
            ("engine_id", "BYTES", [1], name),
            ("engine_name", "BYTES", [1], name),
        ]
    )
    return httpx.Response(200, content=body, headers={HEADER_LENGTH: str(length)})


async def ask(reply: httpx.Response | Exception) -> Any:
    def handle(request: httpx.Request) -> httpx.Response:
        if isinstance(reply, Exception):
            raise reply
        return reply

    async with httpx.AsyncClient(transport=httpx.MockTransport(handle)) as client:
        return await Triton(client, "http://triton").logits("手机", ["投诉", "咨询"], "{}", None, 1.0)


LOGITS, TOKENS = np.ones((2, 3), dtype=np.float32), np.ones((2, 3), dtype=np.int32)


async def test_a_good_answer_is_taken() -> None:
    pairs = await ask(answer(LOGITS, TOKENS))
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
        (httpx.Response(503, json={"error": "Request timeout expired"}), DeadlineExceeded),
        (httpx.Response(404, json={"error": "unknown model"}), TritonUnavailable),
        (httpx.Response(500, json={"error": "broken"}), TritonFailed),
        (httpx.Response(500, json={"error": "Stub process 'expand_0_0' is not healthy."}), TritonUnavailable),
        (httpx.Response(400, content=b"<html>"), TritonFailed),
        (httpx.Response(400, json={"error": "in ensemble 'z', max_tokens: 600, 8 to 512"}), InvalidRequest),
        (httpx.Response(200, content=b"garbage", headers={HEADER_LENGTH: "3"}), TritonFailed),
        (httpx.Response(200, content=b""), TritonFailed),
        (answer(LOGITS[:1], TOKENS), TritonFailed),
        (answer(LOGITS * np.float32(np.nan), TOKENS), TritonFailed),
    ],
)
async def test_every_failure_has_its_error(reply: httpx.Response | Exception, error: type[GatewayError]) -> None:
    with pytest.raises(error):
        await ask(reply)


@pytest.mark.parametrize(("buckets", "model"), [((), "zero_shot_logits"), ((64, 32), "zero_shot_logits_s32")])
async def test_a_probe_is_an_inference_before_all_others(buckets: tuple[int, ...], model: str) -> None:
    asked: list[tuple[str, int]] = []

    def handle(request: httpx.Request) -> httpx.Response:
        header = json.loads(request.content[: int(request.headers[HEADER_LENGTH])])
        asked.append((request.url.path.split("/")[3], header["parameters"]["priority"]))
        return answer(LOGITS[:1], TOKENS[:1])

    async with httpx.AsyncClient(transport=httpx.MockTransport(handle)) as client:
        engine = await Triton(client, "http://triton", tuple(sorted(buckets)), priority=3).probe(1.0)
    assert (asked, engine.id) == ([(model, 1)], "e")


async def test_only_the_first_line_of_tritons_words_is_passed_on() -> None:
    with pytest.raises(TritonFailed) as failure:
        await ask(httpx.Response(500, json={"error": "it broke\nTraceback: secret"}))
    assert "secret" not in str(failure.value)


class Buckets:
    """Triton with length buckets: refuses a call whose `pad_to` is below `needed`, as `expand` does."""

    def __init__(self, needed: int) -> None:
        self.needed = needed
        self.models: list[str] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        model = request.url.path.split("/")[3]
        self.models.append(model)
        pad_to = int(model.rpartition("_s")[2])
        assert struct.pack("<i", pad_to) in request.content
        if pad_to < self.needed:
            words = f"in ensemble 'x', pad_to: a pair has {self.needed} tokens, {pad_to} were asked for"
            return httpx.Response(400, json={"error": words})
        return answer(LOGITS, TOKENS)

    async def ask(self, text: str, max_tokens: int | None = None) -> Any:
        transport = httpx.MockTransport(self)
        async with httpx.AsyncClient(transport=transport) as client:
            triton = Triton(client, "http://triton", (32, 64, 128))
            return await triton.logits(text, ["投诉", "咨询"], "{}", max_tokens, 1.0)


@pytest.mark.parametrize(
    ("text", "max_tokens", "bucket"),
    [("手机", None, 32), ("手" * 40, None, 64), ("手" * 500, None, 128), ("手" * 500, 50, 64)],
)
async def test_the_shortest_bucket_is_asked(text: str, max_tokens: int | None, bucket: int) -> None:
    triton = Buckets(needed=1)
    await triton.ask(text, max_tokens)
    assert triton.models == [f"zero_shot_logits_s{bucket}"]


async def test_a_pair_that_does_not_fit_goes_one_bucket_up() -> None:
    triton = Buckets(needed=100)
    pairs = await triton.ask("手机")
    assert triton.models == ["zero_shot_logits_s32", "zero_shot_logits_s64", "zero_shot_logits_s128"]
    assert pairs.engine.id == "e"


async def test_a_pair_beyond_the_longest_bucket_is_an_error_that_names_it() -> None:
    triton = Buckets(needed=300)
    with pytest.raises(TritonFailed, match="longer than Triton's longest bucket, 128 tokens"):
        await triton.ask("手" * 500)
    assert triton.models == ["zero_shot_logits_s128"]
