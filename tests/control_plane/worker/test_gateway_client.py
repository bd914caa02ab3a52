"""The gateway's answers over real HTTP, and what each means for a line."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import httpx
import pytest
from httpx_aiohttp import AiohttpTransport
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.types import Receive, Scope, Send

from control_plane.worker.gateway_client import (
    MAX_ANSWER_BYTES,
    AnswerTooLarge,
    ConnectionBroke,
    DeadlineExceeded,
    GatewayAnswer,
    GatewayFailed,
    HttpGateway,
    NoAnswer,
    NotServed,
    TryLater,
)
from tests.fakes.gateway_client import problem
from tests.fakes.server import serving

INTERNAL_KEY = "k" * 32
BODY = '{"text": "要求退款", "labels": "投诉"}'.encode()


@dataclass
class Gateway:
    """An ASGI application that answers `response` to everything, and keeps what it was asked."""

    response: Response
    requests: list[tuple[Request, bytes]] = field(default_factory=list)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            request = Request(scope, receive)
            self.requests.append((request, await request.body()))
            await self.response(scope, receive, send)


@asynccontextmanager
async def client(url: str) -> AsyncIterator[HttpGateway]:
    async with httpx.AsyncClient(transport=AiohttpTransport(), trust_env=False) as http:
        yield HttpGateway(http, url, INTERNAL_KEY)


async def ask(response: Response) -> GatewayAnswer:
    async with serving(Gateway(response)) as url, client(url) as gateway:
        return await gateway.classify("t_1", "abc", "batch_1_0", BODY)


def refusal(status: int, code: str = "some_code", **headers: str) -> Response:
    return Response(json.dumps(problem(status, code)), status, headers, "application/problem+json")


@pytest.mark.parametrize("path", ["", "/"])
async def test_a_line_is_asked_for_its_tenant_with_the_internal_key(path: str) -> None:
    app = Gateway(JSONResponse({"labels": ["投诉"]}))
    async with serving(app) as url, client(url + path) as gateway:
        answer = await gateway.classify("t_1", "abc", "batch_1_0", BODY)
    assert answer == GatewayAnswer(200, {"labels": ["投诉"]})
    ((request, body),) = app.requests
    assert (request.method, request.url.path, body) == ("POST", "/v1/classify", BODY)
    assert request.headers["authorization"] == f"Bearer {INTERNAL_KEY}"
    assert request.headers["x-wanneng-tenant"] == "t_1"
    assert request.headers["x-wanneng-key"] == "abc"
    assert request.headers["x-request-id"] == "batch_1_0"
    assert request.headers["content-type"] == "application/json"


@pytest.mark.parametrize("status", [400, 404, 413, 422])
async def test_a_refusal_of_the_line_is_its_answer(status: int) -> None:
    assert await ask(refusal(status)) == GatewayAnswer(status, problem(status, "some_code"))


async def test_more_than_the_whole_quota_is_the_lines_answer() -> None:
    """A 429 without Retry-After: it will never be allowed."""
    assert (await ask(refusal(429, "quota_exceeded"))).status == 429


async def test_a_used_up_budget_is_the_lines_answer() -> None:
    """It is renewed in days; a batch has one."""
    refused = await ask(refusal(429, "budget_exceeded", **{"Retry-After": "86400"}))
    assert refused == GatewayAnswer(429, problem(429, "budget_exceeded"))


async def test_a_proxys_429_says_nothing_of_the_line() -> None:
    with pytest.raises(TryLater):
        await ask(Response("slow down", 429, {"Retry-After": "7"}))


@pytest.mark.parametrize("status", [408, 429, 503, 504])
async def test_a_busy_gateway_is_asked_again_when_it_says(status: int) -> None:
    with pytest.raises(TryLater) as error:
        await ask(refusal(status, **{"Retry-After": "7"}))
    assert (error.value.retry_after_s, isinstance(error.value, NoAnswer)) == (7.0, False)


@pytest.mark.parametrize("headers", [{}, {"Retry-After": "Fri, 31 Dec 2030 23:59:59 GMT"}, {"Retry-After": "-1"}])
async def test_a_busy_gateway_need_not_say_when(headers: dict[str, str]) -> None:
    with pytest.raises(TryLater) as error:
        await ask(refusal(503, **headers))
    assert error.value.retry_after_s is None


@pytest.mark.parametrize("status", [500, 501, 502])
async def test_a_failure_of_the_gateway_carries_its_answer(status: int) -> None:
    with pytest.raises(GatewayFailed) as error:
        await ask(refusal(status))
    assert error.value.answer == GatewayAnswer(status, problem(status, "some_code"))


@pytest.mark.parametrize("status", [401, 403])
async def test_a_worker_that_is_not_let_in_is_told_which_variable_to_look_at(status: int) -> None:
    with pytest.raises(NotServed, match=rf"{status}: WANNENG_INTERNAL_KEY") as error:
        await ask(refusal(status))
    assert INTERNAL_KEY not in str(error.value)


@pytest.mark.parametrize(
    "response",
    [
        refusal(404, "http_error"),
        refusal(405, "http_error"),
        JSONResponse({"detail": "Not Found"}, 404),
        Response("<html>", 404, media_type="text/html"),
        Response("<html>", 200, media_type="text/html"),
        Response("<html>", 500, media_type="text/html"),
        Response("<html>", 502, media_type="text/html"),
        Response("[]", 200, media_type="application/json"),
        Response(b"\xff", 422),
        Response("", 204),
        Response("", 304),
    ],
    ids=lambda response: f"{response.status_code} {response.body[:40]!r}",
)
async def test_an_answer_of_something_else_than_a_gateway_is_never_a_lines_answer(response: Response) -> None:
    with pytest.raises(NotServed, match=rf"^http\S+ is not a gateway: it answered {response.status_code}$"):
        await ask(response)


@asynccontextmanager
async def raw_server(content: bytes) -> AsyncIterator[str]:
    """Answers `content` whatever it is asked, and hangs up."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(65_536)
        writer.write(content)
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    async with server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"nonsense\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{}",
        b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 2\r\n\r\n{}",
    ],
)
async def test_a_broken_answer_is_none_and_may_be_the_lines_fault(content: bytes) -> None:
    async with raw_server(content) as url, client(url) as gateway:
        with pytest.raises(ConnectionBroke, match=f"{url}/v1/classify does not answer") as error:
            await gateway.classify("t_1", "abc", "batch_1_0", BODY)
    assert error.value.retry_after_s is None


async def test_a_gateway_that_is_away_does_not_answer() -> None:
    async with raw_server(b"") as url:
        pass
    async with client(url) as gateway:
        with pytest.raises(NoAnswer) as error:
            await gateway.classify("t_1", "abc", "batch_1_0", BODY)
    assert not isinstance(error.value, ConnectionBroke), "no line is at fault"


async def test_a_deadline_that_was_exceeded_carries_the_gateways_answer() -> None:
    with pytest.raises(DeadlineExceeded) as error:
        await ask(refusal(504, "deadline_exceeded"))
    assert error.value.answer == GatewayAnswer(504, problem(504, "deadline_exceeded"))


async def test_a_proxys_504_says_nothing_of_the_line() -> None:
    with pytest.raises(TryLater) as error:
        await ask(Response("<html>", 504, media_type="text/html"))
    assert not isinstance(error.value, DeadlineExceeded)


async def test_an_answer_is_not_read_beyond_its_bound() -> None:
    """The server can write 100 MB no faster than they are read."""
    written, hung_up = 0, asyncio.Event()

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal written
        writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
        try:
            while written < 100:
                writer.write(b" " * 1_000_000)
                await writer.drain()
                written += 1
        except OSError:
            hung_up.set()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    async with server, client(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}") as gateway:
        with pytest.raises(AnswerTooLarge, match=f"more than {MAX_ANSWER_BYTES} bytes"):
            await gateway.classify("t_1", "abc", "batch_1_0", BODY)
        await asyncio.wait_for(hung_up.wait(), 10)
    assert written < 50


async def test_an_answer_too_deep_to_be_read_is_no_gateways() -> None:
    with pytest.raises(NotServed):
        await ask(Response('{"a": ' + "[" * 100_000 + "]" * 100_000 + "}", 200))
