"""Forwarding between a real client and a control plane on loopback, both over HTTP."""

from __future__ import annotations

import asyncio
import hashlib
import json
import socket
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import httpx
import pytest

from gateway.api.forwarding import PATHS
from tests.fakes.backend import FakeBackend
from tests.fakes.control_plane import FakeControlPlane, ReceivedRequest
from tests.fakes.gateway import COMPLAINT, add_key, add_label_set, add_tenant, gateway, gateway_app
from tests.fakes.server import serving
from tests.fakes.stores import Memory
from tests.problems import assert_problem

MEGABYTE = 1_000_000
LARGE_BYTES, HELD_BYTES = 50 * MEGABYTE, 15 * MEGABYTE
"""A body, and how much of it the sockets on its way may hold when nobody takes it."""


@dataclass
class Planes:
    """A gateway and a control plane, each a server; `client` asks the gateway, with no header of its own."""

    control_plane: FakeControlPlane
    memory: Memory
    lines: list[bytes]
    client: httpx.AsyncClient = field(default_factory=lambda: httpx.AsyncClient(trust_env=False))

    @property
    def received(self) -> ReceivedRequest:
        (request,) = self.control_plane.requests
        return request

    async def classify(self, **options: Any) -> httpx.Response:
        return await self.client.post("/v1/classify", **({"json": COMPLAINT} | options))

    async def raw(self, request: bytes) -> bytes:
        """The status line of the answer to `request`, which no HTTP client would send so."""
        reader, writer = await asyncio.open_connection(self.client.base_url.host, self.client.base_url.port)
        writer.write(request)
        try:
            return await reader.readline()
        finally:
            writer.close()
            await writer.wait_closed()

    async def logged(self) -> dict[str, Any]:
        """The one line of the access log."""
        await until(lambda: bool(self.lines))
        (line,) = b"".join(self.lines).splitlines()
        decoded: dict[str, Any] = json.loads(line)
        return decoded


@asynccontextmanager
async def planes(
    control_plane: FakeControlPlane | None = None, memory: Memory | None = None, **settings: Any
) -> AsyncIterator[Planes]:
    both = Planes(control_plane or FakeControlPlane(), memory or Memory(), [])
    async with serving(both.control_plane) as url:
        app = gateway_app(FakeBackend(), both.memory, both.lines, control_plane_url=url, **settings)
        async with serving(app) as gateway_url, both.client:
            both.client.headers.clear()
            both.client.base_url = gateway_url
            yield both


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(5):
        while not condition():
            await asyncio.sleep(0.01)


async def until_still(number: Callable[[], int]) -> int:
    """The number, once it has not changed for a while."""
    before = -1
    while before != number():
        before = number()
        await asyncio.sleep(0.3)
    return before


@pytest.mark.parametrize(
    ("method", "target"),
    [
        ("GET", "/v1/label-sets"),
        ("GET", "/v1/label-sets/a%2Fb%20c@3?x=%E4%BD%A0&y=a+b&z&x=2"),
        ("PUT", "/v1/label-sets/tickets"),
        ("PATCH", "/v1/tenants/t_1"),
        ("POST", "/v1/tenants/t_1/keys/k_1/rotate"),
        ("DELETE", "/v1/files/file-1"),
        ("GET", "/v1/usage?from=2030-01-01&to=2030-01-02"),
        ("POST", "/v1/batches"),
        ("HEAD", "/"),
        ("GET", "/docs"),
        ("GET", "/ui/app.js?v=%22"),
    ],
)
async def test_method_path_and_query_arrive_as_they_were_sent(method: str, target: str) -> None:
    async with planes() as both:
        response = await both.client.request(method, target)
        assert (response.status_code, response.content) == (200, b"" if method == "HEAD" else b"{}")
        assert (both.received.method, both.received.target) == (method, target)


async def test_headers_arrive_byte_for_byte_but_those_of_one_connection() -> None:
    sent = [
        (b"authorization", b"Bearer wn_1"),
        (b"if-match", b'"3"'),
        (b"x-name", "täglich".encode()),
        (b"x-name", b"\xe9"),
        (b"accept", b"text/html"),
    ]
    hop_by_hop = [
        (b"connection", b"close, authorization"),
        (b"keep-alive", b"timeout=5"),
        (b"te", b"trailers"),
        (b"proxy-authorization", b"Basic abc"),
    ]
    async with planes() as both:
        await both.client.get("/v1/label-sets", headers=[*sent, *hop_by_hop])
        names = {name for name, _ in both.received.headers}
        assert [header for header in both.received.headers if header in sent] == sent
        assert names.isdisjoint({b"keep-alive", b"te", b"proxy-authorization"})
        assert b"close" not in b"".join(both.received.header("connection"))
        # Nor any that nobody sent: not every caller can read what httpx would ask for.
        assert names <= {name for name, _ in sent} | {b"host", b"x-request-id", b"connection"}


@pytest.mark.parametrize("status", [200, 201, 204, 302, 304, 401, 404, 412, 413, 429, 500, 503])
async def test_status_headers_and_body_come_back(status: int) -> None:
    has_body = status not in (204, 304)
    headers = [
        (b"content-type", b"application/problem+json"),
        (b"etag", b'"3"'),
        (b"retry-after", b"7"),
        (b"set-cookie", b"a=1"),
        (b"set-cookie", b"b=2"),
        (b"x-name", "täglich".encode()),
        (b"keep-alive", b"timeout=5"),
        (b"proxy-authenticate", b"Basic"),
        *([(b"content-length", b"6")] if has_body else []),
    ]
    control_plane = FakeControlPlane(status, headers, (b"abc", b"def") if has_body else ())
    async with planes(control_plane) as both:
        response = await both.client.get("/v1/label-sets")
    assert (response.status_code, response.content) == (status, b"abcdef" if has_body else b"")
    assert [header for header in response.headers.raw if header in headers] == [
        header for header in headers if header[0] not in (b"keep-alive", b"proxy-authenticate")
    ]
    assert "keep-alive" not in response.headers
    assert "proxy-authenticate" not in response.headers
    assert len(response.headers.get_list("date")) == 1


@pytest.mark.parametrize("given", ["order-17", None])
async def test_one_request_id_is_in_the_request_the_answer_and_the_log(given: str | None) -> None:
    control_plane = FakeControlPlane(headers=[(b"x-request-id", b"of-the-control-plane")])
    async with planes(control_plane) as both:
        response = await both.client.get("/v1/usage", headers={"X-Request-Id": given} if given else {})
        (request_id,) = response.headers.get_list("x-request-id")
        assert request_id == given or given is None
        assert both.received.header("x-request-id") == [request_id.encode()]
        line = await both.logged()
    assert (line["request_id"], line["route"], line["status"]) == (request_id, "/v1/usage", 200)


def large_body() -> Iterator[bytes]:
    for number in range(LARGE_BYTES // 50_000):
        yield number.to_bytes(2, "big") * 25_000


def sha256(chunks: Iterator[bytes]) -> str:
    digest = hashlib.sha256()
    for chunk in chunks:
        digest.update(chunk)
    return digest.hexdigest()


@pytest.mark.parametrize("declared", [True, False])
async def test_a_large_upload_flows_through_and_is_never_held_whole(declared: bool) -> None:
    """While the control plane reads nothing, the client cannot send on."""
    sent = 0

    async def upload() -> AsyncIterator[bytes]:
        nonlocal sent
        for chunk in large_body():
            yield chunk
            sent += len(chunk)

    control_plane = FakeControlPlane(before_reading=asyncio.Event())
    async with planes(control_plane) as both:
        headers = {"Content-Length": str(LARGE_BYTES)} if declared else {}
        uploading = asyncio.create_task(both.client.post("/v1/files", content=upload(), headers=headers))
        await until(lambda: bool(control_plane.requests))
        assert await until_still(lambda: sent) < HELD_BYTES
        control_plane.before_reading.set()
        assert (await uploading).status_code == 200
        received = both.received
    assert (received.body_bytes, received.sha256) == (LARGE_BYTES, sha256(large_body()))
    expected = [str(LARGE_BYTES).encode()] if declared else []
    assert received.header("content-length") == expected


async def test_a_large_download_flows_through_and_is_never_held_whole() -> None:
    """While the client reads nothing, the control plane cannot send on."""
    control_plane = FakeControlPlane(body=large_body())
    async with planes(control_plane) as both, both.client.stream("GET", "/v1/files/file-1/content") as response:
        assert await until_still(lambda: control_plane.sent_bytes) < HELD_BYTES
        digest, received = hashlib.sha256(), 0
        async for chunk in response.aiter_bytes():
            digest.update(chunk)
            received += len(chunk)
    assert (received, digest.hexdigest()) == (LARGE_BYTES, sha256(large_body()))


async def test_an_answer_is_passed_on_as_it_comes() -> None:
    control_plane = FakeControlPlane(body=(b"late",), before_body=asyncio.Event())
    async with planes(control_plane) as both, both.client.stream("GET", "/v1/files/file-1/content") as response:
        assert response.status_code == 200
        control_plane.before_body.set()
        assert await response.aread() == b"late"


async def test_more_than_the_limit_at_a_time_are_refused_while_classification_goes_on() -> None:
    control_plane = FakeControlPlane(before_answering=asyncio.Event())
    async with planes(control_plane, max_forwarded_requests=2) as both:
        held = [asyncio.create_task(both.client.get("/v1/label-sets")) for _ in range(2)]
        await until(lambda: len(control_plane.requests) == 2)
        refused = await both.client.get("/v1/label-sets")
        assert_problem(refused, 503, "overloaded")
        assert refused.headers["retry-after"] == "1"
        assert len(control_plane.requests) == 2
        async with asyncio.timeout(1):
            assert (await both.classify()).status_code == 200
        control_plane.before_answering.set()
        assert [response.status_code for response in await asyncio.gather(*held)] == [200, 200]
        assert (await both.client.get("/v1/label-sets")).status_code == 200


async def test_without_a_control_plane_each_request_is_a_problem_and_takes_no_place() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{unused.getsockname()[1]}"
        async with gateway(control_plane_url=url, max_forwarded_requests=1) as client:
            for _ in range(3):
                refused = await client.get("/v1/usage")
                assert_problem(refused, 503, "control_plane_unavailable")
                assert refused.headers["retry-after"] == "2"
            assert (await client.post("/v1/classify", json=COMPLAINT)).status_code == 200


async def test_an_answer_that_is_cut_off_is_cut_off_for_the_caller_too(caplog: pytest.LogCaptureFixture) -> None:
    control_plane = FakeControlPlane(body=(b"x" * 100,), headers=[(b"content-length", b"1000")], dies=True)
    async with planes(control_plane) as both:
        with pytest.raises(httpx.RemoteProtocolError):
            await both.client.get("/v1/files/file-1/content")
        line = await both.logged()
    assert (line["status"], line["error_code"]) == (200, "control_plane_unavailable")
    assert "failed unexpectedly" not in caplog.text


async def test_a_control_plane_that_hangs_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.bootstrap.IDLE_TIMEOUT_S", 0.1)
    control_plane = FakeControlPlane(before_answering=asyncio.Event())
    async with planes(control_plane) as both:
        assert_problem(await both.client.get("/v1/usage"), 503, "control_plane_unavailable")


async def test_an_upload_that_does_not_end_is_given_up() -> None:
    async with asyncio.timeout(5), planes(forward_timeout_s=0.1) as both:
        status_line = await both.raw(b"POST /v1/files HTTP/1.1\r\nHost: gateway\r\nContent-Length: 9\r\n\r\n{")
        assert status_line.startswith(b"HTTP/1.1 408 ")
        assert (await both.logged())["error_code"] == "body_too_slow"


async def test_a_client_that_disconnects_ends_its_upload_and_gives_its_place_back(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def upload() -> AsyncIterator[bytes]:
        yield b"x" * 1_000
        await until(lambda: bool(both.control_plane.requests))
        raise ConnectionResetError

    async with planes(max_forwarded_requests=1) as both:
        with pytest.raises(ConnectionResetError):
            await both.client.post("/v1/files", content=upload())
        line = await both.logged()
        assert (line["status"], line["error_code"]) == (499, "client_disconnected")
        await until(lambda: both.received.disconnected)
        assert (await both.client.get("/v1/files")).status_code == 200
        assert "Traceback" not in caplog.text


def with_parameters(path: str) -> str:
    return path.replace("{path:path}", "x")


@pytest.mark.parametrize("path", [path for path in PATHS if path.startswith("/v1/")])
async def test_without_a_key_where_one_is_needed_nothing_is_forwarded(path: str) -> None:
    """The control plane may listen on loopback, where it asks for none."""
    async with planes(require_key=True) as both:
        refused = await both.client.post(with_parameters(path))
        assert_problem(refused, 401, "unauthorized")
        assert both.control_plane.requests == []
        key = {"Authorization": "Bearer whatever"}
        assert (await both.client.get(with_parameters(path), headers=key)).status_code == 200


@pytest.mark.parametrize("path", ["/", "/docs", "/ui/app.js"])
async def test_the_page_needs_no_key(path: str) -> None:
    async with planes(require_key=True) as both:
        assert (await both.client.get(path)).status_code == 200


@pytest.mark.parametrize(
    "target", ["/ui/../v1/label-sets", "/ui/%2e%2e/v1/label-sets", "/ui/./../metrics", "/v1/files/.."]
)
async def test_a_path_with_dots_is_not_forwarded(target: str) -> None:
    """It would become `/v1/label-sets`, without the key that this needs."""
    async with planes(require_key=True) as both:
        status_line = await both.raw(f"GET {target} HTTP/1.1\r\nHost: gateway\r\n\r\n".encode())
        assert status_line.startswith(b"HTTP/1.1 404 ")
        assert both.control_plane.requests == []


@pytest.mark.parametrize("settings", [{}, {"tenants_file": "tenants.yaml", "control_plane_url": "http://x"}])
@pytest.mark.parametrize("path", PATHS)
async def test_where_there_is_no_control_plane_its_paths_are_not_available(
    path: str, settings: dict[str, Any]
) -> None:
    async with gateway(**settings) as client:
        problem = assert_problem(await client.get(with_parameters(path)), 501, "not_available")
    named = "WANNENG_TENANTS_FILE" if settings else "WANNENG_CONTROL_PLANE_URL"
    assert named in problem["detail"]


async def test_a_forwarded_change_of_a_tenant_acts_at_once() -> None:
    """Before its answer: the caller may use what it has changed as soon as it hears of it."""
    memory = Memory()
    tenant = add_tenant(memory)
    key = add_key(memory, tenant)
    control_plane = FakeControlPlane(before_body=asyncio.Event())
    async with planes(control_plane, memory, require_key=True) as both:
        assert (await both.classify(headers=key)).status_code == 200
        memory.keys.clear()
        assert (await both.classify(headers=key)).status_code == 200, "remembered"
        async with both.client.stream("DELETE", "/v1/tenants/acme/keys/k", headers=key) as response:
            assert response.status_code == 200
            assert (await both.classify(headers=key)).status_code == 401
            control_plane.before_body.set()
            await response.aread()


async def test_a_forwarded_change_of_a_label_set_acts_at_once() -> None:
    memory = Memory()
    add_label_set(memory, ["投诉", "咨询"])
    async with planes(memory=memory) as both:

        async def version() -> str:
            answer = await both.classify(json={"text": "x", "label_set": "tickets"})
            return str(answer.json()["label_set"])

        assert await version() == "tickets@1"
        add_label_set(memory, ["a", "b"])
        assert await version() == "tickets@1"
        await both.client.put("/v1/label-sets/tickets", content=b"{}")
        assert await version() == "tickets@2"


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/v1/tenants/acme", 200),
        ("HEAD", "/v1/label-sets", 200),
        ("PATCH", "/v1/tenants/acme", 401),
        ("PUT", "/v1/label-sets/tickets", 412),
        ("DELETE", "/v1/tenants/acme", 503),
        ("POST", "/v1/files", 201),
        ("POST", "/v1/batches", 200),
    ],
)
async def test_what_changes_no_tenant_and_no_label_set_makes_nothing_forgotten(
    method: str, path: str, status: int
) -> None:
    """Or a stranger's requests would lose the keys that are known in an outage of the database."""
    memory = Memory()
    key = add_key(memory, add_tenant(memory))
    async with planes(FakeControlPlane(status), memory, require_key=True) as both:
        assert (await both.classify(headers=key)).status_code == 200
        memory.down = True
        response = await both.client.request(method, path, headers=key)
        assert response.status_code == status
        assert (await both.classify(headers=key)).status_code == 200
