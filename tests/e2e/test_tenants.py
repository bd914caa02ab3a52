"""Tenants on one machine: the local one, `wanneng tenant`, and what lasts over a restart."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from tests.e2e.server import ROOT, Server, command_line, descendants

ENGINE = ROOT / "tests/golden/small"
BODY = {"text": "这个手机质量太差", "labels": "投诉,咨询"}


def wanneng(server: Server, *arguments: str) -> str:
    """The output of `wanneng tenant …` against this server, as its operator."""
    command = [sys.executable, "-m", "wanneng", "tenant", *arguments, "--url", server.url]
    environment = dict(os.environ) | {"WANNENG_ADMIN_KEY": (server.state_dir / "admin.key").read_text().strip()}
    done = subprocess.run(
        command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=30, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def ask(server: Server, key: str | None) -> httpx.Response:
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    return httpx.post(
        f"{server.url}/v1/classify", json=BODY, headers=headers, timeout=30, trust_env=False, verify=False
    )


def started(state: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Server, str]:
    """A server that asks for keys, and the local tenant's key, whose file it named."""
    monkeypatch.setenv("WANNENG_REQUIRE_KEY", "true")
    server = Server(state, ENGINE)
    server.start()
    printed = server.wait_until_ready()
    assert f"the key of the local tenant (needed) is in {state}/local.key" in printed
    assert f'-H "Authorization: Bearer $(cat {state}/local.key)"' in printed.splitlines()[-1]
    key = (state / "local.key").read_text(encoding="utf-8").strip()
    assert key not in printed
    return server, key


def test_tenants_and_their_keys_last_over_a_restart_and_a_kill(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server, local = started(tmp_path, monkeypatch)
    try:
        assert ask(server, None).status_code == 401
        assert ask(server, local).status_code == 200
        wanneng(server, "create", "acme")
        key = wanneng(server, "key", "acme")
        assert ask(server, key).status_code == 200
        wanneng(server, "quota", "acme", "--pairs-per-minute", "1234")
        listed = wanneng(server, "list")
        assert "1234" in listed
        assert "…" not in listed, "a program reads whole ids"
        label_set = {"labels": ["投诉", "咨询"]}
        headers = {"Authorization": f"Bearer {key}"}
        made = httpx.put(f"{server.url}/v1/label-sets/tickets", json=label_set, headers=headers, trust_env=False)
        assert made.status_code == 201, made.text
        gateway = next(pid for pid in descendants(server.process.pid) if "-m gateway " in command_line(pid))
        os.kill(gateway, signal.SIGKILL)
    finally:
        server.stop()
    again, same = started(tmp_path, monkeypatch)
    try:
        assert same == local
        assert ask(again, key).status_code == 200
        kept = httpx.get(f"{again.url}/v1/label-sets/tickets", headers=headers, trust_env=False)
        # What a change removes is in its own answer alone.
        assert kept.json() | {"removed_versions": []} == made.json()
        wanneng(again, "suspend", "acme")
        assert ask(again, key).status_code == 401
        wanneng(again, "resume", "acme")
        new = wanneng(again, "rotate", "acme", key.split("_")[1], "--overlap-s", "0")
        assert ask(again, new).status_code == 200
        assert ask(again, key).status_code == 401
        wanneng(again, "revoke", "acme", new.split("_")[1])
        assert ask(again, new).status_code == 401
        wanneng(again, "delete", "acme", "--yes")
        assert "acme" not in wanneng(again, "list")
    finally:
        again.stop()
    for secret in ("admin.key", "local.key"):
        assert (tmp_path / secret).stat().st_mode & 0o777 == 0o600
    logs = "".join(path.read_text(errors="replace") for path in tmp_path.glob("*.log"))
    assert not re.search(r"wn_\w+_\w+", logs)
