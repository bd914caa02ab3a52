"""The commands as they are run: what they do, and the one sentence with which they refuse."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import httpx
import pytest

from stores.database import Database
from stores.factory import sql_stores
from stores.label_sets import LabelLimits
from stores.tenants import LOCAL_TENANT_ID
from stores.tenants_file.parser import TenantsFileContent
from tests.e2e.server import free_ports

ROOT = Path(__file__).parents[2]
INTERNAL_KEY = "k" * 32
LOCAL = {"Authorization": f"Bearer {INTERNAL_KEY}", "X-Wanneng-Tenant": "local"}


def command(name: str, **variables: str) -> tuple[list[str], dict[str, str]]:
    environment = {"PATH": os.environ["PATH"]} | {f"WANNENG_{key}": value for key, value in variables.items()}
    return [sys.executable, "-m", "control_plane", name], environment


def run(name: str, **variables: str) -> subprocess.CompletedProcess[str]:
    arguments, environment = command(name, **variables)
    return subprocess.run(
        arguments, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=30, check=False
    )


async def has_local_tenant(url: str) -> bool:
    database = Database(url)
    await database.check()
    stores = sql_stores(database)
    tenant = await stores.tenants.get(LOCAL_TENANT_ID)
    await stores.close()
    return tenant is not None


async def test_migrate_brings_a_database_to_the_newest_revision_and_creates_the_local_tenant(
    tmp_path: Path,
) -> None:
    url = f"sqlite:///{tmp_path}/wanneng.db"
    for _ in range(2):
        done = run("migrate", DATABASE_URL=url)
        assert (done.returncode, done.stderr) == (0, "")
        assert await has_local_tenant(url)


@pytest.mark.parametrize("signal_number", [signal.SIGTERM, signal.SIGINT])
async def test_serve_prepares_sqlite_listens_and_stops(tmp_path: Path, signal_number: signal.Signals) -> None:
    url, (port,) = f"sqlite:///{tmp_path}/wanneng.db", free_ports(1)
    arguments, environment = command(
        "serve", DATABASE_URL=url, CONTROL_PLANE_PORT=str(port), INTERNAL_KEY=INTERNAL_KEY
    )
    process = subprocess.Popen(arguments, cwd=ROOT, env=environment)
    try:
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline:
            try:
                if httpx.get(f"http://127.0.0.1:{port}/readyz").status_code == 200:
                    break
            except httpx.TransportError:
                time.sleep(0.05)
        assert httpx.get(f"http://127.0.0.1:{port}/v1/label-sets", headers=LOCAL).json()["label_sets"] == []
        assert await has_local_tenant(url)
    finally:
        process.send_signal(signal_number)
        assert process.wait(10) in (0, -signal_number)


def test_worker_stops_when_it_is_told(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/wanneng.db"
    assert run("migrate", DATABASE_URL=url).returncode == 0
    arguments, environment = command("worker", DATABASE_URL=url, INTERNAL_KEY=INTERNAL_KEY)
    process = subprocess.Popen(arguments, cwd=ROOT, env=environment)
    with pytest.raises(subprocess.TimeoutExpired):
        process.wait(3)
    process.send_signal(signal.SIGTERM)
    assert process.wait(10) == 0


@pytest.mark.parametrize(
    ("name", "variables", "message"),
    [
        ("serve", {"CONTROL_PLANE_PORT": "http"}, "WANNENG_CONTROL_PLANE_PORT is 'http': "),
        ("serve", {"TENANTS_FILE": "t.yaml"}, "WANNENG_TENANTS_FILE is set; there is no control plane"),
        ("migrate", {"TENANTS_FILE": "t.yaml"}, "WANNENG_TENANTS_FILE is set; there is no control plane"),
        ("migrate", {"DATABASE_URL": "mysql://a:secret@b/c"}, "WANNENG_DATABASE_URL must begin with sqlite:///"),
        ("serve", {"DATABASE_URL": "postgresql://a:secret@127.0.0.1:1/c"}, "the database does not answer"),
        (
            "migrate",
            {"DATABASE_URL": "postgresql://a:secret@127.0.0.1:1/c"},
            "the database cannot be migrated: the database does not answer at 127.0.0.1:1/c ",
        ),
        ("worker", {}, "WANNENG_INTERNAL_KEY is missing; "),
        (
            "worker",
            {"INTERNAL_KEY": INTERNAL_KEY, "DATABASE_URL": "sqlite:///{folder}/new.db"},
            "the database is at revision none, ",
        ),
        (
            "worker",
            {"INTERNAL_KEY": INTERNAL_KEY, "DATABASE_URL": "postgresql://a:secret@127.0.0.1:1/c"},
            "the database does not answer",
        ),
    ],
)
def test_a_command_that_cannot_be_run_says_why_in_one_sentence(
    name: str, variables: dict[str, str], message: str, tmp_path: Path
) -> None:
    done = run(name, **{key: value.format(folder=tmp_path) for key, value in variables.items()})
    assert (done.returncode, done.stderr) == (1, "")
    entry = json.loads(done.stdout.splitlines()[-1])
    assert (entry["level"], entry["logger"]) == ("critical", f"control_plane.{name}")
    assert entry["message"].startswith(f"cannot run: {message}")
    assert "secret@" not in done.stdout


def test_a_new_key_comes_with_the_lines_that_declare_it() -> None:
    done = run("new-key")
    key = done.stdout.strip()
    indented = done.stderr.replace("\n", "\n      ")
    content = TenantsFileContent(f"tenants:\n  - id: a\n    keys:\n      {indented}".encode(), LabelLimits())
    assert [f"wn_{key_id}" for key_id in content.keys] == [key.rpartition("_")[0]]
    assert done.stderr.count('"') == 4, "in quotes, for digits alone would be a number"
    assert key not in done.stderr


def test_an_unknown_command_is_refused_with_those_that_there_are() -> None:
    done = run("launch")
    assert done.returncode == 2
    for name in ("serve", "worker", "migrate", "new-key"):
        assert name in done.stderr


@pytest.mark.parametrize("stream", [">&-", ">/dev/full"])
def test_a_new_key_that_cannot_be_written_is_an_error(stream: str) -> None:
    arguments, environment = command("new-key")
    done = subprocess.run(
        ["sh", "-c", f'exec "$@" {stream}', "sh", *arguments],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert done.returncode == 1
    assert done.stderr.startswith("standard output cannot be written: ")
    assert done.stderr.count("\n") == 1
