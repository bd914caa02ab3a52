"""Other users of this machine, pages of other sites, and callers of a proxy, against a real `wanneng serve`."""

from __future__ import annotations

import json
import os
import shutil
import signal
import stat
import tempfile
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
import pytest
from playwright.sync_api import Page, sync_playwright

from tests.e2e.server import ROOT, Server, command_line, descendants, free_ports, serving
from tests.e2e.strangers import Squatter, grpc_call, http_request, http_with_trailer, readable
from tests.e2e.test_page import FLAGS

GOLDEN_ENGINE = ROOT / "tests/golden/small"
TEXT = "只有我知道的秘密文本 7f3a"
LABELS = ["投诉", "咨询"]
CLASSIFY: dict[str, Any] = {"text": TEXT, "labels": LABELS}
LINE = {"custom_id": "1", "method": "POST", "url": "/v1/classify", "body": CLASSIFY}


@dataclass
class Attacked:
    server: Server
    internal_url: str
    """Where tenants are managed."""
    secrets: dict[str, str]
    """By name."""

    @property
    def operator(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.secrets['admin key']}"}

    def ask(self, method: str, path: str, **options: Any) -> httpx.Response:
        return httpx.request(method, f"{self.server.url}{path}", timeout=30, trust_env=False, **options)

    def manage(self, method: str, path: str, **options: Any) -> httpx.Response:
        url = f"{self.internal_url}{path}"
        return httpx.request(method, url, headers=self.operator, timeout=30, trust_env=False, **options)


@pytest.fixture(scope="module")
def attacked() -> Iterator[Attacked]:
    """A server whose state folder was readable for everybody before, in a folder that everybody may enter."""
    # Not pytest's own folder, which hides whatever is in it.
    folder = Path(tempfile.mkdtemp(prefix="strangers-"))
    folder.chmod(0o755)
    state = folder / "state"
    state.mkdir(mode=0o755)
    for name in ("triton.log", "gateway.log", "control-plane.log", "worker.log"):
        (state / name).touch(0o644)
    (internal_port,) = free_ports(1)
    server = Server(state, settings={"WANNENG_INTERNAL_PORT": str(internal_port)})
    umask = os.umask(0o022)
    server.start()
    os.umask(umask)
    try:
        server.wait_until_ready()
        environment = _environment_of(server, "-m gateway")
        secrets = {
            "admin key": (state / "admin.key").read_text(encoding="utf-8").strip(),
            "local key": (state / "local.key").read_text(encoding="utf-8").strip(),
            "internal key": environment["WANNENG_INTERNAL_KEY"],
            "text": TEXT,
        }
        yield Attacked(server, f"http://127.0.0.1:{internal_port}", secrets)
    finally:
        if server.process.poll() is None:
            server.stop()
        shutil.rmtree(folder)


def _environment_of(server: Server, command: str) -> dict[str, str]:
    pid = next(pid for pid in descendants(server.process.pid) if command in command_line(pid))
    pairs = Path(f"/proc/{pid}/environ").read_text(encoding="utf-8").split("\0")
    return dict(pair.split("=", 1) for pair in pairs if pair)


def upload(attacked: Attacked, **headers: str) -> httpx.Response:
    files = {"file": ("lines.jsonl", json.dumps(LINE, ensure_ascii=False).encode())}
    return attacked.ask("POST", "/v1/files", files=files, data={"purpose": "batch"}, headers=headers)


# Another user of the machine.
def test_another_user_reads_no_text_and_no_key_anywhere(attacked: Attacked) -> None:
    """The same search as root finds each of them: it would notice what is readable."""
    if os.geteuid() != 0:
        pytest.skip("only root can search as another user")
    state = attacked.server.state_dir
    texts = [f"{TEXT} {number} " * 10 for number in range(16)]
    assert attacked.server.classify(texts=texts, labels=LABELS).status_code == 200
    assert upload(attacked).status_code == 200
    content = {"labels": [TEXT, "b"]}
    assert attacked.ask("PUT", "/v1/label-sets/secret", json=content).status_code == 201
    pids = [attacked.server.process.pid, *descendants(attacked.server.process.pid)]
    folders = [state.parent, Path("/dev/shm")]

    as_root = readable(attacked.secrets, folders, pids, "root")
    places: dict[str, set[str]] = {name: set() for name in attacked.secrets}
    for path, names in as_root.items():
        for name in names:
            places[name].add("shm" if path.startswith("/dev/shm/") else "proc" if "/proc/" in path else "state")
    assert "state" in places["admin key"]
    assert "proc" in places["internal key"]
    assert places["text"] >= {"state", "shm"}, "Triton's shared memory has the texts that it was asked"

    as_nobody = readable(attacked.secrets, folders, pids)
    assert {path: names for path, names in as_nobody.items() if names} == {}
    assert not [path for path in as_nobody if path.startswith(str(state))]
    ours = {path for path in as_root if path.startswith(f"/dev/shm/wanneng_{attacked.server.process.pid}_")}
    assert ours
    assert not ours & as_nobody.keys()
    assert not [path for path in as_nobody if path.endswith("/environ")]
    assert len([path for path in as_nobody if path.endswith("/cmdline")]) == len(pids), "arguments are everybody's"


def test_the_state_folder_is_its_owners_alone(attacked: Attacked) -> None:
    state = attacked.server.state_dir
    modes = {path: path.lstat().st_mode for path in (state, *state.rglob("*")) if not path.is_symlink()}
    assert {str(path): oct(mode) for path, mode in modes.items() if stat.S_IMODE(mode) & 0o077} == {}
    assert {"wanneng.db", "admin.key", "local.key", "triton.log"} <= {path.name for path in modes}
    for segment in Path("/dev/shm").glob(f"wanneng_{attacked.server.process.pid}_*"):
        assert stat.S_IMODE(segment.stat().st_mode) == 0o600


HTTP_CALLS = [
    ("POST", "/v2/repository/index"),
    ("POST", "/v2/repository/models/evil/load"),
    ("POST", "/v2/repository/models/zero_shot_logits/unload"),
    ("GET", "/v2/models/structbert/config"),
    ("GET", "/v2/systemsharedmemory/status"),
    ("POST", "/v2/systemsharedmemory/region/x/register"),
    ("POST", "/v2/systemsharedmemory/unregister"),
    ("POST", "/v2/cudasharedmemory/region/x/register"),
    ("GET", "/v2/trace/setting"),
    ("POST", "/v2/models/structbert/trace/setting"),
    ("GET", "/v2/logging"),
    ("POST", "/v2/logging"),
]
GRPC_CALLS = [
    "RepositoryIndex",
    "RepositoryModelLoad",
    "RepositoryModelUnload",
    "ModelConfig",
    "SystemSharedMemoryStatus",
    "SystemSharedMemoryRegister",
    "SystemSharedMemoryUnregister",
    "CudaSharedMemoryRegister",
    "TraceSetting",
    "LogSettings",
]


SPELLINGS = [
    *(
        b"%.0s",
        b" %s ",
        b"\r\n %s",
        b"\r\n\t%s\r\n",
        b"%s%s" % (b"%s", b"\n"),
        b"\r%s",
        b"\x00%s",
        b"%s\x00",
        b'"%s"',
    ),
    *(b"%.0s\\n", b"%.0s%%0A", b"%.0s\x0b", b"%.0s\x85", b"%.0s\xe2\x80\xa8"),
]
"""Of the header's value."""


def closing_header(server: Server) -> tuple[bytes, bytes]:
    """Name and value of the header that opens Triton's closed APIs: `ps` shows them to everybody."""
    arguments = Path(f"/proc/{server.triton_pid()}/cmdline").read_bytes().split(b"\0")
    (option,) = [argument for argument in arguments if argument.startswith(b"--http-restricted-api=")]
    name, _, value = option.partition(b":")[2].partition(b"=")
    return name, value


def models_are_ready(server: Server) -> bool:
    url = f"http://{server.triton_http}/v2/models/zero_shot_logits/ready"
    return httpx.get(url, trust_env=False).status_code == 200


@pytest.mark.parametrize(("method", "path"), HTTP_CALLS)
def test_tritons_closed_apis_are_closed_over_http(attacked: Attacked, method: str, path: str) -> None:
    name, value = closing_header(attacked.server)
    port = int(attacked.server.triton_http.rpartition(":")[2])
    for header in (b"", name + b": " + value + b"\r\n", name.replace(b" ", b"-") + b": " + value + b"\r\n"):
        answer = http_request(port, method, path, header)
        assert not answer.startswith(b"HTTP/1.1 2"), header
    assert models_are_ready(attacked.server)


def test_no_spelling_of_the_header_opens_them(attacked: Attacked) -> None:
    """Not even for who knows it from `ps`, and writes whatever he likes into a socket."""
    name, value = closing_header(attacked.server)
    port = int(attacked.server.triton_http.rpartition(":")[2])
    headers = [name + b":" + value + b"\r\n"]
    for spelled in (name, name.lower(), name.replace(b" ", b"-"), name.replace(b" ", b"\t")):
        headers += [spelled + b": " + sent + b"\r\n" for sent in (value, *(each % value for each in SPELLINGS))]
    for header in headers:
        answer = http_request(port, "POST", "/v2/repository/index", header)
        assert not answer.startswith(b"HTTP/1.1 2"), header
    trailer = http_with_trailer(port, "POST", "/v2/repository/index", name + b": " + value + b"\r\n")
    assert not trailer.startswith(b"HTTP/1.1 2")


@pytest.mark.parametrize("method", GRPC_CALLS)
def test_tritons_closed_apis_are_closed_over_grpc(attacked: Attacked, method: str) -> None:
    """gRPC takes a newline in a value, so it is the name that nobody can send."""
    name, value = closing_header(attacked.server)
    port = int(attacked.server.triton_grpc.rpartition(":")[2])
    assert b"grpc-status\x010" in grpc_call(port, "ServerLive", []), "the frames are right"
    prefix = b"triton-grpc-protocol-"
    names = [name, name.lower(), name.lower().replace(b" ", b"-"), name + b"-bin"]
    for metadata in [
        [],
        *([(prefix + spelled, sent)] for spelled in names for sent in (value, b" " + value, b"", b"Cg==")),
        [(prefix + name, b"x"), (prefix + name, value)],
    ]:
        for indexed in (False, True):
            answer = grpc_call(port, method, metadata, indexed=indexed)
            assert b"grpc-status\x010" not in answer, metadata
    assert models_are_ready(attacked.server)


# Pages of other sites, rebound names and proxies.
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


# Who is served without a key.
@pytest.mark.parametrize(
    "token", ["Bearer sk-proj-1234", "Bearer wn_000000000000_" + "0" * 48, "Bearer", "Basic YTpi"]
)
def test_an_unknown_token_is_ignored_and_the_answer_says_so(attacked: Attacked, token: str) -> None:
    for method, path, options in (("POST", "/v1/classify", {"json": CLASSIFY}), ("GET", "/v1/label-sets", {})):
        answer = attacked.ask(method, path, headers={"Authorization": token}, **options)
        assert (answer.status_code, answer.headers["x-wanneng-tenant"]) == (200, "local")
    assert "x-wanneng-tenant" not in attacked.ask("GET", "/v1/label-sets").headers


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


PAGE = b"<!doctype html><title>evil</title>"
ATTACK = """
async url => {
    const body = JSON.stringify({text: "a", labels: ["x", "y"]});
    const ask = (path, options) => fetch(url + path, options).then(r => r.status, () => "blocked");
    return Promise.all([
        ask("/v1/classify", {method: "POST", mode: "no-cors", body}),
        ask("/v1/classify", {method: "POST", headers: {"Content-Type": "application/json"}, body}),
        ask("/v1/label-sets/owned", {method: "PUT", headers: {"Content-Type": "application/json"}, body}),
        ask("/v1/label-sets", {mode: "no-cors"}),
        ask("/v1/label-sets", {}),
    ]);
}
"""


class EvilPage(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Length", str(len(PAGE)))
        self.end_headers()
        self.wfile.write(PAGE)

    def log_message(self, *_arguments: object) -> None:
        pass


@pytest.fixture
def evil_port() -> Iterator[int]:
    """A site of somebody else, on another port."""
    site = ThreadingHTTPServer(("127.0.0.1", 0), EvilPage)
    thread = threading.Thread(target=site.serve_forever, daemon=True)
    thread.start()
    yield site.server_port
    site.shutdown()
    site.server_close()
    thread.join()


@pytest.fixture
def page() -> Iterator[Page]:
    """Of a browser for which evil.example is this machine, as after DNS rebinding."""
    program = shutil.which("chromium")
    if program is None:
        pytest.skip("Chromium is not installed: apt install chromium")
    flags = [*FLAGS, "--host-resolver-rules=MAP evil.example 127.0.0.1"]
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=flags)
        yield browser.new_page()
        browser.close()


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "evil.example"])
def test_a_page_in_a_real_browser_reads_and_changes_nothing(
    attacked: Attacked, page: Page, evil_port: int, host: str
) -> None:
    log = attacked.server.state_dir / "gateway.log"
    page.goto(f"http://{host}:{evil_port}/")
    before = log.stat().st_size
    answers = page.evaluate(ATTACK, attacked.server.url)
    # What a page may send at all comes back opaque, with the status 0.
    assert answers == [0, "blocked", "blocked", 0, "blocked"]
    page.wait_for_timeout(500)
    lines = [json.loads(line) for line in log.read_bytes()[before:].splitlines() if line.startswith(b"{")]
    statuses = {(line["method"], line["status"]) for line in lines}
    assert statuses
    assert {status for _, status in statuses} <= {401, 405}
    assert "owned" not in attacked.ask("GET", "/v1/label-sets").text


def test_a_browser_shows_nothing_of_the_server_under_a_rebound_name(attacked: Attacked, page: Page) -> None:
    response = page.goto(f"http://evil.example:{attacked.server.ports[0]}/")
    assert response is not None
    assert response.status == 401
    read = "path => fetch(path).then(response => response.status)"
    for path in ("/v1/label-sets", "/v1/usage", "/v1/files", "/ui/app.js"):
        assert page.evaluate(read, path) == 401
    ours = page.goto(f"{attacked.server.url}/")
    assert ours is not None
    assert ours.status == 200
    assert page.evaluate(read, "/v1/label-sets") == 200


@pytest.mark.parametrize("part", ["Triton", "the control plane"])
def test_whoever_takes_the_port_of_a_part_that_ended_hears_nothing(tmp_path: Path, part: str) -> None:
    """Texts and keys go to what the same user listens on alone; when the port is free again, all is well again."""
    if os.geteuid() != 0:
        pytest.skip("only root can act as another user")
    with serving(tmp_path, GOLDEN_ENGINE) as server:
        secret = {"Authorization": f"Bearer {(tmp_path / 'local.key').read_text(encoding='utf-8').strip()}"}

        def ask() -> int:
            if part == "Triton":
                return server.classify(text=f"秘密 {time.monotonic()}", labels=LABELS).status_code
            url = f"{server.url}/v1/label-sets"
            return httpx.get(url, headers=secret, timeout=30, trust_env=False).status_code

        assert ask() == 200
        port = int(server.triton_http.rpartition(":")[2]) if part == "Triton" else server.ports[4]
        command = "bin/tritonserver" if part == "Triton" else "-m control_plane serve"
        squatter = Squatter(port)
        pid = next(pid for pid in descendants(server.process.pid) if command in command_line(pid))
        os.kill(pid, signal.SIGKILL)
        squatter.wait_until_listening()
        ends = time.monotonic() + 3
        while time.monotonic() < ends:
            assert ask() == 503
            time.sleep(0.1)
        assert squatter.connections() == 0
        deadline = time.monotonic() + 90
        while ask() != 200:
            assert time.monotonic() < deadline, f"{part} did not come back"
            time.sleep(0.2)
