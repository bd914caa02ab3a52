"""The gateway behind nginx, and its database behind PgBouncer: real ones, as people set them up."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from playwright.sync_api import Browser

from tests.e2e.server import ROOT, Server, serving
from tests.e2e.surroundings import BODY, GOLDEN_ENGINE
from tests.nginx import nginx
from tests.pgbouncer import installed, running_pgbouncer, statements_kept
from tests.postgresql import PostgresServer
from tests.secure_postgresql import SecurePostgres

Verdict = Callable[[str, str], None]
KINDS = {
    "plain": "",
    "compressed": "gzip on; gzip_proxied any; gzip_min_length 1; gzip_types *;",
    "http-1.0": "proxy_http_version 1.0;",
    "unbuffered": "proxy_http_version 1.1; proxy_buffering off; proxy_request_buffering off;",
}
SHORT = ("compressed", "http-1.0")
LOCATION = """
        location /{kind}/nlp/ {{
            proxy_pass {url}{path};
            proxy_set_header X-Forwarded-For $remote_addr;
            client_max_body_size 64m;
            {words}
        }}"""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("proxied")
    with serving(folder, GOLDEN_ENGINE, WANNENG_ROOT_PATH="/plain/nlp", WANNENG_REQUIRE_KEY="true") as running:
        yield running


@pytest.fixture(scope="module")
def key(server: Server) -> str:
    return (server.state_dir / "local.key").read_text(encoding="utf-8").strip()


@pytest.fixture(scope="module")
def proxy(server: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Removes the sub-path, but for `kept`."""
    locations = [LOCATION.format(kind=kind, url=server.url, path="/", words=w) for kind, w in KINDS.items()]
    kept = f"        location /plain/nlp/kept/ {{ proxy_pass {server.url}/plain/nlp/; }}"
    with nginx(tmp_path_factory.mktemp("nginx"), "\n".join([*locations, kept])) as url:
        yield url


@pytest.mark.parametrize(
    "kind", [pytest.param(kind, marks=() if kind in SHORT else pytest.mark.whole) for kind in KINDS]
)
def test_requests_and_large_answers_come_through_nginx(kind: str, proxy: str, key: str, verdict: Verdict) -> None:
    with httpx.Client(headers={"Authorization": f"Bearer {key}"}, timeout=60, trust_env=False) as http:
        base = f"{proxy}/{kind}/nlp"
        answer = http.post(f"{base}/v1/classify", json=BODY)
        assert (answer.status_code, len(answer.json()["labels"])) == (200, 3)
        assert (answer.headers.get("content-encoding") == "gzip") is (kind == "compressed")
        document = http.get(f"{base}/openapi.json").json()
        assert "/v1/label-sets/{name}" in document["paths"]
        content = b'{"custom_id":"1","method":"POST","url":"/v1/classify","body":{}}\n' * 100_000
        uploaded = http.post(f"{base}/v1/files", data={"purpose": "batch"}, files={"file": ("f.jsonl", content)})
        assert uploaded.status_code == 200, uploaded.text
        file = f"{base}/v1/files/{uploaded.json()['id']}"
        assert http.get(f"{file}/content").content == content
        http.delete(file)
    verdict(f"nginx before the gateway, {kind}", "answers, and files of 6 MB both ways")


def test_a_weak_etag_of_nginx_is_accepted(proxy: str, key: str, verdict: Verdict) -> None:
    with httpx.Client(headers={"Authorization": f"Bearer {key}"}, trust_env=False) as http:
        url = f"{proxy}/compressed/nlp/v1/label-sets/weak"
        content: dict[str, Any] = {"labels": ["投诉", "咨询"], "threshold": 0.2}
        made = http.put(url, json=content)
        assert made.status_code == 201
        read = http.get(url)
        assert read.headers["etag"] == 'W/"1"'
        changed = http.put(url, json=content, headers={"If-Match": read.headers["etag"]})
        assert changed.status_code == 200
        http.delete(url)
    verdict("nginx compresses, a weak ETag in If-Match", "accepted")


@pytest.mark.parametrize(
    "path", ["/plain/nlp/", pytest.param("/plain/nlp/kept/", marks=pytest.mark.whole)], ids=["removed", "kept"]
)
def test_the_page_and_the_reference_work_under_a_sub_path(
    path: str, proxy: str, key: str, browser: Browser, verdict: Verdict
) -> None:
    page = browser.new_page(locale="zh-CN")
    page.set_default_timeout(20_000)
    missing: list[str] = []
    page.on("response", lambda answer: missing.append(answer.url) if answer.status >= 400 else None)
    page.goto(f"{proxy}{path}")
    page.evaluate(f"sessionStorage.setItem('key', '{key}')")
    page.reload()
    missing.clear()
    page.get_by_label("文本", exact=True).fill("要求退款")
    page.get_by_label("标签", exact=True).fill("投诉,咨询")
    page.get_by_role("button", name="分类", exact=True).click()
    page.locator("#bars li").first.wait_for()
    page.get_by_role("link", name="接口文档").click()
    page.get_by_text("POST /v1/classify", exact=False).first.wait_for()
    assert page.url == f"{proxy}{path}docs"
    assert missing == []
    page.close()
    verdict(f"the page in Chromium under {path}", "classifies, and shows the API reference")


def test_the_command_line_goes_through_a_sub_path(proxy: str, key: str, tmp_path: Path, verdict: Verdict) -> None:
    file = tmp_path / "key"
    file.write_bytes(f"{key}\r\n".encode())
    url = f"{proxy}/http-1.0/nlp"
    command = [sys.executable, "-m", "wanneng", "classify", "要求退款", "--labels", "投诉,咨询", "--json"]
    done = subprocess.run(
        [*command, "--url", url, "--key-file", str(file)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env={"PATH": "/usr/bin:/bin", "HTTP_PROXY": "http://127.0.0.1:1", "http_proxy": "http://127.0.0.1:1"},
    )
    assert done.returncode == 0, done.stderr
    assert '"labels"' in done.stdout
    verdict("the command line: a sub-path, a proxy in the environment, a key file that ends in CRLF", "answers")


@pytest.mark.whole
@pytest.mark.parametrize("kept", statements_kept())
def test_everything_on_a_postgresql_behind_pgbouncer(
    kept: int, own_postgresql: PostgresServer, tmp_path: Path, verdict: Verdict
) -> None:
    with (
        running_pgbouncer(own_postgresql, max_prepared_statements=kept) as pooler,
        serving(tmp_path, GOLDEN_ENGINE, WANNENG_DATABASE_URL=f"{pooler}/postgres") as server,
    ):
        _use_the_database(server)
    verdict(
        f"PgBouncer {installed()} in transaction mode, max_prepared_statements={kept}", "label sets and answers"
    )


@pytest.mark.whole
def test_everything_on_a_postgresql_that_asks_for_tls(
    secure_postgresql: SecurePostgres, tmp_path: Path, verdict: Verdict
) -> None:
    url = f"{secure_postgresql.url}?sslmode=verify-full&sslrootcert={secure_postgresql.authority}\n"
    with serving(tmp_path, GOLDEN_ENGINE, WANNENG_DATABASE_URL=url) as server:
        _use_the_database(server)
    verdict("PostgreSQL with a CA file, sslmode=verify-full and a password of many characters", "answers")


def _use_the_database(server: Server) -> None:
    assert server.classify(**BODY).status_code == 200
    with httpx.Client(base_url=server.url, trust_env=False, timeout=30) as http:
        for number in range(5):
            made = http.put(f"/v1/label-sets/set-{number}", json={"labels": ["投诉", "咨询"]})
            assert made.status_code == 201, made.text
            answer = http.post("/v1/classify", json={"text": "退款", "label_set": f"set-{number}"})
            assert answer.status_code == 200, answer.text
