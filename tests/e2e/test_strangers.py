"""Who is served without a key: this machine's own requests, and none of other sites, rebound names and proxies."""

from __future__ import annotations

import json
from typing import Any

import httpx
import pytest

from tests.e2e.attacked import CLASSIFY, LABELS, Attacked, upload

STRANGERS: dict[str, dict[str, str]] = {
    "a page of another site": {"Origin": "https://evil.example", "Sec-Fetch-Site": "cross-site"},
    "a form of another site": {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate"},
    "a sandboxed frame": {"Origin": "null"},
    "a page of another port": {"Origin": "http://127.0.0.1:3000", "Sec-Fetch-Site": "same-site"},
    "a rebound name": {"Host": "evil.example:8080", "Sec-Fetch-Site": "same-origin"},
    "a rebound name with its origin": {"Host": "evil.example", "Origin": "http://evil.example"},
    "nginx": {"X-Real-IP": "10.0.0.1", "X-Forwarded-For": "10.0.0.1", "X-Forwarded-Proto": "https"},
    "a proxy that says 127.0.0.1": {"X-Forwarded-For": "127.0.0.1"},
    "a proxy of RFC 7239": {"Forwarded": "for=127.0.0.1;host=localhost"},
    "a cache": {"Via": "1.1 varnish"},
    "a network": {"CF-Connecting-IP": "127.0.0.1"},
}
REQUESTS: list[tuple[str, str, dict[str, Any]]] = [
    ("POST", "/v1/classify", {"json": CLASSIFY}),
    ("POST", "/v1/tokenize", {"json": CLASSIFY}),
    ("POST", "/rerank", {"json": {"query": "b", "texts": ["a"]}}),
    ("GET", "/v1/label-sets", {}),
    ("PUT", "/v1/label-sets/owned", {"json": {"labels": ["x", "y"]}}),
    ("DELETE", "/v1/label-sets/kept", {}),
    ("GET", "/v1/usage", {}),
    ("GET", "/v1/files", {}),
    ("POST", "/v1/batches", {"json": {"input_file_id": "file-1", "endpoint": "/v1/classify"}}),
    ("POST", "/v1/batches/batch_1/cancel", {}),
]


@pytest.mark.parametrize("stranger", STRANGERS)
def test_a_stranger_without_a_key_reads_and_changes_nothing(attacked: Attacked, stranger: str) -> None:
    assert attacked.ask("PUT", "/v1/label-sets/kept", json={"labels": ["a", "b"]}).status_code in (201, 412)
    headers = STRANGERS[stranger]
    key = {"Authorization": f"Bearer {attacked.secrets['local key']}"}
    for method, path, options in REQUESTS:
        for given in ({}, {"Authorization": "Bearer sk-unknown"}):
            refused = attacked.ask(method, path, headers=headers | given, **options)
            assert (refused.status_code, refused.json()["code"]) == (401, "unauthorized"), (path, refused.text)
    assert upload(attacked, **headers).status_code == 401
    names = {each["name"] for each in attacked.ask("GET", "/v1/label-sets").json()["label_sets"]}
    assert "kept" in names
    assert "owned" not in names
    # With a key, it does not matter where a request comes from.
    assert attacked.ask("GET", "/v1/label-sets", headers=headers | key).status_code == 200


@pytest.mark.parametrize("path", ["/", "/docs", "/ui/app.js"])
def test_the_page_is_not_served_under_a_rebound_name(attacked: Attacked, path: str) -> None:
    assert attacked.ask("GET", path).status_code == 200
    assert attacked.ask("GET", path, headers={"Host": "evil.example"}).status_code == 401


@pytest.mark.parametrize(
    "media_type", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", ""]
)
def test_a_body_that_any_page_may_send_is_not_taken_without_a_key(attacked: Attacked, media_type: str) -> None:
    """Old browsers send neither `Origin` nor `Sec-Fetch-Site`."""
    for method, path in (("POST", "/v1/classify"), ("PUT", "/v1/label-sets/owned"), ("POST", "/v1/batches")):
        headers = {"Content-Type": media_type} if media_type else {}
        refused = attacked.ask(method, path, content=json.dumps(CLASSIFY), headers=headers)
        assert (refused.status_code, refused.json()["code"]) == (415, "unsupported_media_type"), path


def test_nobody_is_taken_for_a_gateway_or_a_worker(attacked: Attacked) -> None:
    control_plane = f"http://127.0.0.1:{attacked.server.ports[4]}"
    for headers in (
        {},
        {"X-Wanneng-Tenant": "local"},
        {"X-Wanneng-Tenant": "local", "Authorization": "Bearer " + "x" * 64},
        {"X-Wanneng-Tenant": "local", "Authorization": "Bearer"},
    ):
        for path in ("/v1/label-sets", "/v1/files", "/v1/usage", "/v1/tenants"):
            refused = httpx.get(f"{control_plane}{path}", headers=headers, trust_env=False)
            assert refused.status_code == 401
        if "Authorization" in headers:
            assert attacked.ask("POST", "/v1/classify", json=CLASSIFY, headers=headers).status_code == 401


@pytest.mark.parametrize("token", ["Bearer sk-proj-1234", "Bearer", "Basic YTpi"])
def test_an_unknown_token_is_ignored_and_the_answer_says_so(attacked: Attacked, token: str) -> None:
    for method, path, options in (("POST", "/v1/classify", {"json": CLASSIFY}), ("GET", "/v1/label-sets", {})):
        answer = attacked.ask(method, path, headers={"Authorization": token}, **options)
        assert (answer.status_code, answer.headers["x-wanneng-tenant"]) == (200, "local")
    assert "x-wanneng-tenant" not in attacked.ask("GET", "/v1/label-sets").headers


@pytest.mark.parametrize("token", [f"wn_000000000000_{'0' * 48}", "wns_a.b"])
def test_a_key_or_session_of_ours_that_nobody_has_is_refused(attacked: Attacked, token: str) -> None:
    """It was revoked, or signed before a restart: what is asked with it was not meant for `local`."""
    headers = {"Authorization": f"Bearer {token}"}
    assert attacked.ask("POST", "/v1/classify", json=CLASSIFY, headers=headers).status_code == 401


def test_the_local_tenant_is_suspended_and_limited_like_any_other(attacked: Attacked) -> None:
    path = "/v1/tenants/local"
    assert attacked.manage("PUT", f"{path}/quota", json={"requests_per_minute": 1}).status_code == 200
    codes = {attacked.server.classify(text="a", labels=LABELS).status_code for _ in range(3)}
    assert 429 in codes
    assert attacked.manage("PUT", f"{path}/quota", json={}).status_code == 200
    assert attacked.manage("PATCH", path, json={"status": "suspended"}).status_code == 200
    try:
        for refused in (attacked.server.classify(text="a", labels=LABELS), attacked.ask("GET", "/v1/label-sets")):
            assert refused.status_code == 401
            assert "suspended" in refused.json()["detail"]
    finally:
        assert attacked.manage("PATCH", path, json={"status": "active"}).status_code == 200
    assert attacked.server.classify(text="a", labels=LABELS).status_code == 200


def test_metrics_and_tenants_are_on_a_port_of_their_own(attacked: Attacked) -> None:
    assert "wanneng_requests_total" in httpx.get(f"{attacked.internal_url}/metrics", trust_env=False).text
    assert attacked.manage("GET", "/v1/tenants").status_code == 200
    for path in ("/metrics", "/v1/tenants", "/v1/tenants/local"):
        assert attacked.ask("GET", path, headers=attacked.operator).status_code == 404
    assert httpx.post(f"{attacked.internal_url}/v1/classify", json=CLASSIFY, trust_env=False).status_code == 404


def test_guesses_of_the_admin_key_are_throttled_and_its_owner_is_not(attacked: Attacked) -> None:
    url = f"{attacked.internal_url}/v1/tenants"
    with httpx.Client(trust_env=False) as client:
        codes = [client.get(url, headers={"Authorization": f"Bearer guess-{n}"}).status_code for n in range(80)]
    assert set(codes) == {401, 429}
    assert attacked.manage("GET", "/v1/tenants").status_code == 200
