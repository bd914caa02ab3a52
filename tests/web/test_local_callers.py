"""What distinguishes a request of this machine from one that only passes through it."""

from __future__ import annotations

from typing import Any

import pytest
from starlette.requests import Request

from stores.errors import Unauthorized, UnsupportedMediaType
from web.local_callers import LocalCallers

JSON = {"content-type": "application/json", "content-length": "2"}


def request(path: str = "/v1/classify", **headers: str) -> Request:
    named = {"host": "127.0.0.1:8080"} | {name.replace("_", "-"): value for name, value in headers.items()}
    raw = [(name.encode(), value.encode()) for name, value in named.items()]
    return Request({"type": "http", "path": path, "headers": raw})


def check(listens_on: str = "127.0.0.1", **arguments: Any) -> None:
    LocalCallers(listens_on).check(request(**arguments))


@pytest.mark.parametrize(
    "headers",
    [
        {},
        JSON,
        JSON | {"content-type": "Application/JSON; charset=utf-8"},
        {"host": "localhost"},
        {"host": "LOCALHOST:8080"},
        {"host": "127.8.8.8:1"},
        {"host": "[::1]:8080"},
        {"sec-fetch-site": "none"},
        {"sec-fetch-site": "same-origin", "origin": "http://127.0.0.1:8080"},
        {"origin": "https://localhost:9", "host": "localhost:9"},
        {"content-length": "0"},
        {"content-length": "9", "inference-header-content-length": "3"},
    ],
)
def test_a_program_of_this_machine_and_the_page_need_no_key(headers: dict[str, str]) -> None:
    check(**headers)


def test_the_name_that_the_gateway_listens_on_is_this_machine() -> None:
    check("printer.local", host="printer.local:8080")


@pytest.mark.parametrize(
    "host",
    [
        "",
        "evil.example",
        "evil.example:8080",
        "127.0.0.1.evil.example",
        "127.0.0.1@evil.example",
        "localhost.evil.example",
        "evil.localhost",
        "0.0.0.0:8080",
        "10.0.0.1",
        "[2001:db8::1]:8080",
        "2130706433",
        "127.0.0.1:8080:80",
        "localhost, evil.example",
        "localhost ",
    ],
)
def test_another_name_is_a_rebound_one(host: str) -> None:
    for checked in (LocalCallers("127.0.0.1").check, LocalCallers("127.0.0.1").check_host):
        with pytest.raises(Unauthorized, match="Host header does not name this machine"):
            checked(request(host=host))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("forwarded", "for=10.0.0.1"),
        ("x-forwarded-for", "127.0.0.1"),
        ("x-forwarded-proto", "https"),
        ("x-forwarded-anything", ""),
        ("x-real-ip", "127.0.0.1"),
        ("via", "1.1 proxy"),
        ("cf-connecting-ip", "1.2.3.4"),
        ("true-client-ip", "1.2.3.4"),
    ],
)
def test_what_a_proxy_forwards_is_a_strangers(name: str, value: str) -> None:
    with pytest.raises(Unauthorized, match=rf"a proxy forwarded this \({name}\)"):
        check(**{name: value})


@pytest.mark.parametrize("site", ["cross-site", "same-site", "", "SAME-ORIGIN"])
def test_another_sites_page_is_a_strangers(site: str) -> None:
    with pytest.raises(Unauthorized, match="Sec-Fetch-Site"):
        check(**{"sec-fetch-site": site})


@pytest.mark.parametrize(
    "origin",
    [
        "null",
        "http://evil.example",
        "http://127.0.0.1:3000",
        "http://localhost:8080",
        "127.0.0.1:8080",
        "",
        "file://",
    ],
)
def test_another_origin_is_a_strangers(origin: str) -> None:
    """Another port of this machine is one as well: another program may be listening there."""
    with pytest.raises(Unauthorized, match="Origin"):
        check(origin=origin)


@pytest.mark.parametrize(
    ("path", "headers"),
    [
        ("/v1/classify", {"content-type": "text/plain", "content-length": "2"}),
        ("/v1/classify", {"content-type": "application/x-www-form-urlencoded", "transfer-encoding": "chunked"}),
        ("/v1/classify", {"content-type": "multipart/form-data; boundary=x", "content-length": "2"}),
        ("/v1/label-sets/a", {"content-length": "2"}),
        ("/v1/label-sets/a", {"content-type": "text/plain; application/json", "content-length": "2"}),
        ("/v1/files", {"content-type": "text/plain", "content-length": "2"}),
        ("/v1/files/x", {"content-type": "multipart/form-data; boundary=x", "content-length": "2"}),
    ],
)
def test_a_body_that_any_page_can_send_is_refused(path: str, headers: dict[str, str]) -> None:
    with pytest.raises(UnsupportedMediaType, match="Content-Type"):
        check(path=path, **headers)


def test_an_upload_is_a_form() -> None:
    check(path="/v1/files", **{"content-type": "multipart/form-data; boundary=x", "content-length": "2"})
