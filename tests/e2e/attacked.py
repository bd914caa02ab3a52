"""A real server that others attack: other users of this machine, pages of other sites, callers of a proxy."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from tests.e2e.server import Server, command_line, descendants, free_ports

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
        return httpx.request(
            method, f"{self.server.url}{path}", timeout=30, trust_env=False, verify=False, **options
        )

    def manage(self, method: str, path: str, **options: Any) -> httpx.Response:
        url = f"{self.internal_url}{path}"
        return httpx.request(method, url, headers=self.operator, timeout=30, trust_env=False, **options)


@contextmanager
def attacked_server() -> Iterator[Attacked]:
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
