"""Disturbs the control plane of a running server: kills it, stops it, floods it with uploads and listings."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx

from benchmarks.control_plane_load import Listings, Uploads, encode_job
from tests.e2e.server import ROOT, Server, command_line, descendants
from tests.postgresql import PostgresServer

TIMEOUT_S = 30.0
RECOVERY_TIMEOUT_S = 60.0
PROBE_S, PROBE_TIMEOUT_S = 0.5, 2.0
"""How often the control plane is asked during a disturbance, and how long to wait for it."""
CONTROL_PLANE = "control_plane serve"
"""Part of its command line."""
LABELS_PER_SET = 40


class DisturbanceError(Exception):
    """A disturbance did not happen as described, so the measurement says nothing."""


@dataclass(frozen=True, slots=True)
class Subject:
    """A server, its admin key, and the keys of three tenants: one classifies, two upload."""

    server: Server
    admin_key: str
    key: str
    upload_keys: Sequence[str]

    @property
    def control_plane_pid(self) -> int:
        """0 if it does not run."""
        pids = (pid for pid in descendants(self.server.process.pid) if CONTROL_PLANE in command_line(pid))
        return next(pids, 0)

    @property
    def address(self) -> tuple[str, int]:
        parts = urlsplit(self.server.url)
        return parts.hostname or "", parts.port or 0


@dataclass(frozen=True, slots=True)
class Disturbance:
    """What is done to the control plane; `run` returns the responses to its own requests, by status or error."""

    name: str
    run: Callable[[Subject], Awaitable[Counter[str]]]
    outage: bool = False
    """Whether the control plane cannot answer meanwhile."""


def bearer(key: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {key}"}


def create_subject(server: Server) -> Subject:
    """Create the tenants; the admin key is in the server's state folder."""
    admin_key = (server.state_dir / "admin.key").read_text(encoding="utf-8").strip()
    with _client(server, admin_key) as http:
        ids = [_body(http.post("/v1/tenants", json={"name": f"benchmark-{n}"}))["id"] for n in range(3)]
        key, *upload_keys = (str(_body(http.post(f"/v1/tenants/{id_}/keys", json={}))["key"]) for id_ in ids)
    return Subject(server, admin_key, key, upload_keys)


def create_content(subject: Subject, tenants: int, label_sets: int, files: int) -> None:
    """Create something to list."""
    labels = {"labels": [f"标签{number}" for number in range(LABELS_PER_SET)]}
    with _client(subject.server, subject.admin_key) as http:
        for number in range(tenants):
            _body(http.post("/v1/tenants", json={"name": f"listed-{number}"}))
    with _client(subject.server, subject.key) as http:
        for number in range(label_sets):
            _body(http.put(f"/v1/label-sets/listed-{number}", json=labels))
        for _ in range(files):
            _body(http.post("/v1/files", files={"file": ("lines.jsonl", b"{}\n")}, data={"purpose": "batch"}))


def killed() -> Disturbance:
    async def kill(subject: Subject) -> Counter[str]:
        pid = subject.control_plane_pid
        if not pid:
            raise DisturbanceError("no control plane runs below `wanneng serve`")
        os.kill(pid, signal.SIGKILL)
        await _until_answered(subject)
        return Counter()

    return Disturbance("control plane killed", kill, outage=True)


def stopped(seconds: float) -> Disturbance:
    async def stop(subject: Subject) -> Counter[str]:
        pid = subject.control_plane_pid
        os.kill(pid, signal.SIGSTOP)
        try:
            await asyncio.sleep(seconds)
        finally:
            os.kill(pid, signal.SIGCONT)
        await _until_answered(subject)
        return Counter()

    return Disturbance(f"control plane stopped for {seconds:g} s", stop, outage=True)


def database_stopped(postgresql: PostgresServer, seconds: float) -> Disturbance:
    async def stop(subject: Subject) -> Counter[str]:
        postgresql.signal(signal.SIGSTOP)
        try:
            await asyncio.sleep(seconds)
        finally:
            postgresql.signal(signal.SIGCONT)
        await _until_answered(subject)
        return Counter()

    return Disturbance(f"PostgreSQL stopped for {seconds:g} s", stop, outage=True)


def uploads(count: int, file: Path) -> Disturbance:
    async def upload(subject: Subject) -> Counter[str]:
        return await _load(Uploads(*subject.address, subject.upload_keys, str(file), count))

    return Disturbance(f"{count} uploads of {file.stat().st_size / 1e6:g} MB at once", upload)


def listings(seconds: float) -> Disturbance:
    async def list_everything(subject: Subject) -> Counter[str]:
        paths = [("/v1/tenants?limit=100", subject.admin_key)]
        for resource in ("label-sets", "files", "batches", "usage"):
            paths += [(f"/v1/{resource}?limit=100", key) for key in (subject.key, subject.upload_keys[0])]
        return await _load(Listings(*subject.address, paths, seconds))

    return Disturbance("everything listed in a loop", list_everything)


async def probe(subject: Subject, responses: Counter[str]) -> None:
    """Ask the control plane for something every `PROBE_S`, until cancelled; count responses by status or error."""

    async def ask(http: httpx.AsyncClient) -> None:
        try:
            response = await http.get("/v1/label-sets", headers=bearer(subject.key))
        except httpx.TransportError as error:
            responses[type(error).__name__] += 1
        else:
            responses[str(response.status_code)] += 1

    async with (
        httpx.AsyncClient(base_url=subject.server.url, timeout=PROBE_TIMEOUT_S, trust_env=False) as http,
        asyncio.TaskGroup() as tasks,
    ):
        while True:
            tasks.create_task(ask(http))
            await asyncio.sleep(PROBE_S)


async def _until_answered(subject: Subject) -> None:
    deadline = time.monotonic() + RECOVERY_TIMEOUT_S
    async with httpx.AsyncClient(base_url=subject.server.url, timeout=PROBE_TIMEOUT_S, trust_env=False) as http:
        while time.monotonic() < deadline:
            try:
                if (await http.get("/v1/tenants", headers=bearer(subject.admin_key))).is_success:
                    return
            except httpx.TransportError:
                pass
            await asyncio.sleep(PROBE_S)
    raise DisturbanceError(f"the control plane did not answer again within {RECOVERY_TIMEOUT_S:g} s")


async def run_job(module: str, job: bytes, what: str) -> Counter[str]:
    """Give `job` to a module of the benchmarks in a process of its own; the outcomes that it counts.

    `DisturbanceError` when it fails: `what` names it.
    """
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", module),
        cwd=ROOT,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    try:
        output, _ = await process.communicate(job)
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    if process.returncode:
        raise DisturbanceError(f"{what} ended with exit code {process.returncode}")
    return Counter(json.loads(output))


async def _load(job: Uploads | Listings) -> Counter[str]:
    module = "benchmarks.control_plane_load"
    statuses = await run_job(module, encode_job(job), "the load on the control plane")
    if not statuses["200"]:
        raise DisturbanceError(f"the control plane answered none of the requests: {dict(statuses)}")
    return statuses


def _client(server: Server, key: str) -> httpx.Client:
    return httpx.Client(base_url=server.url, headers=bearer(key), timeout=TIMEOUT_S, trust_env=False)


def _body(response: httpx.Response) -> Any:
    if response.is_error:
        raise DisturbanceError(f"{response.request.url} answered {response.status_code}: {response.text[:300]}")
    return response.json()
