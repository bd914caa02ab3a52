"""Each way in which there is no answer, from real servers: the type, one sentence, and what it came from."""

from __future__ import annotations

import asyncio
import socket
import ssl
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from threading import Thread

import httpx
import pytest

from tests.e2e.server import free_ports
from tests.secure_postgresql import make_authority, make_certificate
from wanneng import AsyncClient, Client
from wanneng.errors import (
    AnswerTimedOut,
    ConnectionBroken,
    ConnectionRefused,
    ConnectTimedOut,
    InvalidAddress,
    NameNotResolved,
    NotAGateway,
    ProxyFailed,
    RequestError,
    TlsFailed,
)

ROOT = Path(__file__).parents[3]
HEAD = b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n"
HTML = b"HTTP/1.1 %b\r\nContent-Type: text/html; charset=x\r\nContent-Length: 6\r\nConnection: close\r\n\r\n<html>"
JSON = b"HTTP/1.1 %b\r\nContent-Type: application/json\r\nContent-Length: %d\r\nConnection: close\r\n\r\n%b"
Answer = Callable[[socket.socket], None]


def answering(content: bytes) -> Answer:
    def answer(connection: socket.socket) -> None:
        connection.recv(65_536)
        connection.sendall(content)

    return answer


def json(status: bytes, content: bytes) -> Answer:
    return answering(JSON % (status, len(content), content))


@contextmanager
def listening(answer: Answer, context: ssl.SSLContext | None = None) -> Iterator[int]:
    """A server that treats each connection as `answer` does, over TLS with a `context`; its port."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            while True:
                try:
                    connection, _ = server.accept()
                except OSError:
                    return
                with connection:
                    try:
                        answer(
                            connection if context is None else context.wrap_socket(connection, server_side=True)
                        )
                    except OSError:
                        continue

        thread = Thread(target=serve, daemon=True)
        thread.start()
        yield server.getsockname()[1]
        # `close` alone does not wake a thread that waits in `accept`.
        server.shutdown(socket.SHUT_RDWR)
        thread.join(10)


def failure(url: str, proxy: str | None = None, timeout_s: float = 10.0) -> RequestError:
    """The error of `Client`, which is that of `AsyncClient` too."""
    with (
        pytest.raises(RequestError) as error,
        Client(url, "wn_key", attempts=1, proxy=proxy, timeout_s=timeout_s) as c,
    ):
        c.classify("x", ["a", "b"])

    async def again() -> None:
        async with AsyncClient(url, "wn_key", attempts=1, proxy=proxy, timeout_s=timeout_s) as client:
            await client.classify("x", ["a", "b"])

    with pytest.raises(RequestError) as same:
        asyncio.run(again())
    assert type(same.value) is type(error.value)
    if type(error.value) is not ConnectionBroken:
        # How a connection ends is a race.
        assert str(same.value) == str(error.value)
    assert "wn_key" not in str(error.value)
    assert "\n" not in str(error.value)
    return error.value


def check(error: RequestError, kind: type[RequestError], *words: str) -> None:
    assert type(error) is kind, error
    for word in words:
        assert word in str(error)
    if not isinstance(error, NotAGateway):
        assert error.__cause__ is not None


def test_nobody_listens() -> None:
    (port,) = free_ports(1)
    check(failure(f"http://127.0.0.1:{port}"), ConnectionRefused, f"nothing listens at http://127.0.0.1:{port}: ")


def test_a_name_that_nobody_knows() -> None:
    check(failure("http://gateway.invalid"), NameNotResolved, "http://gateway.invalid cannot be resolved")


@pytest.mark.parametrize(
    "url",
    ["gateway:8080", "127.0.0.1:8080", "ftp://gateway", "http://", "http://a:b:c", "http://a:99999", "", "x\n"],
)
def test_an_address_that_is_none(url: str) -> None:
    with pytest.raises(InvalidAddress, match=r"an example is http://127\.0\.0\.1:8080"):
        Client(url)
    with pytest.raises(InvalidAddress):
        AsyncClient(url)


@pytest.mark.parametrize(
    ("extra", "named"),
    [
        ("gateway?x=1", "a query"),
        ("gateway/v1?", "a query"),
        ("gateway#x", "a fragment"),
        ("user:secret@gateway", "a name or a password"),
        ("user@gateway/#", "a name or a password and a fragment"),
    ],
)
def test_an_address_with_more_than_a_host_and_a_path(extra: str, named: str) -> None:
    for client in (Client, AsyncClient):
        with pytest.raises(
            InvalidAddress, match=f"the gateway at http://gateway has {named}; leave that out"
        ) as e:
            client(f"http://{extra}")
        assert "secret" not in str(e.value)


@pytest.mark.parametrize(
    "url", ["http://me:sec#ret@host", "http://me:sec/ret@host", "http://me:secret@host:99999"]
)
def test_a_password_is_never_repeated(url: str) -> None:
    with pytest.raises(InvalidAddress) as refused:
        Client(url)
    assert "ret" not in str(refused.value)


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("certificates")
    make_authority(folder, "authority")
    make_certificate(folder)
    return folder


def tls(certificates: Path) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificates / "server.crt", certificates / "server.key")
    return context


def test_a_certificate_of_somebody_unknown_or_for_another_name(
    certificates: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with listening(answering(b""), tls(certificates)) as port:
        error = failure(f"https://127.0.0.1:{port}")
        check(error, TlsFailed, f"the certificate of https://127.0.0.1:{port} is not trusted: ", "SSL_CERT_FILE")
        monkeypatch.setenv("SSL_CERT_FILE", str(certificates / "authority.crt"))
        error = failure(f"https://localhost:{port}")
        check(
            error,
            TlsFailed,
            "the certificate of https://localhost",
            "a host name that the certificate is valid for",
        )


def test_tls_spoken_to_a_plain_port_and_the_other_way_round(certificates: Path) -> None:
    with listening(answering(HTML % b"400 Bad Request")) as port:
        error = failure(f"https://127.0.0.1:{port}")
        check(error, TlsFailed, f"https://127.0.0.1:{port} does not speak TLS; use http:// in the address")
    with listening(answering(b""), tls(certificates)) as port:
        error = failure(f"http://127.0.0.1:{port}")
        check(error, ConnectionBroken, "if it uses TLS, use https:// in the address")


def test_a_connection_that_nobody_accepts() -> None:
    with socket.create_server(("127.0.0.1", 0), backlog=0) as full, ExitStack() as stack:
        for _ in range(2):
            waiting = stack.enter_context(socket.socket())
            waiting.setblocking(False)
            waiting.connect_ex(full.getsockname())
        url = f"http://127.0.0.1:{full.getsockname()[1]}"
        check(failure(url, timeout_s=0.3), ConnectTimedOut, url, "firewall")


def test_an_answer_that_does_not_come() -> None:
    def wait(connection: socket.socket) -> None:
        while connection.recv(65_536):
            pass

    with listening(wait) as port:
        check(failure(f"http://127.0.0.1:{port}", timeout_s=0.3), AnswerTimedOut, "timeout_s")


@pytest.mark.parametrize("content", [b"", HEAD + b"{", b"HTTP/1.1 20", b"SSH-2.0-OpenSSH_9.2\r\n"])
def test_a_connection_that_ends_in_the_middle(content: bytes) -> None:
    with listening(answering(content)) as port:
        check(failure(f"http://127.0.0.1:{port}"), ConnectionBroken, "before the answer was complete", "try again")


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (answering(HTML % b"200 OK"), ["answered 200", "text/html", "is the address right?"]),
        (answering(HTML % b"404 Not Found"), ["answered 404", "text/html"]),
        (json(b"404 Not Found", b'{"detail":"Not Found"}'), ["answered 404", "no `code`"]),
        (json(b"200 OK", b'{"ok":true}'), ["answered 200", "is not the expected one"]),
        (json(b"200 OK", b"[1]"), ["not a JSON object"]),
        (
            answering(HTML % b"502 Bad Gateway"),
            ["answered 502", "a proxy in front of it", "is the gateway running?"],
        ),
        (
            answering(b"HTTP/1.1 301 Moved\r\nLocation: https://gateway/\r\nContent-Length: 0\r\n\r\n"),
            ["redirects to https://gateway/; use that address"],
        ),
    ],
)
def test_somebody_else_answers(answer: Answer, words: list[str]) -> None:
    with listening(answer) as port:
        error = failure(f"http://127.0.0.1:{port}")
    check(error, NotAGateway, *words)
    assert isinstance(error, NotAGateway)
    assert error.status in (200, 301, 404, 502)


def test_a_proxy_that_is_away_or_lets_nothing_through() -> None:
    (port,) = free_ports(1)
    away = failure("http://gateway.invalid", proxy=f"http://user:secret@127.0.0.1:{port}")
    check(away, ProxyFailed, f"the proxy http://127.0.0.1:{port} cannot be reached: Connection refused")
    with listening(answering(HTML % b"403 Forbidden")) as port:
        refused = failure("https://gateway.invalid", proxy=f"http://user:secret@127.0.0.1:{port}")
    check(
        refused,
        ProxyFailed,
        f"the proxy http://127.0.0.1:{port} did not connect to https://gateway.invalid",
        "403",
    )
    assert "secret" not in str(away) + str(refused)


def test_the_original_error_is_kept() -> None:
    (port,) = free_ports(1)
    assert isinstance(failure(f"http://127.0.0.1:{port}").__cause__, httpx.ConnectError)


def test_the_command_line_says_it_in_one_line() -> None:
    with listening(answering(HTML % b"404 Not Found")) as port:
        command = [
            sys.executable,
            "-m",
            "wanneng",
            "classify",
            "x",
            "--labels",
            "a,b",
            "--url",
            f"http://127.0.0.1:{port}",
        ]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    (line,) = done.stderr.splitlines()
    assert done.returncode == 1
    assert line.startswith(
        f"wanneng: http://127.0.0.1:{port}/v1/classify answered 404, but not as a wanneng gateway"
    )
