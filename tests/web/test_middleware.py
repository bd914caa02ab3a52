"""What the middleware does for every request: an id, a context, problems for errors, one record at the end."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx
import pytest
from msgspec.structs import asdict
from prometheus_client import CollectorRegistry
from starlette.responses import PlainTextResponse
from starlette.routing import Route, Router
from starlette.types import ASGIApp, Receive, Scope, Send

from stores.errors import ClientDisconnected, StoreUnavailable
from tests.problems import assert_problem
from web.loop_lag import LoopLag
from web.middleware import Middleware
from web.pacing import MAX_WAITING_OF_CALLER, Pacing
from web.problems import Problems
from web.request_context import RequestContext
from web.server import Draining
from web.tracing import Tracing


class Context(RequestContext):
    """Of a process that adds a header to every answer."""

    remaining: int | None = None

    def response_headers(self) -> list[tuple[bytes, bytes]]:
        return [(b"x-remaining", str(self.remaining).encode())]


class Recorder:
    def __init__(self) -> None:
        self.loop_lag = LoopLag(CollectorRegistry())
        self.contexts: list[RequestContext] = []

    def record(self, context: RequestContext) -> None:
        self.contexts.append(context)

    @property
    def only(self) -> RequestContext:
        (context,) = self.contexts
        return context


class Raises:
    """An endpoint that fails, before its answer or within it."""

    def __init__(self, error: Exception, *, after: int = 0) -> None:
        self._error = error
        self._messages = after

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        scope["context"].remaining = 7
        messages = [
            {"type": "http.response.start", "status": 200, "headers": []},
            {"type": "http.response.body", "body": b"half", "more_body": True},
        ]
        for message in messages[: self._messages]:
            await send(message)
        raise self._error


class Answers:
    """An endpoint that fills in its context; Starlette takes objects for ASGI applications, not functions."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        scope["context"].remaining, scope["context"].tenant_id = 3, "t_1"
        await PlainTextResponse("good")(scope, receive, send)


class World:
    def __init__(self, endpoint: ASGIApp | None = None) -> None:
        self.recorder, self.draining = Recorder(), Draining()
        self.lifespans: list[str] = []
        paths = ["/v1/things", "/v1/things/{thing}", "/files/{path:path}", "/livez"]
        routes = [Route(path, endpoint or Answers(), methods=["GET"]) for path in paths]

        @asynccontextmanager
        async def lifespan(app: Middleware) -> AsyncIterator[None]:
            self.lifespans.append("begun")
            yield
            self.lifespans.append("ended")

        router = Router(routes, redirect_slashes=False, lifespan=lifespan)
        self.app = Middleware(
            router, routes, self.recorder, Tracing(), self.draining, Problems(), Pacing(), Context
        )

    async def get(self, path: str = "/v1/things", headers: dict[str, str] | None = None) -> httpx.Response:
        return await self.request("GET", path, headers)

    async def request(self, method: str, path: str, headers: dict[str, str] | None = None) -> httpx.Response:
        transport = httpx.ASGITransport(self.app, raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url="http://x") as client:
            return await client.request(method, path, headers=headers)


async def test_an_answer_is_recorded_with_its_route_status_and_time() -> None:
    world = World()
    response = await world.get()
    assert (response.status_code, response.text, response.headers["x-remaining"]) == (200, "good", "3")
    context = world.recorder.only
    assert context.seconds > 0
    assert asdict(context) | {"seconds": 0.0} == asdict(
        Context(response.headers["x-request-id"], "GET", "/v1/things", 200, tenant_id="t_1", remaining=3)
    )


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("order-17.a_b", True),
        ("x" * 64, True),
        ("a b", False),
        ("x" * 65, False),
        ('"}', False),
        ("", False),
        ("täglich", False),
    ],
)
async def test_a_callers_request_id_is_kept_unless_it_could_forge_a_log(given: str, kept: bool) -> None:
    world = World()
    transport = httpx.ASGITransport(world.app)
    async with httpx.AsyncClient(transport=transport, base_url="http://x") as client:
        response = await client.get("/v1/things", headers=[(b"x-request-id", given.encode())])
    (request_id,) = response.headers.get_list("x-request-id")
    assert (request_id == given) is kept
    assert world.recorder.only.request_id == request_id
    assert kept or len(request_id) == 32


async def test_every_request_has_an_id_of_its_own() -> None:
    world = World()
    assert len({(await world.get()).headers["x-request-id"] for _ in range(5)}) == 5


@pytest.mark.parametrize(
    ("path", "route", "status"),
    [
        ("/v1/things/t_17", "/v1/things/{thing}", 200),
        ("/files/a/b/c", "/files/{path:path}", 200),
        ("/v1/things/", "unknown", 404),
        ("/nowhere/" + "x" * 50, "unknown", 404),
    ],
)
async def test_a_route_is_a_pattern_so_that_metrics_have_a_bound(path: str, route: str, status: int) -> None:
    world = World()
    assert (await world.get(path)).status_code == status
    assert (world.recorder.only.route, world.recorder.only.status) == (route, status)


async def test_unknown_paths_and_methods_are_problems() -> None:
    world = World()
    assert_problem(await world.get("/v1/thing"), 404, "http_error")
    for path in ("/v1/things", "/v1/things/t_17"):
        refused = await world.request("DELETE", path)
        assert_problem(refused, 405, "http_error")
        assert "GET" in refused.headers["allow"]
        assert refused.headers["x-remaining"] == "None"


async def test_an_error_is_a_problem_with_the_headers_of_every_answer() -> None:
    world = World(Raises(StoreUnavailable("the database does not answer")))
    response = await world.get()
    assert_problem(response, 503, "store_unavailable")
    assert (response.headers["retry-after"], response.headers["x-remaining"]) == ("1", "7")
    assert (world.recorder.only.status, world.recorder.only.error_code) == (503, "store_unavailable")


async def test_a_client_that_disconnects_is_recorded_and_is_no_defect(caplog: pytest.LogCaptureFixture) -> None:
    world = World(Raises(ClientDisconnected()))
    await world.get()
    assert (world.recorder.only.status, world.recorder.only.error_code) == (499, "client_disconnected")
    assert "Traceback" not in caplog.text


async def test_a_defect_is_logged_under_its_request_and_told_to_nobody(caplog: pytest.LogCaptureFixture) -> None:
    world = World(Raises(ZeroDivisionError("secret")))
    response = await world.get(headers={"X-Request-Id": "r-1"})
    assert_problem(response, 500, "internal_error")
    assert "secret" not in response.text
    assert "request r-1 failed unexpectedly" in caplog.text
    assert "secret" in caplog.text
    assert (world.recorder.only.status, world.recorder.only.error_code) == (500, "internal_error")


@pytest.mark.parametrize("after", [1, 2])
@pytest.mark.parametrize(
    ("error", "code"),
    [(StoreUnavailable("gone"), "store_unavailable"), (ZeroDivisionError("x"), "internal_error")],
)
async def test_an_answer_that_has_begun_gets_no_second_one(after: int, error: Exception, code: str) -> None:
    world = World(Raises(error, after=after))
    sent = []

    async def receive() -> dict[str, object]:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: object) -> None:
        sent.append(message)

    scope = {"type": "http", "method": "GET", "path": "/v1/things", "headers": [], "query_string": b""}
    await world.app(scope, receive, send)
    assert len(sent) == after
    assert (world.recorder.only.status, world.recorder.only.error_code) == (200, code)


async def test_what_machines_ask_every_few_seconds_is_not_recorded() -> None:
    world = World()
    assert (await world.get("/livez")).status_code == 200
    assert world.recorder.contexts == []


async def test_a_process_that_drains_closes_each_connection_after_its_answer() -> None:
    world = World()
    assert "connection" not in (await world.get()).headers
    world.draining.begun = True
    for path in ("/v1/things", "/livez", "/nowhere"):
        assert (await world.get(path)).headers["connection"] == "close"


async def test_the_routers_lifespan_runs_behind_it() -> None:
    world = World()
    async with world.app.router.lifespan_context(world.app):
        assert world.lifespans == ["begun"]
    assert world.lifespans == ["begun", "ended"]


async def test_whoever_is_refused_all_the_time_waits_for_it_and_for_nothing_else() -> None:
    world = World()
    world.app._pacing.delay_s("127.0.0.1", 1.0, asyncio.get_running_loop().time())
    refused = asyncio.ensure_future(world.get("/nowhere"))
    for _ in range(20):
        await asyncio.sleep(0)
    assert (await world.get()).status_code == 200
    assert (await world.request("POST", "/livez")).status_code == 405, "probes never wait"
    assert not refused.done()
    refused.cancel()


async def test_beyond_those_that_wait_for_their_refusal_a_caller_gets_none() -> None:
    world = World()
    world.app._pacing.delay_s("127.0.0.1", 1.0, asyncio.get_running_loop().time())
    refused = [asyncio.ensure_future(world.get("/nowhere")) for _ in range(MAX_WAITING_OF_CALLER)]
    for _ in range(20):
        await asyncio.sleep(0)
    with pytest.raises(AssertionError):  # httpx's transport: no answer was begun.
        await world.get("/nowhere")
    assert (await world.get()).status_code == 200
    for task in refused:
        task.cancel()
    await asyncio.gather(*refused, return_exceptions=True)
