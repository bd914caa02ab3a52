"""Posts to the operator's webhook, signed as Standard Webhooks has it (https://www.standardwebhooks.com).

Every attempt has one deadline. Redirects are not followed, and link-local addresses, where cloud metadata
services hand out a machine's credentials, are not connected to, whatever name leads there.
"""

from __future__ import annotations

import base64
import errno
import hashlib
import hmac
import ipaddress
import os
import socket
from collections.abc import Callable
from typing import Any, Protocol

import aiohttp

from web.connection_causes import connection_cause

DEADLINE_S = 10.0
MAX_CONNECTIONS = 4
METADATA = tuple(
    ipaddress.ip_network(network)
    for network in (
        *("169.254.0.0/16", "fe80::/10", "fd00:ec2::/32"),
        *("100.100.100.200/32", "168.63.129.16/32", "192.0.0.192/32"),
    )
)
"""Link-local addresses, and others at which clouds have their metadata: AWS, Alibaba Cloud, Azure and Oracle."""
NAT64 = ipaddress.IPv6Network("64:ff9b::/96")
"""Its last 32 bits are the IPv4 address that a gateway connects to (RFC 6052)."""


class NotDelivered(Exception):
    """The webhook did not take it; the message says why, without its address, which may have a password."""


class Webhook(Protocol):
    async def post(self, message_id: str, timestamp_s: int, body: bytes) -> None:
        """`NotDelivered` unless the answer is a 2xx."""
        ...


class HttpWebhook:
    """A `Webhook` over HTTP; call `close` at the end."""

    def __init__(self, url: str, secret: str, *, allow_link_local: bool = False) -> None:
        self._url = url
        self._secret = secret.encode()
        self._factory: Callable[[Any], socket.socket] | None = None if allow_link_local else _checked_socket
        self._session: aiohttp.ClientSession | None = None

    async def post(self, message_id: str, timestamp_s: int, body: bytes) -> None:
        headers = {
            "Content-Type": "application/json",
            "webhook-id": message_id,
            "webhook-timestamp": str(timestamp_s),
            "webhook-signature": signature(self._secret, message_id, timestamp_s, body),
        }
        if self._session is None:
            connector = aiohttp.TCPConnector(limit=MAX_CONNECTIONS, socket_factory=self._factory)
            timeout = aiohttp.ClientTimeout(total=DEADLINE_S)
            self._session = aiohttp.ClientSession(connector=connector, timeout=timeout, trust_env=False)
        try:
            async with self._session.post(self._url, data=body, headers=headers, allow_redirects=False) as answer:
                status = answer.status
        except aiohttp.InvalidURL:
            raise NotDelivered("WANNENG_BUDGET_WEBHOOK_URL is not a valid address") from None
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise NotDelivered(f"the webhook does not answer: {connection_cause(error)}") from None
        if not 200 <= status < 300:
            raise NotDelivered(f"the webhook answers {status}")

    async def close(self) -> None:
        if self._session is not None:
            await self._session.close()


def signature(secret: bytes, message_id: str, timestamp_s: int, body: bytes) -> str:
    """`v1,` with the HMAC-SHA256 of id, time and body in Base64."""
    signed = b"%b.%d.%b" % (message_id.encode(), timestamp_s, body)
    return "v1," + base64.b64encode(hmac.digest(secret, signed, hashlib.sha256)).decode()


def _checked_socket(address: Any) -> socket.socket:
    """Of an address that a name has led to, or that was given as it is."""
    family, kind, protocol, _, to = address
    ip = ipaddress.ip_address(to[0].partition("%")[0])
    if isinstance(ip, ipaddress.IPv6Address):
        ip = ip.ipv4_mapped or (ipaddress.IPv4Address(ip.packed[-4:]) if ip in NAT64 else ip)
    if any(ip in network for network in METADATA):
        raise OSError(errno.EACCES, os.strerror(errno.EACCES))
    return socket.socket(family, kind, protocol)
