"""Pairs that only the layer below the validation can send, in one call to the real Triton with good ones."""

from __future__ import annotations

import httpx
import numpy as np

from gateway.errors import NothingToRead, TritonRejected
from gateway.triton.backend import InferenceCall, Pair
from gateway.triton.client import TritonClient
from stores.errors import InvalidRequest
from tests.e2e.server import Server

GOOD = [Pair("手机坏了", "投诉", "{}", None), Pair("国足昨晚赢了", "体育", "这是关于{}的", 64)]
POISON = {
    Pair("手机坏了", "长" * 2_000, "{}", None): TritonRejected,
    Pair("手机坏了", " ", "{}", None): TritonRejected,
    Pair("长" * 100_001, "投诉", "{}", None): TritonRejected,
    Pair("手机坏了", "投诉", "没有", None): TritonRejected,
    Pair("手机坏了", "投诉", "{}", 7): InvalidRequest,
    Pair("\u200b", "投诉", "{}", None): NothingToRead,
    Pair("手机坏了", "\u200b", "{}", None): NothingToRead,
}


async def test_a_poisoned_pair_fails_alone(server: Server) -> None:
    pairs = [GOOD[0], *POISON, GOOD[1]]
    async with httpx.AsyncHTTPTransport(trust_env=False) as transport:
        triton = TritonClient(transport, f"http://{server.triton_http}")
        together = await triton.logits(InferenceCall(pairs))
        alone = [await triton.logits(InferenceCall([pair])) for pair in GOOD]
    assert {pairs[index]: type(error) for index, error in together.refused.items()} == POISON
    expected = np.concatenate([answer.logits for answer in alone])
    np.testing.assert_allclose(together.logits[[0, -1]], expected, rtol=0, atol=1e-4)
    assert together.tokens[[0, -1]].tolist() == [answer.tokens[0].tolist() for answer in alone]
