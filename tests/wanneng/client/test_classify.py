"""Texts to labels, one at a time, many, and streams of them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from typing import Any

import httpx
import pytest

from tests.wanneng.client.fake_gateway import body, resolved
from wanneng import AsyncClient, Client
from wanneng.client.clients import MAX_CONCURRENT_CALLS
from wanneng.client.streams import TEXTS_PER_CALL

LABELS = ["投诉", "咨询"]


class Classifying:
    """Puts the label first that a text begins with; `sizes` are the texts of each call."""

    def __init__(self) -> None:
        self.requests: list[httpx.Request] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        asked = body(request)
        results = [self._result(text, asked) for text in asked["texts"]]
        return httpx.Response(200, json={"results": results, "model_version": "v"})

    @property
    def sizes(self) -> list[int]:
        return [len(body(request)["texts"]) for request in self.requests]

    def _result(self, text: str, asked: dict[str, Any]) -> dict[str, Any]:
        labels = sorted(asked.get("labels", LABELS), key=lambda label: not text.startswith(label))
        result = {"labels": labels, "scores": [0.9, 0.1], "truncated": False}
        if asked.get("entailment"):
            result["entailment"] = [0.8, 0.2]
        if "label_set" in asked:
            result["none_of_these"] = False
        return result


@pytest.fixture
def server() -> Classifying:
    return Classifying()


@pytest.fixture(params=[Client, AsyncClient])
def client(request: pytest.FixtureRequest, server: Classifying) -> Client | AsyncClient:
    made: Client | AsyncClient = request.param("http://gateway", "wn_key", transport=httpx.MockTransport(server))
    return made


async def test_a_text_becomes_its_labels_by_score(client: Client | AsyncClient, server: Classifying) -> None:
    found = await resolved(client.classify("投诉一下", LABELS, multi_label=True))
    assert (found.text, found.best, found.score("咨询"), found.none_of_these) == ("投诉一下", "投诉", 0.1, None)
    assert (found.labels, found.scores, found.model_version) == (("投诉", "咨询"), (0.9, 0.1), "v")
    (request,) = server.requests
    assert request.headers["authorization"] == "Bearer wn_key"
    assert body(request)["multi_label"] is True
    assert "cache-control" not in request.headers


async def test_what_is_asked_besides_is_in_the_answer(client: Client | AsyncClient, server: Classifying) -> None:
    found = await resolved(client.classify("咨询一下", label_set="tickets", entailment=True, fresh=True))
    assert (found.best, found.entailment, found.none_of_these) == ("咨询", (0.8, 0.2), False)
    assert server.requests[0].headers["cache-control"] == "no-cache"


async def test_one_text_in_the_place_of_many_is_a_mistake(client: Client | AsyncClient) -> None:
    with pytest.raises(TypeError, match="sequence"):
        await resolved(client.classify_all("one text", LABELS))


async def test_a_stream_is_answered_in_its_order_and_read_as_it_is_needed(server: Classifying) -> None:
    read: list[int] = []

    def texts() -> Iterator[str]:
        for number in range(200):
            read.append(number)
            yield f"投诉 {number}" if number % 2 else f"咨询 {number}"

    async with AsyncClient("http://gateway", transport=httpx.MockTransport(server)) as client:
        found = []
        async for one in client.stream(texts(), LABELS):
            found.append(one)
            assert len(read) <= len(found) + (MAX_CONCURRENT_CALLS + 1) * TEXTS_PER_CALL
        assert [one.text for one in found] == list(texts())
        assert [one.best for one in found[:2]] == ["咨询", "投诉"]


async def test_a_stream_may_be_asynchronous_and_left_early() -> None:
    """What is under way then is given up: here it would never end."""
    calls = 0

    async def texts() -> AsyncIterator[str]:
        for number in range(1_000):
            yield f"{number}"

    async def answer_the_first(request: httpx.Request) -> httpx.Response:
        nonlocal calls
        calls += 1
        if calls > 1:
            await asyncio.Event().wait()
        return Classifying()(request)

    async with (
        asyncio.timeout(5),
        AsyncClient("http://gateway", transport=httpx.MockTransport(answer_the_first)) as client,
    ):
        stream = client.stream(texts(), LABELS)
        assert (await anext(stream)).text == "0"
        await stream.aclose()  # type: ignore[attr-defined]
    assert calls <= MAX_CONCURRENT_CALLS


def test_a_blocking_stream_takes_some_texts_at_a_time(server: Classifying) -> None:
    client = Client("http://gateway", transport=httpx.MockTransport(server))
    assert len(list(client.stream((f"{n}" for n in range(40)), LABELS))) == 40
    assert server.sizes == [16, 16, 8]


async def test_the_rest_of_an_asynchronous_stream_is_a_smaller_call(server: Classifying) -> None:
    async def texts() -> AsyncIterator[str]:
        for number in range(20):
            yield f"{number}"

    async with AsyncClient("http://gateway", transport=httpx.MockTransport(server)) as client:
        assert len([one async for one in client.stream(texts(), LABELS)]) == 20
    assert sorted(server.sizes) == [4, 16]
