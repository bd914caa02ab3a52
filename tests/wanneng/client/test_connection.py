"""How the client connects where the environment has a proxy, and to gateways with a company's certificate."""

from __future__ import annotations

import json
import ssl
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from tests.http_server import in_thread
from tests.secure_postgresql import make_authority, make_certificate
from wanneng.client import Client
from wanneng.errors import RequestError

NO_USAGE = {"requests": 0, "pairs_computed": 0, "pairs_cached": 0, "tokens": 0}
NO_PRICE = {"cost": None, "price_per_million_tokens": None, "currency": None}
ANSWER = json.dumps({"days": [], "total": NO_USAGE | NO_PRICE, "label_sets": []}).encode()


class Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        assert isinstance(self.server, RecordingServer)
        self.server.targets.append(self.path)
        self.send_response(200)
        self.send_header("Content-Length", str(len(ANSWER)))
        self.end_headers()
        self.wfile.write(ANSWER)

    def log_message(self, *_: object) -> None:
        pass


class RecordingServer(HTTPServer):
    """A gateway, or a proxy in front of one: it answers whatever it is asked."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.targets: list[str] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


@pytest.fixture
def gateway() -> Iterator[RecordingServer]:
    with in_thread(RecordingServer()) as server:
        yield server


@pytest.fixture
def proxy() -> Iterator[RecordingServer]:
    with in_thread(RecordingServer()) as server:
        yield server


def test_a_proxy_of_the_environment_gets_nothing(
    gateway: RecordingServer, proxy: RecordingServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "HTTPS_PROXY"):
        monkeypatch.setenv(name, proxy.url)
    with Client(gateway.url, "wn_a_b") as client:
        client.usage()
    with Client("http://gateway.invalid", "wn_a_b", attempts=1) as client, pytest.raises(RequestError):
        client.usage()
    assert (gateway.targets, proxy.targets) == (["/v1/usage"], [])


def test_a_proxy_that_is_named_is_for_other_machines_alone(
    gateway: RecordingServer, proxy: RecordingServer
) -> None:
    with Client("http://gateway.invalid", "wn_a_b", proxy=proxy.url) as client:
        client.usage()
    for host in ("127.0.0.1", "localhost"):
        with Client(f"http://{host}:{gateway.server_port}", "wn_a_b", proxy=proxy.url) as client:
            client.usage()
    assert proxy.targets == ["http://gateway.invalid/v1/usage"]
    assert gateway.targets == ["/v1/usage"] * 2


def test_a_company_s_own_authority_is_one_of_the_environment(
    gateway: RecordingServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    authority = make_authority(tmp_path, "authority")
    certificate, key = make_certificate(tmp_path)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    gateway.socket = context.wrap_socket(gateway.socket, server_side=True)
    url = gateway.url.replace("http:", "https:")
    with Client(url, attempts=1) as client, pytest.raises(RequestError):
        client.usage()
    monkeypatch.setenv("SSL_CERT_FILE", str(authority))
    with Client(url) as client:
        client.usage()
    assert gateway.targets == ["/v1/usage"]


def test_a_client_over_http_reads_no_authorities(
    gateway: RecordingServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It would take a hundred times as long as the client itself."""
    read: list[object] = []
    monkeypatch.setattr(ssl.SSLContext, "load_verify_locations", lambda *_, **files: read.append(files))
    with Client(gateway.url) as client:
        client.usage()
    assert read == []
    Client("https://gateway.invalid").close()
    assert read
