"""Explains in one sentence why no gateway answered: the address, the cause, and what to do.

Decides by types and codes of httpx, the operating system and OpenSSL, never by the wording of a message.
"""

from __future__ import annotations

import os
import re
import socket
import ssl
from collections.abc import Iterator

import httpx

from wanneng.errors import (
    AnswerTimedOut,
    ConnectionBroken,
    ConnectionRefused,
    ConnectTimedOut,
    InvalidAddress,
    NameNotResolved,
    NoConnection,
    NotAGateway,
    ProxyFailed,
    RequestError,
    TlsFailed,
)

NO_TLS = frozenset({"WRONG_VERSION_NUMBER", "RECORD_LAYER_FAILURE", "PACKET_LENGTH_TOO_LONG", "HTTP_REQUEST"})
"""OpenSSL's reasons when the other side does not speak TLS."""
MAX_PORT = 65_535
OF_PROXIES = frozenset({httpx.codes.BAD_GATEWAY, httpx.codes.SERVICE_UNAVAILABLE, httpx.codes.GATEWAY_TIMEOUT})
"""Statuses with which a proxy reports that the gateway behind it does not answer."""


def check_address(url: str) -> None:
    """`InvalidAddress` if `url` cannot be the address of a gateway."""
    try:
        parsed = httpx.URL(url)
    except httpx.InvalidURL as error:
        raise InvalidAddress(
            f"{_shown(url)!r} is not a valid address: {error}; an example is http://127.0.0.1:8080"
        ) from error
    if parsed.scheme not in ("http", "https") or not parsed.host or (parsed.port or 0) > MAX_PORT:
        raise InvalidAddress(
            f"{_shown(url)!r} is not the address of a gateway; an example is http://127.0.0.1:8080"
        )
    # By the characters: httpx does not tell an empty query from none.
    present = {"a name or a password": parsed.userinfo, "a query": "?" in url, "a fragment": "#" in url}
    extra = [part for part, there in present.items() if there]
    if extra:
        raise InvalidAddress(
            f"the address of the gateway at {_place(url)} has {' and '.join(extra)}; leave that out, and give "
            "the key in WANNENG_KEY or with --key-file"
        )


def _shown(url: str) -> str:
    """Without what may be a password."""
    return re.sub(r"//.*@", "//…@", url)


def no_answer(error: httpx.TransportError, url: str, proxy: str | None) -> RequestError:
    """`url` is the gateway's address, `proxy` that of the proxy in between."""
    if isinstance(error, httpx.UnsupportedProtocol):
        return InvalidAddress(f"{url!r} is not the address of a gateway; an example is http://127.0.0.1:8080")
    if isinstance(error, httpx.ProxyError):
        return ProxyFailed(f"the proxy {_place(proxy)} did not connect to {url}: {error}; is it the right proxy?")
    if isinstance(error, (httpx.ConnectError, httpx.ConnectTimeout)):
        found = _no_connection(error, url)
        if proxy is None or isinstance(found, TlsFailed):
            return found
        return ProxyFailed(f"the proxy {_place(proxy)} cannot be reached: {_cause(error)}; is its address right?")
    if isinstance(error, httpx.TimeoutException):
        return AnswerTimedOut(
            f"{url} accepted the connection but did not answer in time; raise `timeout_s`, or check what the "
            "gateway is waiting for"
        )
    hint = "; if it uses TLS, use https:// in the address" if url.startswith("http://") else ""
    return ConnectionBroken(
        f"{url} closed the connection before the answer was complete ({_cause(error)}); try again, and check the "
        f"log of the gateway or of the proxy in front of it{hint}"
    )


def not_a_gateway(response: httpx.Response, reason: str) -> NotAGateway:
    """`reason` says what is wrong with the answer."""
    url, status = response.url, response.status_code
    if response.is_redirect:
        target = response.headers.get("Location", "an unnamed address")
        return NotAGateway(f"{url} redirects to {target}; use that address", status)
    if status in OF_PROXIES:
        return NotAGateway(
            f"{url} answered {status}, but not as a wanneng gateway does: {reason}; a proxy in front of it "
            "probably cannot reach it: is the gateway running?",
            status,
        )
    return NotAGateway(
        f"{url} answered {status}, but not as a wanneng gateway does: {reason}; is the address right?", status
    )


def no_such_path(response: httpx.Response, url: str) -> str:
    """Why `url`, the gateway's address, answers that it has not got the path of a request."""
    path = httpx.URL(url).path.rstrip("/")
    way = "its version is another than this client's"
    if path:
        way = f"leave out {path} in {url}, or, if that is the prefix of a proxy, {way}"
    return f"{response.url} answered 404: the gateway has no such path; {way}"


def _no_connection(error: httpx.TransportError, url: str) -> NoConnection:
    for cause in _chain(error):
        if isinstance(cause, ssl.SSLCertVerificationError):
            return TlsFailed(
                f"the certificate of {url} is not trusted: {cause.verify_message}; add its authority to the "
                "system's or set SSL_CERT_FILE, and use a host name that the certificate is valid for"
            )
        if isinstance(cause, ssl.SSLError):
            if cause.reason in NO_TLS:
                return TlsFailed(f"{url} does not speak TLS; use http:// in the address")
            return TlsFailed(
                f"TLS with {url} failed: {cause.reason or cause}; check its TLS versions and certificates"
            )
        if isinstance(cause, socket.gaierror):
            return NameNotResolved(f"the host name of {url} cannot be resolved: {cause.strerror}; is it right?")
        if isinstance(cause, ConnectionRefusedError):
            return ConnectionRefused(
                f"nothing listens at {url}: connection refused; start a gateway with `wanneng serve`, or use "
                "another address"
            )
    if isinstance(error, httpx.ConnectTimeout):
        return ConnectTimedOut(
            f"{url} did not accept a connection in time; is the address right, and does a firewall let it through?"
        )
    return NoConnection(f"no connection to {url}: {_cause(error)}; is the address right?")


def _cause(error: BaseException) -> str:
    """The operating system's message, or that of the outermost exception."""
    for cause in _chain(error):
        if isinstance(cause, OSError) and not isinstance(cause, ssl.SSLError) and cause.errno:
            return os.strerror(cause.errno)
    return str(error) or type(error).__name__


def _chain(error: BaseException) -> Iterator[BaseException]:
    """The error and its causes, including every member of an exception group."""
    following, seen = [error], set[int]()
    while following:
        current = following.pop(0)
        if id(current) in seen:
            continue
        seen.add(id(current))
        yield current
        if isinstance(current, BaseExceptionGroup):
            following.extend(current.exceptions)
        following.extend(cause for cause in (current.__cause__, current.__context__) if cause is not None)


def _place(proxy: str | None) -> str:
    """The proxy's address without its password."""
    if proxy is None:
        return "in between"
    parsed = httpx.URL(proxy)
    return f"{parsed.scheme}://{parsed.netloc.decode('ascii')}"
