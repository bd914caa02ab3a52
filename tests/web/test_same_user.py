"""Nothing is sent to another user of the machine who listens where a process of ours should."""

from __future__ import annotations

import os
import socket
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from tests.fakes.listener import NOBODY, Listener, listener_of
from tests.fakes.server import serving
from web.same_user import SameUserTransport, aiohttp_transport, certificates, certificates_for, is_ours
from web.settings import SettingsError

HTTPS = "http://10.0.0.1:8000, dns+https://triton:8443"


@contextmanager
def squatter() -> Iterator[Listener]:
    """Another user's process on a port of loopback."""
    if os.geteuid() != 0:
        pytest.skip("only root can become another user")
    with listener_of(NOBODY) as listener:
        yield listener


def client(*, same_user: bool) -> httpx.AsyncClient:
    return httpx.AsyncClient(transport=aiohttp_transport("", 4, same_user=same_user), trust_env=False, timeout=2)


async def hello(request: object) -> PlainTextResponse:
    return PlainTextResponse("hello")


@pytest.mark.parametrize("same_user", [True, False])
async def test_a_process_of_ours_is_connected_to(same_user: bool) -> None:
    async with serving(Starlette(routes=[Route("/", hello)])) as url, client(same_user=same_user) as http:
        for _ in range(3):
            assert (await http.get(url)).text == "hello"


async def test_nothing_is_sent_to_another_users_process() -> None:
    with squatter() as other:
        assert not is_ours("127.0.0.1", other.port)
        async with client(same_user=True) as http:
            for host in ("127.0.0.1", "localhost"):
                with pytest.raises(httpx.TransportError):
                    await http.post(f"http://{host}:{other.port}/", content=b"a secret")
        assert other.heard() == "nobody connected"


async def test_httpxs_own_transport_connects_to_what_is_ours_alone() -> None:
    async with httpx.AsyncClient(transport=SameUserTransport(), trust_env=False, timeout=2) as http:
        async with serving(Starlette(routes=[Route("/", hello)])) as url:
            for _ in range(3):
                assert (await http.get(url)).text == "hello"
        with socket.create_server(("127.0.0.1", 0)) as unused:
            port = unused.getsockname()[1]
        with pytest.raises(httpx.ConnectError, match="or nobody"):
            await http.get(f"http://127.0.0.1:{port}/")
        with squatter() as other:
            for _ in range(2):
                with pytest.raises(httpx.ConnectError, match="another user"):
                    await http.post(f"http://127.0.0.1:{other.port}/", content=b"a secret")
            assert other.heard() == "nobody connected"


async def test_whoever_does_not_ask_connects_to_anybody() -> None:
    with squatter() as other:
        async with client(same_user=False) as http:
            with pytest.raises(httpx.TransportError):
                await http.post(f"http://127.0.0.1:{other.port}/", content=b"a secret")
        assert other.heard() == "somebody connected"


def test_a_port_on_which_nobody_listens_is_not_ours() -> None:
    """Somebody may be faster than the connection."""
    with socket.create_server(("127.0.0.1", 0)) as unused:
        port = unused.getsockname()[1]
        assert is_ours("127.0.0.1", port)
    assert not is_ours("127.0.0.1", port)


def test_other_machines_are_not_asked_who_listens() -> None:
    assert is_ours("10.0.0.1", 1)


async def test_certificates_are_loaded_once_for_all_clients() -> None:
    """To load them takes longer than to start the rest of a client."""
    first, second = (aiohttp_transport(HTTPS, 1, same_user=same_user) for same_user in (False, True))
    assert first.ssl_context is second.ssl_context is certificates(trust_env=True)
    assert certificates(trust_env=True).verify_mode is ssl.CERT_REQUIRED


@pytest.mark.parametrize(
    ("variable", "content", "reason"),
    [("SSL_CERT_FILE", None, "No such file"), ("SSL_CERT_FILE", b"none", "X509"), ("SSL_CERT_DIR", None, "")],
)
def test_certificates_that_cannot_be_read_are_named_where_tls_needs_them(
    variable: str, content: bytes | None, reason: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    path = tmp_path / "authorities"
    if content is not None:
        path.write_bytes(content)
    monkeypatch.setenv(variable, str(path))
    certificates.cache_clear()
    assert not certificates_for("http://10.0.0.1:8000,dns+http://triton", trust_env=True).get_ca_certs()
    aiohttp_transport("http://127.0.0.1:8000", 1, same_user=True)
    if reason:
        with pytest.raises(SettingsError, match=f"^{variable} is '.*authorities', where no .*{reason}.*unset it$"):
            certificates_for(HTTPS, trust_env=True)
    certificates.cache_clear()
