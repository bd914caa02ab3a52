"""Tenants and label sets out of a file: schema-checked, read again, and never half."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from gateway.app import create_app
from gateway.assembly import open_stores
from gateway.keys import make_key
from gateway.settings import Settings
from gateway.stores.database import DatabaseError
from gateway.stores.declaration import Declaration
from gateway.stores.declared import DeclaredFile
from tests.e2e.server import ROOT
from tests.fakes.classifier import FakeClassifier
from tests.gateway.test_api import assert_problem
from tests.gateway.test_tenant_api import OPERATOR, bearer

NEW = make_key()
GOOD = f"""
tenants:
  - id: acme
    name: Acme 公司
    quota: {{pairs_per_minute: 4}}
    keys:
      - id: "{NEW.id}"
        sha256: "{NEW.digest}"
        scopes: [classify, "label_sets:read", "label_sets:write", "usage:read"]
    label_sets:
      - {{name: tickets, version: 1, labels: [投诉, {{label: 咨询, hypothesis: 用户在咨询}}]}}
      - {{name: tickets, version: 2, labels: [a, b, c], threshold: 0.5}}
  - id: other
"""
QUESTION: dict[str, Any] = {"text": "我要投诉", "labels": ["投诉", "咨询"]}


@asynccontextmanager
async def gateway(path: Path) -> AsyncIterator[tuple[httpx.AsyncClient, DeclaredFile]]:
    settings = Settings(declared=str(path), require_key=True, admin_key="operator")
    stores = open_stores(settings)
    assert stores.declared is not None
    app = create_app(settings, classifier=FakeClassifier(), stores=stores)
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(transport=transport, base_url="http://gateway") as client,
    ):
        yield client, stores.declared


@pytest.fixture
def path(tmp_path: Path) -> Path:
    made = tmp_path / "tenants.yaml"
    made.write_text(GOOD, encoding="utf-8")
    return made


async def test_what_is_declared_is_served(path: Path) -> None:
    async with gateway(path) as (client, _):
        key = bearer(NEW.key)
        answer = await client.post("/v1/classify", json={"text": "投诉", "label_set": "tickets@1"}, headers=key)
        assert answer.json()["label_set"] == "tickets@1"
        assert answer.headers["ratelimit-policy"] == '"pairs";q=4;w=60'
        newest = (await client.get("/v1/label-sets/tickets", headers=key)).json()
        assert (newest["version"], newest["threshold"]) == (2, 0.5)
        listed = (await client.get("/v1/label-sets", headers=key)).json()["label_sets"]
        assert [(one["name"], one["version"]) for one in listed] == [("tickets", 2)]
        versions = (await client.get("/v1/label-sets/tickets/versions", headers=key)).json()["label_sets"]
        assert [one["version"] for one in versions] == [2, 1]
        tenants = (await client.get("/v1/tenants", headers=OPERATOR)).json()["tenants"]
        assert [(one["id"], one["pairs_per_minute"]) for one in tenants] == [("acme", 4), ("other", None)]
        assert_problem(
            await client.post("/v1/classify", json=QUESTION, headers=bearer(make_key().key)), 401, "unauthorized"
        )


async def test_a_file_that_is_the_same_is_not_taken_again(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    file = DeclaredFile(path, Settings())
    before = file.now
    file.look()
    assert file.now is before
    assert "has changed" not in caplog.text


async def test_what_would_change_it_says_why_not(path: Path) -> None:
    async with gateway(path) as (client, _):
        key = bearer(NEW.key)
        refusals = [
            await client.post("/v1/tenants", json={"name": "new"}, headers=OPERATOR),
            await client.patch("/v1/tenants/acme", json={"name": "new"}, headers=OPERATOR),
            await client.delete("/v1/tenants/acme", headers=OPERATOR),
            await client.post("/v1/tenants/acme/keys", headers=OPERATOR),
            await client.delete(f"/v1/tenants/acme/keys/{NEW.id}", headers=OPERATOR),
            await client.put("/v1/label-sets/new", json={"labels": ["a"]}, headers=key),
            await client.delete("/v1/label-sets/tickets", headers=key),
            await client.get("/v1/usage", headers=key),
            await client.get("/v1/files", headers=key),
            await client.get("/v1/batches/batch_1", headers=key),
            await client.post("/v1/batches", json={"input_file_id": "f", "endpoint": "/v1/classify"}, headers=key),
            await client.post("/v1/files", files={"file": b"x"}, data={"purpose": "batch"}, headers=key),
        ]
        for refusal in refusals:
            assert "declared in a file" in assert_problem(refusal, 501, "not_available")["detail"]


async def test_a_changed_file_holds_and_a_broken_one_does_not(
    path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with gateway(path) as (client, file):
        key = bearer(NEW.key)
        path.write_text(GOOD.replace("[a, b, c]", "[a, b]").replace("4}", "9}"), encoding="utf-8")
        file.look()
        assert len((await client.get("/v1/label-sets/tickets", headers=key)).json()["labels"]) == 2
        for broken in ("tenants: {", "tenants:\n  - id: acme\n    colour: red", None):
            if broken is None:
                path.unlink()
            else:
                path.write_text(broken, encoding="utf-8")
            file.look()
            assert len((await client.get("/v1/label-sets/tickets", headers=key)).json()["labels"]) == 2
            assert "wanneng_declaration_sound 0.0" in (await client.get("/metrics")).text
        assert sum("cannot be used" in record.message for record in caplog.records) == 1, "said once"
        path.write_text(GOOD, encoding="utf-8")
        file.look()
        assert len((await client.get("/v1/label-sets/tickets", headers=key)).json()["labels"]) == 3
        assert "wanneng_declaration_sound 1.0" in (await client.get("/metrics")).text


@pytest.mark.parametrize(
    ("content", "place"),
    [
        (b"\xff", ""),
        (b"[]", "Expected `object`"),
        (b"tenants: [{id: A}]", "tenants[0].id"),
        (b"tenants: [{id: a}, {id: a}]", "tenants[1].id"),
        (b"tenants: [{id: a}, {id: b, name: a}]", "tenants: two"),
        (b"tenants: [{id: a, status: gone}]", "tenants[0].status"),
        (b"tenants: [{id: a, quota: {pairs_per_minute: 0}}]", "tenants[0].quota"),
        (b"tenants: [{id: a, keys: [{id: k, sha256: s}]}]", "tenants[0].keys[0].id"),
        (b"tenants: [{id: a, keys: [{id: 00000000000a, sha256: s}]}]", "tenants[0].keys[0].sha256"),
        (
            b"tenants: [{id: a, keys: [{id: 00000000000a, sha256: %s, scopes: [all]}]}]" % (b"a" * 64),
            "tenants[0].keys[0].scopes",
        ),
        (
            b"tenants: [{id: a, keys: [{id: 00000000000a, sha256: %s, expires_at: '2030-01-01T00:00:00'}]}]"
            % (b"a" * 64),
            "tenants[0].keys[0].expires_at",
        ),
        (b"tenants: [{id: a, label_sets: [{name: N, labels: [x]}]}]", "tenants[0].label_sets[0].name"),
        (b"tenants: [{id: a, label_sets: [{name: n, labels: [x, x]}]}]", "tenants[0].label_sets[0].labels[1]"),
        (b"tenants: [{id: a, label_sets: [{name: n, labels: []}]}]", "tenants[0].label_sets[0].labels"),
        (
            b"tenants: [{id: a, label_sets: [{name: n, labels: [x]}, {name: n, labels: [y]}]}]",
            "tenants[0].label_sets[1].version",
        ),
    ],
)
def test_a_mistake_is_named_by_its_place(content: bytes, place: str) -> None:
    with pytest.raises(DatabaseError) as refusal:
        Declaration(content, Settings())
    assert place in str(refusal.value)


def test_a_gateway_does_not_start_on_a_broken_file(tmp_path: Path) -> None:
    path = tmp_path / "tenants.yaml"
    path.write_text("tenants: [{id: A}]", encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "-m", "gateway"],
        cwd=ROOT,
        env={"WANNENG_DECLARED": str(path), "PATH": ""},
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert (done.returncode, done.stderr.strip()) == (
        1,
        f"gateway: {path}: tenants[0].id: a-z, 0-9, _ and - are possible",
    )


def test_a_new_key_comes_with_the_lines_that_declare_it() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "gateway.new_key"], cwd=ROOT, capture_output=True, text=True, timeout=30, check=True
    )
    key = done.stdout.strip()
    indented = done.stderr.replace("\n", "\n      ")
    found = Declaration(f"tenants:\n  - id: a\n    keys:\n      {indented}".encode(), Settings())
    assert [f"wn_{key_id}" for key_id in found.keys] == [key.rpartition("_")[0]]
    assert done.stderr.count('"') == 4, "in quotes, for digits alone would be a number"
    assert key not in done.stderr


def test_the_readmes_example_can_be_used() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    example = readme.partition("```yaml\n")[2].partition("```")[0]
    assert list(Declaration(example.encode(), Settings()).tenants) == ["acme"]
