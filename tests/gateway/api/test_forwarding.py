"""Forwarding between a real client and a control plane on loopback, both over HTTP."""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import socket
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import httpx
import pytest

from gateway.api.forwarding import OPERATORS_PATHS, PATHS, SIGN_IN
from tests.fakes.backend import FakeBackend
from tests.fakes.control_plane import FakeControlPlane, ReceivedRequest
from tests.fakes.gateway import COMPLAINT, add_key, add_label_set, add_tenant, gateway, gateway_app
from tests.fakes.listener import NOBODY, listener_of
from tests.fakes.server import serving
from tests.fakes.stores import Memory
from tests.problems import assert_problem

MEGABYTE = 1_000_000
INTERNAL_KEY = "internal-key-0123456789-0123456789"
OPERATOR = {"Authorization": "Bearer of-the-operator"}
FORM = {"Content-Type": "multipart/form-data; boundary=x"}
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
        settings = {"control_plane_url": url, "internal_key": INTERNAL_KEY} | settings
        app = gateway_app(FakeBackend(), both.memory, both.lines, **settings)
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
        response = await both.client.request(method, target, headers=OPERATOR)
        assert (response.status_code, response.content) == (200, b"" if method == "HEAD" else b"{}")
        assert (both.received.method, both.received.target) == (method, target)


async def test_headers_arrive_byte_for_byte_but_those_of_one_connection() -> None:
    memory = Memory()
    key = add_key(memory, add_tenant(memory))["Authorization"].encode()
    sent = [
        (b"authorization", key),
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
    async with planes(memory=memory) as both:
        await both.client.get("/v1/label-sets", headers=[*sent, *hop_by_hop])
        names = {name for name, _ in both.received.headers}
        assert [header for header in both.received.headers if header in sent] == sent
        assert names.isdisjoint({b"keep-alive", b"te", b"proxy-authorization"})
        assert b"close" not in b"".join(both.received.header("connection"))
        # Nor any that nobody sent: not every caller can read what httpx would ask for.
        assert names <= {name for name, _ in sent} | {b"host", b"x-request-id", b"connection"}


async def test_blanks_around_a_headers_value_are_not_sent() -> None:
    """As curl sends `Authorization: Bearer $KEY` where KEY is empty."""
    async with planes() as both:
        request = b"GET /v1/tenants HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer \r\n\r\n"
        assert await both.raw(request) == b"HTTP/1.1 200 OK\r\n"
        assert both.received.header("authorization") == [b"Bearer"]


async def test_whoever_signs_in_needs_no_key_and_failures_count_for_the_address() -> None:
    async with planes(FakeControlPlane(status=401), max_auth_failures_per_s=1) as both:
        codes = []
        for _ in range(7):
            sent = await both.client.post("/v1/sign-in/sessions", json={"code": "c"})
            codes.append(sent.status_code)
        received = both.control_plane.requests[0]
        assert (received.method, received.target) == ("POST", "/v1/sign-in/sessions")
        assert codes == [401] * 5 + [429] * 2


async def test_the_sign_in_of_a_machine_that_needs_no_keys_is_no_other_names() -> None:
    async with planes(require_key=False, host="127.0.0.1") as both:
        refused = await both.client.get("/v1/sign-in", headers={"Host": "evil.example"})
        assert_problem(refused, 401, "unauthorized")


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
        headers = FORM | ({"Content-Length": str(LARGE_BYTES)} if declared else {})
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
    memory = Memory()
    keys = [add_key(memory, add_tenant(memory, name)) for name in ("t_one", "t_two", "t_three")]
    async with planes(control_plane, memory, max_forwarded_requests=2, require_key=True) as both:
        held = [asyncio.create_task(both.client.get("/v1/label-sets", headers=key)) for key in keys[:2]]
        await until(lambda: len(control_plane.requests) == 2)
        refused = await both.client.get("/v1/label-sets", headers=keys[2])
        assert_problem(refused, 503, "overloaded")
        assert refused.headers["retry-after"] == "1"
        assert len(control_plane.requests) == 2
        both.client.headers.update(keys[2])
        async with asyncio.timeout(1):
            assert (await both.classify()).status_code == 200
        control_plane.before_answering.set()
        assert [response.status_code for response in await asyncio.gather(*held)] == [200, 200]
        assert (await both.client.get("/v1/label-sets")).status_code == 200


async def test_one_tenant_takes_half_of_the_limit_and_leaves_the_rest_to_others() -> None:
    control_plane = FakeControlPlane(before_answering=asyncio.Event())
    memory = Memory()
    slow, other = [add_key(memory, add_tenant(memory, name)) for name in ("t_slow", "t_other")]
    async with planes(control_plane, memory, max_forwarded_requests=4, require_key=True) as both:
        held = [asyncio.create_task(both.client.get("/v1/files", headers=slow)) for _ in range(2)]
        await until(lambda: len(control_plane.requests) == 2)
        assert_problem(await both.client.get("/v1/files", headers=slow), 503, "overloaded")
        strangers = [asyncio.create_task(both.client.get("/v1/tenants", headers=OPERATOR)) for _ in range(2)]
        await until(lambda: len(control_plane.requests) == 4)
        assert_problem(await both.client.get("/v1/files", headers=other), 503, "overloaded")
        control_plane.before_answering.set()
        assert {response.status_code for response in await asyncio.gather(*held, *strangers)} == {200}
        for key in (slow, other):
            assert (await both.client.get("/v1/files", headers=key)).status_code == 200


async def test_without_a_control_plane_each_request_is_a_problem_and_takes_no_place() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{unused.getsockname()[1]}"
        async with gateway(control_plane_url=url, internal_key=INTERNAL_KEY, max_forwarded_requests=1) as client:
            for _ in range(3):
                refused = await client.get("/v1/usage")
                assert_problem(refused, 503, "control_plane_unavailable")
                assert refused.headers["retry-after"] == "2"
            assert (await client.post("/v1/classify", json=COMPLAINT)).status_code == 200


async def test_a_url_that_is_too_long_with_the_control_planes_address_is_refused() -> None:
    url = f"http://{'a' * 200}.invalid"
    async with gateway(control_plane_url=url, internal_key=INTERNAL_KEY) as client:
        refused = await client.get(f"/v1/label-sets?after={'x' * 65_400}")
    assert_problem(refused, 422, "invalid_request")


async def test_where_the_same_user_must_listen_nothing_is_sent_to_a_port_that_nobody_has() -> None:
    """As after the end of the control plane: its port is anybody's until it is back."""
    async with planes(same_user=True) as both:
        assert (await both.client.get("/v1/usage")).status_code == 200
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{unused.getsockname()[1]}"
        async with gateway(control_plane_url=url, internal_key=INTERNAL_KEY, same_user=True) as client:
            assert_problem(await client.get("/v1/usage"), 503, "control_plane_unavailable")


async def test_nothing_is_sent_to_another_user_who_listens_in_place_of_the_control_plane() -> None:
    if os.geteuid() != 0:
        pytest.skip("only root can become another user")
    with listener_of(NOBODY) as stranger:
        url = f"http://127.0.0.1:{stranger.port}"
        async with gateway(control_plane_url=url, internal_key=INTERNAL_KEY, same_user=True) as client:
            for path in ("/openapi.json", "/v1/usage", "/v1/tenants", "/"):
                await client.get(path, headers=OPERATOR)
        assert stranger.heard() == "nobody connected"


async def test_the_page_takes_no_body() -> None:
    """It needs no key, and a slow body would hold a place."""
    async with planes() as both:
        for path in ("/", "/docs", "/ui/app.js"):
            assert_problem(await both.client.post(path, content=b"x"), 422, "invalid_request")
        assert both.control_plane.requests == []
        # Some clients and proxies say so of a body that they do not have.
        assert (await both.client.get("/", headers={"Content-Length": "0"})).is_success
        assert len(both.control_plane.requests) == 1


async def test_an_answer_that_is_cut_off_is_cut_off_for_the_caller_too(caplog: pytest.LogCaptureFixture) -> None:
    control_plane = FakeControlPlane(body=(b"x" * 100,), headers=[(b"content-length", b"1000")], dies=True)
    async with planes(control_plane) as both:
        with pytest.raises(httpx.RemoteProtocolError):
            await both.client.get("/v1/files/file-1/content")
        line = await both.logged()
    assert (line["status"], line["error_code"]) == (200, "control_plane_unavailable")
    assert "failed unexpectedly" not in caplog.text


async def test_a_control_plane_that_hangs_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("web.reverse_proxy.IDLE_TIMEOUT_S", 0.1)
    control_plane = FakeControlPlane(before_answering=asyncio.Event())
    async with planes(control_plane) as both:
        assert_problem(await both.client.get("/v1/usage"), 503, "control_plane_unavailable")


UNFINISHED_UPLOAD = (
    b"POST /v1/files HTTP/1.1\r\nHost: localhost\r\n"
    b"Content-Type: multipart/form-data\r\nContent-Length: 9\r\n\r\n{"
)


async def test_an_upload_that_does_not_end_is_given_up() -> None:
    async with asyncio.timeout(5), planes(forward_timeout_s=0.1) as both:
        status_line = await both.raw(UNFINISHED_UPLOAD)
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
            await both.client.post("/v1/files", content=upload(), headers=FORM)
        line = await both.logged()
        assert (line["status"], line["error_code"]) == (499, "client_disconnected")
        await until(lambda: both.received.disconnected)
        assert (await both.client.get("/v1/files")).status_code == 200
        assert "Traceback" not in caplog.text


def with_parameters(path: str) -> str:
    return path.replace("{path:path}", "x")


NEED_A_KEY = [path for path in PATHS if path.startswith("/v1/") and not path.startswith(SIGN_IN)]


@pytest.mark.parametrize("path", NEED_A_KEY)
async def test_without_a_key_where_one_is_needed_nothing_is_forwarded(path: str) -> None:
    memory = Memory()
    key = add_key(memory, add_tenant(memory))
    async with planes(memory=memory, require_key=True) as both:
        assert_problem(await both.client.post(with_parameters(path)), 401, "unauthorized")
        if not path.startswith(OPERATORS_PATHS):
            # Whether it is the admin key, the control plane alone knows.
            refused = await both.client.post(with_parameters(path), headers=OPERATOR)
            assert_problem(refused, 401, "unauthorized")
        assert both.control_plane.requests == []
        assert (await both.client.get(with_parameters(path), headers=key)).status_code == 200
        assert both.received.header("authorization") == [key["Authorization"].encode()]


TENANTS_OWN = [path for path in NEED_A_KEY if not path.startswith(OPERATORS_PATHS)]


@pytest.mark.parametrize("path", TENANTS_OWN)
@pytest.mark.parametrize("headers", [{}, {"Authorization": "Bearer sk-1"}, {"Authorization": "Basic YTpi"}])
async def test_where_no_key_is_needed_the_gateway_asks_for_the_local_tenant(
    path: str, headers: dict[str, str]
) -> None:
    async with planes() as both:
        response = await both.client.get(with_parameters(path), headers=headers)
        assert response.status_code == 200
        assert response.headers.get("x-wanneng-tenant") == ("local" if headers else None)
        assert both.received.header("authorization") == [f"Bearer {INTERNAL_KEY}".encode()]
        assert both.received.header("x-wanneng-tenant") == [b"local"]
        assert (await both.logged())["tenant_id"] == "local"


@pytest.mark.parametrize("path", TENANTS_OWN)
@pytest.mark.parametrize(
    "headers",
    [
        {"Host": "evil.example"},
        {"Origin": "http://evil.example"},
        {"Sec-Fetch-Site": "cross-site"},
        {"X-Forwarded-For": "127.0.0.1"},
    ],
)
async def test_a_strangers_request_without_a_key_is_not_forwarded(path: str, headers: dict[str, str]) -> None:
    """With a key it is: whoever has one may come from anywhere."""
    memory = Memory()
    key = add_key(memory, add_tenant(memory))
    async with planes(memory=memory) as both:
        for unknown in ({}, OPERATOR):
            refused = await both.client.get(with_parameters(path), headers=headers | unknown)
            assert_problem(refused, 401, "unauthorized")
        assert both.control_plane.requests == []
        assert (await both.client.get(with_parameters(path), headers=headers | key)).status_code == 200


@pytest.mark.parametrize("given", ["acme", "local"])
@pytest.mark.parametrize("authorization", [f"Bearer {INTERNAL_KEY}", None])
async def test_nobody_outside_names_a_tenant(given: str, authorization: str | None) -> None:
    memory = Memory()
    key = add_key(memory, add_tenant(memory))
    headers = {"X-Wanneng-Tenant": given} | ({"Authorization": authorization} if authorization else key)
    async with planes(memory=memory, require_key=True) as both:
        refused = await both.client.get("/v1/usage", headers=headers)
        assert refused.status_code == (401 if authorization else 200)
        tenants = await both.client.get("/v1/tenants", headers=headers)
        assert tenants.status_code == 200
        assert [request.header("x-wanneng-tenant") for request in both.control_plane.requests] == [[]] * (
            1 if authorization else 2
        )


async def test_without_an_internal_key_the_way_out_is_named() -> None:
    async with planes(internal_key="") as both:
        problem = assert_problem(await both.client.get("/v1/usage"), 501, "not_available")
        assert "WANNENG_INTERNAL_KEY" in problem["detail"]
        assert both.control_plane.requests == []


async def test_wrong_admin_keys_are_throttled_and_the_right_one_is_not() -> None:
    control_plane = FakeControlPlane(401)
    async with planes(control_plane, max_auth_failures_per_s=1) as both:
        codes = [(await both.client.get("/v1/tenants", headers=OPERATOR)).status_code for _ in range(8)]
        assert codes == [401] * 5 + [429] * 3
        control_plane.status = 200
        assert (await both.client.get("/v1/tenants", headers=OPERATOR)).status_code == 200


PAGE = pytest.mark.parametrize("path", ["/", "/console", "/docs", "/ui/app.js"])


@PAGE
async def test_the_page_needs_no_key(path: str) -> None:
    for require_key in (True, False):
        async with planes(require_key=require_key) as both:
            assert (await both.client.get(path)).status_code == 200


@PAGE
async def test_where_no_key_is_needed_the_page_is_not_served_under_another_name(path: str) -> None:
    """A name that was rebound to this machine: its pages could read whatever the gateway answers."""
    elsewhere = {"Host": "evil.example:8080"}
    async with planes() as both:
        assert_problem(await both.client.get(path, headers=elsewhere), 401, "unauthorized")
        assert both.control_plane.requests == []
    async with planes(require_key=True) as both:
        assert (await both.client.get(path, headers=elsewhere)).status_code == 200


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
        await both.client.put("/v1/label-sets/tickets", json={})
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


@pytest.mark.parametrize("path", ["/v1/keys/k", "/v1/label-sets/tickets", "/v1/tenants/acme/quota", "/v1/tenants"])
async def test_a_change_of_one_tenant_makes_nothing_of_another_forgotten(path: str) -> None:
    """Or whoever changes a key in a loop sends every tenant's requests to the database."""
    memory = Memory()
    key, others = (add_key(memory, add_tenant(memory, name)) for name in ("acme", "other"))
    add_label_set(memory, ["投诉", "咨询"], tenant_id="other")
    asked: dict[str, Any] = {"headers": others, "json": {"text": "x", "label_set": "tickets"}}
    async with planes(memory=memory, require_key=True) as both:
        assert (await both.classify(**asked)).status_code == 200
        sender = OPERATOR if path.startswith(OPERATORS_PATHS) else key
        assert (await both.client.put(path, headers=sender, json={})).status_code == 200
        lookups = memory.lookups
        memory.down = True
        assert (await both.classify(**asked)).status_code == 200
        assert memory.lookups == lookups


async def test_a_cookie_that_one_caller_was_given_never_goes_out_with_anothers_request() -> None:
    """Seen failing with httpx's own jar, which the callers would share."""
    control_plane = FakeControlPlane(headers=[(b"set-cookie", b"session=first; Path=/")])
    async with planes(control_plane) as both:
        await both.client.get("/v1/label-sets")
        both.client.cookies.clear()
        await both.client.get("/v1/label-sets")
        assert [request.header("cookie") for request in control_plane.requests] == [[], []]
