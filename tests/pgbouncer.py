"""A real PgBouncer of the tests' own before their PostgreSQL: Debian's package, in transaction mode."""

from __future__ import annotations

import os
import re
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.e2e.server import free_ports
from tests.postgresql import PostgresServer, as_user

PREPARED_STATEMENTS = (1, 21)
"""The first version that keeps named statements in transaction mode."""


def program() -> str | None:
    return shutil.which("pgbouncer", path=f"{os.environ['PATH']}:/usr/sbin")


def version() -> tuple[int, int]:
    """Of the one that is installed; 0.0 for none."""
    path = program()
    printed = (
        subprocess.run([path, "--version"], check=True, capture_output=True, text=True).stdout if path else ""
    )
    match = re.search(r"PgBouncer (\d+)\.(\d+)", printed)
    return (int(match[1]), int(match[2])) if match else (0, 0)


def installed() -> str:
    """Its version, for people."""
    return ".".join(map(str, version()))


def statements_kept() -> list[int]:
    """The values of `max_prepared_statements` that can be tried; 0 is what older ones do."""
    return [0, 200] if version() >= PREPARED_STATEMENTS else [0]


@contextmanager
def running_pgbouncer(server: PostgresServer, *, max_prepared_statements: int = 0) -> Iterator[str]:
    """The URL of its databases, which are those of `server`; two connections for all of its clients."""
    path = program()
    if path is None:
        pytest.skip("PgBouncer is not installed: apt install pgbouncer")
    folder = Path(tempfile.mkdtemp(prefix="wanneng-pgbouncer-", dir="/tmp"))  # which another user may enter
    folder.chmod(0o755)
    (port,) = free_ports(1)
    settings = {
        "listen_addr": "127.0.0.1",
        "listen_port": port,
        "unix_socket_dir": "",
        "auth_type": "any",
        "pool_mode": "transaction",
        "default_pool_size": 2,
        # Each test has a database of its own, whose connections would stay for ten minutes.
        "server_idle_timeout": 2,
        "logfile": folder / "log",
    }
    if version() >= PREPARED_STATEMENTS:
        settings["max_prepared_statements"] = max_prepared_statements
    lines = [f"{name} = {value}" for name, value in settings.items()]
    # `any` needs the user of the connection to the server.
    place = f"host={server.address} port={server.port} user=postgres"
    config = folder / "pgbouncer.ini"
    config.write_text("\n".join(["[databases]", f"* = {place}", "[pgbouncer]", *lines, ""]), encoding="utf-8")
    (folder / "log").touch()
    (folder / "log").chmod(0o666)
    process = subprocess.Popen(as_user(path, config), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        _wait_for(port, process, folder / "log")
        yield f"postgresql://postgres@127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(10)
        shutil.rmtree(folder, ignore_errors=True)


def _wait_for(port: int, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + 10
    while True:
        assert process.poll() is None, log.read_text(encoding="utf-8")
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
            return
        except OSError:
            assert time.monotonic() < deadline, "PgBouncer does not answer"
            time.sleep(0.02)


@pytest.fixture(scope="session")
def pgbouncer(postgresql: PostgresServer) -> Iterator[str]:
    """One that keeps no prepared statements, before the shared server."""
    with running_pgbouncer(postgresql) as url:
        yield url
