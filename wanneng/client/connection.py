"""How the client connects: the Authorization header, the proxy, the trusted certificates."""

from __future__ import annotations

import ipaddress
import ssl
from typing import Any
from urllib.parse import urlsplit

import httpx

from wanneng.client.failures import check_address
from wanneng.errors import RequestError

BLANKS_AROUND = " \t\r\n\ufeff"
"""Stripped from keys: what editors and files of secrets may leave around them."""


def connection_options(
    url: str, key: str | None, proxy: str | None, transport: httpx.BaseTransport | httpx.AsyncBaseTransport | None
) -> dict[str, Any]:
    """For `httpx.Client` and `httpx.AsyncClient`; `RequestError` for a key that no header can hold.

    The environment's proxy is not used: a key must not pass through a proxy that was not named here. Connections
    to this machine use no proxy at all.
    """
    check_address(url)
    used_proxy = None if _is_this_machine(urlsplit(url).hostname or "") else proxy
    options: dict[str, Any] = {
        "base_url": url,
        "headers": {"Authorization": f"Bearer {usable_key(key)}"} if key else {},
        "proxy": used_proxy,
        "transport": transport,
        "trust_env": False,
    }
    # A transport has its own authorities.
    if transport is None or used_proxy is not None:
        options["verify"] = authorities(url)
    return options


def authorities(url: str) -> ssl.SSLContext:
    """Those that connections to `url` trust: httpx's own and those of the system or of `SSL_CERT_FILE`.

    For plain HTTP an empty context: reading the authorities takes a hundred times as long as the rest of a client.
    """
    if urlsplit(url).scheme != "https":
        return ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    trusted = httpx.create_ssl_context(trust_env=False)
    trusted.load_default_certs()
    return trusted


def _is_this_machine(host: str) -> bool:
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def usable_key(key: str, source: str = "the key") -> str:
    """The key without surrounding blanks; `RequestError` names `source` and what to correct."""
    key = key.strip(BLANKS_AROUND)
    if not key:
        raise RequestError(f"{source} is empty; it must contain one key")
    for character in key:
        if character.isspace():
            raise RequestError(f"{source} has more than one word; it must contain one key and nothing else")
        if not "!" <= character <= "~":
            raise RequestError(
                f"{source} has the character {character!r} (U+{ord(character):04X}), which no key has; "
                "it may have been changed or shortened when it was copied: copy the whole key"
            )
    return key
