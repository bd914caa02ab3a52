"""The Python client against the gateway's own application, and against one that refuses."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from typing import Any

import httpx
import pytest

from gateway.app import create_app
from gateway.settings import Settings
from tests.fakes.classifier import FakeClassifier
from tests.fakes.stores import fake_stores
from wanneng import AsyncClient, Client
from wanneng.client import AT_ONCE, TEXTS_PER_CALL, GatewayRefused
from wanneng.errors import RequestError

LABELS = ["投诉", "咨询"]
ONE = {"labels": LABELS, "scores": [0.9, 0.1], "truncated": False}
GOOD: dict[str, Any] = {"results": [ONE], "model_version": "v"}


class Refusing:
    """Answers with each of `replies` in turn, then well."""

    def __init__(self, *replies: httpx.Response | Exception) -> None:
        self.replies = list(replies)
        self.requests: list[httpx.Request] = []
        self.naps: list[float] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        reply = self.replies.pop(0) if self.replies else httpx.Response(200, json=GOOD)
        if isinstance(reply, Exception):
            raise reply
        return reply

    def client(self, **more: Any) -> Client:
        transport = httpx.MockTransport(self)
        return Client("http://gateway", "wn_key", transport=transport, sleep=self.naps.append, **more)


def problem(status: int, code: str = "overloaded", **headers: str) -> httpx.Response:
    return httpx.Response(status, json={"code": code, "detail": f"it is {code}"}, headers=headers)


def test_a_text_becomes_its_labels_by_score() -> None:
    server = Refusing()
    with server.client() as client:
        found = client.classify("要求退款", LABELS, multi_label=True)
    assert (found.text, found.best, found.score("咨询"), found.none_of_these) == ("要求退款", "投诉", 0.1, None)
    (request,) = server.requests
    assert request.headers["authorization"] == "Bearer wn_key"
    assert b'"multi_label":true' in request.content.replace(b" ", b"")


def test_it_waits_as_long_as_it_is_told() -> None:
    server = Refusing(problem(429, **{"Retry-After": "7"}), problem(503, **{"Retry-After": "1"}))
    assert server.client().classify("x", LABELS).best == "投诉"
    assert server.naps == [7, 1]


def test_without_being_told_it_waits_longer_each_time() -> None:
    server = Refusing(httpx.ConnectError("no"), problem(504), httpx.ReadError("gone"))
    assert server.client().classify("x", LABELS).best == "投诉"
    assert 0.125 <= server.naps[0] <= 0.25
    assert server.naps[2] > server.naps[0]


@pytest.mark.parametrize(
    "reply",
    [
        problem(422, "invalid_request"),
        problem(401, "unauthorized"),
        problem(429, "quota_exceeded"),
        problem(429, "quota_exceeded", **{"Retry-After": "61"}),
    ],
)
def test_what_waiting_cannot_help_is_raised_at_once(reply: httpx.Response) -> None:
    server = Refusing(reply)
    with pytest.raises(GatewayRefused) as refusal:
        server.client().classify("x", LABELS)
    assert refusal.value.status == reply.status_code
    assert refusal.value.code == reply.json()["code"]
    assert str(refusal.value) == reply.json()["detail"]
    assert server.naps == []


def test_the_last_attempt_raises_what_it_met() -> None:
    with pytest.raises(GatewayRefused, match="it is overloaded"):
        Refusing(*(problem(503) for _ in range(3))).client(attempts=3).classify("x", LABELS)
    with pytest.raises(RequestError, match="ConnectError"):
        Refusing(*(httpx.ConnectError("no") for _ in range(2))).client(attempts=2).classify("x", LABELS)


def test_an_answer_that_is_none_is_an_error() -> None:
    with pytest.raises(GatewayRefused):
        Refusing(httpx.Response(200, content=b"[]")).client().classify("x", LABELS)
    with pytest.raises(TypeError, match="sequence"):
        Refusing().client().classify_all("one text", LABELS)


async def real(**more: Any) -> AsyncIterator[tuple[AsyncClient, FakeClassifier]]:
    classifier = FakeClassifier(**more)
    app = create_app(Settings(), classifier=classifier, stores=fake_stores())
    async with (
        app.router.lifespan_context(app),
        AsyncClient("http://gateway", transport=httpx.ASGITransport(app)) as client,
    ):
        yield client, classifier


async def test_a_stream_is_answered_in_its_order_and_read_as_it_is_needed() -> None:
    read: list[int] = []

    def texts() -> Iterator[str]:
        for number in range(200):
            read.append(number)
            yield f"投诉 {number}" if number % 2 else f"咨询 {number}"

    async for client, _ in real():
        found = []
        async for one in client.stream(texts(), LABELS):
            found.append(one)
            assert len(read) <= len(found) + (AT_ONCE + 1) * TEXTS_PER_CALL
        assert [one.text for one in found] == list(texts())
        assert [one.best for one in found[:2]] == ["咨询", "投诉"]


async def test_a_stream_may_be_asynchronous_and_left_early() -> None:
    """What is under way then is given up: here it would never end."""
    asked = 0

    async def texts() -> AsyncIterator[str]:
        for number in range(1_000):
            yield f"{number}"

    async def answer_the_first(request: httpx.Request) -> httpx.Response:
        nonlocal asked
        asked += 1
        if asked > 1:
            await asyncio.Event().wait()
        return httpx.Response(200, json={"results": GOOD["results"] * TEXTS_PER_CALL, "model_version": "v"})

    async with (
        asyncio.timeout(5),
        AsyncClient("http://gateway", transport=httpx.MockTransport(answer_the_first)) as client,
    ):
        stream = client.stream(texts(), LABELS)
        assert (await anext(stream)).text == "0"
        await stream.aclose()  # type: ignore[attr-defined]
    assert asked <= AT_ONCE


def test_a_blocking_stream_takes_some_texts_at_a_time() -> None:
    sizes: list[int] = []

    def echo(request: httpx.Request) -> httpx.Response:
        sizes.append(len(json.loads(request.content)["texts"]))
        return httpx.Response(200, json={"results": [ONE] * sizes[-1], "model_version": "v"})

    client = Client("http://gateway", transport=httpx.MockTransport(echo))
    assert len(list(client.stream((f"{n}" for n in range(40)), LABELS))) == 40
    assert sizes == [16, 16, 8]
