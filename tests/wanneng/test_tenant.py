"""`wanneng tenant` as a user runs it, against a gateway on a port."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import httpx
import pytest
import typer
from typer.testing import CliRunner

from tests.http_server import in_thread
from tests.wanneng.client.fake_gateway import FakeGateway
from wanneng.__main__ import app as main_app
from wanneng.client import Evaluation
from wanneng.errors import CommandError
from wanneng.key import app as key_app
from wanneng.label_set import app as label_set_app
from wanneng.tenant import app

Run = Callable[..., str]


@pytest.fixture
def gateway() -> FakeGateway:
    return FakeGateway()


@pytest.fixture
def run(gateway: FakeGateway) -> Iterator[Run]:
    """Runs a command with the admin key; its output."""

    class Handler(BaseHTTPRequestHandler):
        def handle_one(self) -> None:
            content = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            url = f"http://gateway{self.path}"
            response = gateway(httpx.Request(self.command, url, headers=dict(self.headers), content=content))
            self.send_response(response.status_code)
            self.send_header("Content-Length", str(len(response.content)))
            self.end_headers()
            self.wfile.write(response.content)

        do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = handle_one  # noqa: N815 - the names are http.server's

        def log_message(self, *_arguments: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)

    def run(*arguments: str, app: typer.Typer = app) -> str:
        keys = {"WANNENG_ADMIN_KEY": gateway.key, "WANNENG_KEY": gateway.key}
        address = ["--url", f"http://127.0.0.1:{server.server_port}"]
        result = CliRunner(env={"COLUMNS": "200"} | keys).invoke(
            app, [*arguments, *address], catch_exceptions=False
        )
        assert result.exit_code == 0, result.output
        return result.output

    with in_thread(server):
        yield run


def test_a_tenant_is_created_listed_changed_and_deleted(run: Run, gateway: FakeGateway) -> None:
    assert run("create", "acme") == "t0\n"
    run("quota", "acme", "--pairs-per-minute", "600")
    run("special-tokens", "acme", "text")
    run("suspend", "acme")
    header, row = run("list").splitlines()
    limits = ["requests_per_minute", "pairs_per_minute"]
    assert header.split() == ["id", "name", "status", *limits, "special_tokens", "created_at"]
    assert row.split() == ["t0", "acme", "suspended", "600", "text", "2026-11-21T10:00:00.500000Z"]
    run("resume", "t0")
    assert gateway.tenants["t0"]["status"] == "active"
    _, day, _, of_set, cost = run("usage", "acme", "--label-set", "mails").splitlines()
    assert of_set.split() == ["mails", "3", "6", "1", "90"]
    assert (day.split(), cost) == (["2026-11-21", "3", "6", "1", "90"], "90 tokens: 0.00018 CNY")
    run("delete", "acme", "--yes")
    assert gateway.tenants == {}


def test_versions_of_a_label_set_are_listed_with_their_numbers(run: Run, gateway: FakeGateway) -> None:
    with gateway.client() as client:
        client.label_sets.put("tickets", ["投诉", "咨询"], threshold=0.3)
        numbers = Evaluation(datetime(2026, 11, 21, tzinfo=UTC), "e1", 9, 8, 6, 1, 1, 2, in_sample=True)
        client.label_sets.put("tickets", ["投诉"], evaluation=numbers, replaces=1)
    header, second, first = run("versions", "tickets", app=label_set_app).splitlines()
    assert header.split()[:6] == ["version", "labels", "threshold", "texts", "labelled", "accuracy"]
    own = ["tickets@2", "1", "9", "8", "0.750", "(in", "sample)", "1", "2", "1", "e1"]
    assert second.split() == [*own, "2026-11-21T10:00:00.500000Z"]
    assert first.split() == ["tickets@1", "2", "0.3", "2026-11-21T10:00:00.500000Z"]


def test_a_budget_is_set_shown_with_what_is_used_and_removed(run: Run, gateway: FakeGateway) -> None:
    run("create", "acme")
    run("key", "acme")
    header, row = run("budget", "acme", "--pairs-per-month", "9", "--enforcement", "soft").splitlines()
    columns = ["pairs_per_month", "pairs_used", "tokens_per_month", "tokens_used", "enforcement", "renewed_at"]
    assert header.split() == columns
    assert row.split() == ["9", "6", "90", "soft", "2026-12-01T00:00:00Z"]
    assert run("budget", "acme") == f"{header}\n{row}\n"
    run("budget", "acme", "--key-id", "k0", "--tokens-per-month", "8")
    assert (gateway.budgets["k0"]["tokens_per_month"], gateway.budgets["k0"]["enforcement"]) == (8, "hard")
    run("budget", "acme", "--unlimited")
    assert gateway.budgets[None]["pairs_per_month"] is None
    with pytest.raises(CommandError, match="--unlimited removes both limits"):
        run("budget", "acme", "--unlimited", "--pairs-per-month", "9")


def test_keys_are_printed_when_they_are_made_and_never_again(run: Run, gateway: FakeGateway) -> None:
    run("create", "acme")
    end = "2027-01-31T00:00:00Z"
    made = run("key", "acme", "--name", "import", "--scope", "classify", "--expires-at", end)
    assert made == "wn_k0_secret\n"
    assert gateway.keys["t0"][0]["expires_at"] == "2027-01-31T00:00:00+00:00"
    assert run("rotate", "acme", "k0", "--overlap-s", "9") == "wn_new_secret\n"
    header, old, new = run("keys", "acme").splitlines()
    assert header.split() == ["id", "name", "scopes", "created_at", "expires_at", "last_used_at"]
    assert old.split()[:3] == ["k0", "import", "classify"]
    assert "2026-11-21T10:00:09Z" in old
    assert "secret" not in old + new
    run("revoke", "acme", "k0")
    assert [key["id"] for key in gateway.keys["t0"]] == ["new"]


def test_a_tenants_own_keys_are_managed_with_one_of_them(run: Run, gateway: FakeGateway) -> None:
    assert run("create", "--name", "import", "--scope", "classify", app=key_app) == "wn_k0_secret\n"
    assert run("rotate", "k0", "--overlap-s", "9", app=key_app) == "wn_new_secret\n"
    _, old, new = run("list", app=key_app).splitlines()
    assert (old.split()[:3], new.split()[:2]) == (["k0", "import", "classify"], ["new", "import"])
    run("revoke", "k0", app=key_app)
    assert [key["id"] for key in gateway.keys[None]] == ["new"]


def test_the_status_has_a_row_for_each_gateway_and_names_those_that_are_silent(run: Run) -> None:
    lines = [line for line in run("status", app=main_app).splitlines() if line]
    _, answered, silent, everything, _, pool, _, tenant = lines
    assert answered.split() == [
        "http://a:8090",
        *["ready,", "Redis", "does", "not", "answer", "4", "5", "7", "1", "1", "1"],
    ]
    assert silent.split() == ["http://b:8090", *["it", "does", "not", "answer", "within", "2", "s"]]
    assert everything.split() == ["all", "4", "5", "7", "1", "1", "1"]
    assert pool.split() == ["default", "3", "1", "2x", "e1,", "1x", "e2"]
    assert tenant.split() == ["t_1", "8", "4", "3", "2", "1"]


def test_what_cannot_be_done_is_one_sentence(run: Run) -> None:
    with pytest.raises(CommandError, match="there is no tenant 'acme'; `wanneng tenant list` shows them"):
        run("suspend", "acme")
    with pytest.raises(
        CommandError, match="--expires-at is 'soon'; a time such as 2027-01-31T00:00:00Z is needed"
    ):
        run("key", "acme", "--expires-at", "soon")
