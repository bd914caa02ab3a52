"""What is sent again, after how long, and what a refusal looks like."""

from __future__ import annotations

import asyncio
from typing import Any

import httpx
import pytest

from tests.wanneng.client.fake_gateway import problem
from wanneng import AsyncClient, Client
from wanneng.errors import GatewayRefused, NoConnection, RequestError

LABELS = ["投诉", "咨询"]
OTHER_VERSION = "its version is another than this client's"
RESULT = {"labels": LABELS, "scores": [0.9, 0.1], "truncated": False}
QUOTA = {"requests_per_minute": None, "pairs_per_minute": None, "pairs_in_flight": None, "tokens_per_minute": None}
TENANT = {"id": "t", "name": "t", "status": "active", "created_at": "2026-11-21T10:00:00Z", **QUOTA}
TENANT["special_tokens"] = "model"
GOOD: dict[str, Any] = {"results": [RESULT], "model_version": "v", **TENANT}
"""An answer to a classification, and to the creation of a tenant."""


class Refusing:
    """Answers with each of `replies` in turn, then well."""

    def __init__(self, *replies: httpx.Response | Exception) -> None:
        self.replies = list(replies)
        self.requests: list[httpx.Request] = []
        self.pauses: list[float] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        reply = self.replies.pop(0) if self.replies else httpx.Response(200, json=GOOD)
        if isinstance(reply, Exception):
            raise reply
        return reply

    def client(self, **more: Any) -> Client:
        transport = httpx.MockTransport(self)
        return Client("http://gateway", "wn_key", transport=transport, sleep=self.pauses.append, **more)


def test_it_waits_as_long_as_it_is_told() -> None:
    server = Refusing(problem(429, **{"Retry-After": "7"}), problem(503, **{"Retry-After": "1"}))
    assert server.client().classify("x", LABELS).best == "投诉"
    assert server.pauses == [7, 1]


def test_it_waits_as_often_as_it_is_told_until_its_time_is_used_up() -> None:
    refusal = {"Retry-After": "7"}
    server = Refusing(*(problem(429, "quota_exceeded", **refusal) for _ in range(20)))
    assert server.client(attempts=2, wait_s=140).classify("x", LABELS).best == "投诉"
    assert server.pauses == [7] * 20
    server = Refusing(*(problem(429, "quota_exceeded", **refusal) for _ in range(20)))
    with pytest.raises(GatewayRefused) as refused:
        server.client(wait_s=20).classify("x", LABELS)
    assert (server.pauses, refused.value.retry_after_s) == ([7, 7], 7)


def test_who_is_told_not_to_wait_does_not_ask_for_ever() -> None:
    server = Refusing(*(problem(503, **{"Retry-After": "0"}) for _ in range(1_000)))
    with pytest.raises(GatewayRefused):
        server.client(wait_s=5).classify("x", LABELS)
    assert len(server.requests) == 21


def test_a_label_that_no_request_can_carry_is_an_error_of_one_sentence() -> None:
    with pytest.raises(RequestError, match="cannot be written as UTF-8"):
        Refusing().client().classify("x", ["投诉", "\ud83d"])


def test_without_being_told_it_waits_longer_each_time() -> None:
    server = Refusing(httpx.ConnectError("no"), problem(504), httpx.ReadError("gone"))
    assert server.client().classify("x", LABELS).best == "投诉"
    assert 0.125 <= server.pauses[0] <= 0.25
    assert server.pauses[2] > server.pauses[0]


async def test_the_client_for_asyncio_retries_as_well() -> None:
    server = Refusing(problem(503, **{"Retry-After": "0"}), httpx.ReadError("gone"))
    async with (
        asyncio.timeout(10),
        AsyncClient("http://gateway", transport=httpx.MockTransport(server), attempts=3) as client,
    ):
        assert (await client.classify("x", LABELS)).best == "投诉"
        assert len(server.requests) == 3
        server.replies = [problem(422, "invalid_request")]
        with pytest.raises(GatewayRefused, match="it is invalid_request"):
            await client.classify("x", LABELS)


@pytest.mark.parametrize(
    "reply",
    [
        problem(422, "invalid_request"),
        problem(401, "unauthorized"),
        problem(429, "quota_exceeded"),
        problem(429, "quota_exceeded", **{"Retry-After": "601"}),
    ],
)
def test_what_waiting_cannot_help_is_raised_at_once(reply: httpx.Response) -> None:
    server = Refusing(reply)
    with pytest.raises(GatewayRefused) as refusal:
        server.client().classify("x", LABELS)
    assert refusal.value.status == reply.status_code
    assert refusal.value.code == reply.json()["code"]
    assert str(refusal.value) == reply.json()["detail"]
    assert server.pauses == []


@pytest.mark.parametrize(
    ("reply", "attempts"),
    [
        (httpx.ConnectError("no"), 2),
        (problem(503, "overloaded", **{"Retry-After": "1"}), 2),
        (httpx.ReadError("gone"), 1),
        (httpx.ReadTimeout("silent"), 1),
        (problem(502, "http_error"), 1),
        (problem(503, "control_plane_unavailable", **{"Retry-After": "1"}), 1),
    ],
)
def test_a_change_is_sent_again_only_if_it_was_certainly_not_carried_out(
    reply: httpx.Response | Exception, attempts: int
) -> None:
    server = Refusing(reply)
    if attempts == 1:
        with pytest.raises(RequestError):
            server.client().tenants.create("t")
    else:
        assert server.client().tenants.create("t").id == "t"
    assert len(server.requests) == attempts


@pytest.mark.parametrize(
    ("path", "way"),
    [
        ("/v1", f"leave out /v1 in http://gateway/v1, or, if that is the prefix of a proxy, {OTHER_VERSION}"),
        ("", OTHER_VERSION),
    ],
)
def test_an_address_with_a_path_too_many_is_told_what_to_leave_out(path: str, way: str) -> None:
    server = Refusing(problem(404, "http_error"))
    client = Client(f"http://gateway{path}", "wn_key", transport=httpx.MockTransport(server))
    with pytest.raises(GatewayRefused) as refused:
        client.classify("x", LABELS)
    said = f"http://gateway{path}/v1/classify answered 404: the gateway has no such path; {way}"
    assert (str(refused.value), refused.value.status, refused.value.code) == (said, 404, "http_error")


def test_what_an_address_names_may_be_missing_as_before() -> None:
    with pytest.raises(GatewayRefused, match=r"^(?!.*no such path)"):
        Refusing(problem(404, "not_found")).client().classify("x", LABELS)


def test_the_last_attempt_raises_what_it_met() -> None:
    with pytest.raises(GatewayRefused, match="it is overloaded"):
        Refusing(*(problem(503) for _ in range(3))).client(attempts=3).classify("x", LABELS)
    with pytest.raises(NoConnection, match="no connection to http://gateway: no; is the address right"):
        Refusing(*(httpx.ConnectError("no") for _ in range(2))).client(attempts=2).classify("x", LABELS)


def test_what_only_an_operator_mends_is_asked_once() -> None:
    server = Refusing(problem(503, "store_unusable"))
    with pytest.raises(GatewayRefused, match="it is store_unusable"):
        server.client().classify("x", LABELS)
    assert len(server.requests) == 1
