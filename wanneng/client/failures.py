"""Why there is no answer of a gateway, as one sentence: the address, the cause, the way out.

By types and codes of httpx, the operating system and OpenSSL, never by words.
"""

from __future__ import annotations

import os
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
"""OpenSSL's reasons where the other side answers in something else."""
MAX_PORT = 65_535
OF_PROXIES = frozenset({httpx.codes.BAD_GATEWAY, httpx.codes.SERVICE_UNAVAILABLE, httpx.codes.GATEWAY_TIMEOUT})
"""Statuses of whoever stands before a gateway that does not answer."""


def check_address(url: str) -> None:
    """`InvalidAddress` where nothing can be asked."""
    try:
        parsed = httpx.URL(url)
    except httpx.InvalidURL as error:
        raise InvalidAddress(f"{url!r} is no address: {error}; it is like http://127.0.0.1:8080") from error
    if parsed.scheme not in ("http", "https") or not parsed.host or (parsed.port or 0) > MAX_PORT:
        raise InvalidAddress(f"{url!r} is no address of a gateway; it is like http://127.0.0.1:8080")


def no_answer(error: httpx.TransportError, url: str, proxy: str | None) -> RequestError:
    """`url`: the gateway's; `proxy`: through which it is asked."""
    if isinstance(error, httpx.UnsupportedProtocol):
        return InvalidAddress(f"{url!r} is no address of a gateway; it is like http://127.0.0.1:8080")
    if isinstance(error, httpx.ProxyError):
        return ProxyFailed(f"the proxy {_place(proxy)} does not lead to {url}: {error}; is it the right one?")
    if isinstance(error, (httpx.ConnectError, httpx.ConnectTimeout)):
        found = _no_connection(error, url)
        if proxy is None or isinstance(found, TlsFailed):
            return found
        return ProxyFailed(f"the proxy {_place(proxy)} cannot be reached: {_cause(error)}; is its address right?")
    if isinstance(error, httpx.TimeoutException):
        return AnswerTimedOut(
            f"{url} accepted the connection and did not answer in time; allow longer with `timeout_s`, or see "
            "what the gateway waits for"
        )
    hint = "; if it speaks TLS, its address begins with https://" if url.startswith("http://") else ""
    return ConnectionBroken(
        f"{url} closed the connection before its answer was whole ({_cause(error)}); ask again, and see the log "
        f"of the gateway or of what is before it{hint}"
    )


def not_a_gateway(response: httpx.Response, reason: str) -> NotAGateway:
    """`reason`: what is wrong with the answer."""
    url, status = response.url, response.status_code
    if response.is_redirect:
        target = response.headers.get("Location", "somewhere")
        return NotAGateway(f"{url} redirects to {target}; give that server's address", status)
    if status in OF_PROXIES:
        return NotAGateway(
            f"{url} answered {status} in the name of the gateway, {reason}: a proxy before it, which does not "
            "reach it; is the gateway running?",
            status,
        )
    return NotAGateway(
        f"{url} answered {status}, but not as a wanneng gateway does: {reason}; is the address right?", status
    )


def _no_connection(error: httpx.TransportError, url: str) -> NoConnection:
    for cause in _chain(error):
        if isinstance(cause, ssl.SSLCertVerificationError):
            return TlsFailed(
                f"the certificate of {url} is not trusted: {cause.verify_message}; add its authority to the "
                "system's or name it with SSL_CERT_FILE, and use the name that the certificate is for"
            )
        if isinstance(cause, ssl.SSLError):
            if cause.reason in NO_TLS:
                return TlsFailed(f"{url} speaks no TLS; its address begins with http://")
            return TlsFailed(
                f"no TLS with {url}: {cause.reason or cause}; are its versions and certificates right?"
            )
        if isinstance(cause, socket.gaierror):
            return NameNotResolved(f"the host name of {url} cannot be resolved: {cause.strerror}; is it right?")
        if isinstance(cause, ConnectionRefusedError):
            return ConnectionRefused(
                f"nobody answers at {url}: connection refused; start it with `wanneng serve`, or give another "
                "address"
            )
    if isinstance(error, httpx.ConnectTimeout):
        return ConnectTimedOut(
            f"{url} did not accept a connection in time; is the address right, and does a firewall let it through?"
        )
    return NoConnection(f"no connection to {url}: {_cause(error)}; is the address right?")


def _cause(error: BaseException) -> str:
    """What the operating system calls it, or whoever is nearest to it."""
    for cause in _chain(error):
        if isinstance(cause, OSError) and not isinstance(cause, ssl.SSLError) and cause.errno:
            return os.strerror(cause.errno)
    return str(error) or type(error).__name__


def _chain(error: BaseException) -> Iterator[BaseException]:
    """An error and what it came from; of several attempts at once, all."""
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
    """Without the password that the address of a proxy may have."""
    if proxy is None:
        return "in between"
    parsed = httpx.URL(proxy)
    return f"{parsed.scheme}://{parsed.netloc.decode('ascii')}"
