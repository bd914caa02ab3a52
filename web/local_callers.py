"""Which requests without a key are this machine's own, where a gateway on loopback asks for none.

A browser connects from loopback too, whichever page it shows, and so does a proxy, whomever it serves. A page of
another site cannot leave out `Origin` and `Sec-Fetch-Site`, nor send JSON unless it is allowed to (the Fetch
standard); one whose name was rebound to 127.0.0.1 has its own name in `Host`; a proxy adds one of `FORWARDED`.
"""

from __future__ import annotations

import re
from functools import lru_cache

from starlette.requests import Request

from stores.errors import Unauthorized, UnsupportedMediaType
from web.headers import has_body
from web.settings import is_loopback

FORWARDED = frozenset(
    {
        b"forwarded",
        b"via",
        b"x-real-ip",
        b"x-client-ip",
        b"x-cluster-client-ip",
        b"x-original-forwarded-for",
        b"x-original-host",
        b"x-envoy-external-address",
        b"cf-connecting-ip",
        b"true-client-ip",
        b"fastly-client-ip",
        b"cdn-loop",
    }
)
FORWARDED_PREFIX = b"x-forwarded-"
OWN_SITES = frozenset({b"none", b"same-origin"})
"""Of `Sec-Fetch-Site`: a person opened it, or this server's own page."""
JSON, FORM = b"application/json", b"multipart/form-data"
UPLOAD_PATH = "/v1/files"
BINARY_TENSORS = b"inference-header-content-length"
"""KServe's binary extension has no media type; a page of another site cannot send its header."""
_HOST = re.compile(rb"(\[[0-9a-fA-F:.]+\]|[^:\[\]]+)(:[0-9]{1,5})?")


class LocalCallers:
    """`host` is where the gateway listens."""

    def __init__(self, host: str) -> None:
        self._host = host.encode().lower()

    def check(self, request: Request) -> None:
        """`Unauthorized` with the cause where the request may be another's; `UnsupportedMediaType`."""
        headers = dict(request.scope["headers"])
        for name in headers:
            if name in FORWARDED or name.startswith(FORWARDED_PREFIX):
                raise Unauthorized(f"a proxy forwarded this ({name.decode('latin-1')}), so it needs a key")
        self._check_host(headers.get(b"host", b""))
        if headers.get(b"sec-fetch-site", b"none") not in OWN_SITES:
            raise Unauthorized("a page of another site sent this (Sec-Fetch-Site), so it needs a key")
        if b"origin" in headers and headers[b"origin"].partition(b"://")[2] != headers[b"host"]:
            raise Unauthorized("a page of another site sent this (Origin), so it needs a key")
        if has_body(request) and BINARY_TENSORS not in headers:
            _check_media_type(headers.get(b"content-type", b""), request.scope["path"])

    def check_host(self, request: Request) -> None:
        """`Unauthorized` where another name than this machine's was asked."""
        self._check_host(dict(request.scope["headers"]).get(b"host", b""))

    def _check_host(self, value: bytes) -> None:
        if not _names_this_machine(value, self._host):
            raise Unauthorized("the Host header does not name this machine, so a key is needed")


@lru_cache(maxsize=64)
def _names_this_machine(value: bytes, own: bytes) -> bool:
    match = _HOST.fullmatch(value)
    name = match[1].strip(b"[]").lower() if match else b""
    return name == own or is_loopback(name.decode("latin-1"))


def _check_media_type(media_type: bytes, path: str) -> None:
    kind = media_type.partition(b";")[0].strip().lower()
    if kind != JSON and not (kind == FORM and path == UPLOAD_PATH):
        expected = "multipart/form-data" if path == UPLOAD_PATH else "application/json"
        raise UnsupportedMediaType(f"without a key, the body must be {expected} (Content-Type)")
