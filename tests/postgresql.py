"""A real PostgreSQL of the tests' own: Debian's package, in a folder of its own."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
import uuid
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.e2e.server import descendants, free_ports

USER = "postgres"
LOOPBACK = "127.0.0.1"


def binaries() -> Path | None:
    """The folder of the newest version's programs."""
    programs = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    return programs[-1].parent if programs else None


def as_user(*command: str | Path) -> list[str]:
    """PostgreSQL refuses to run as root."""
    prefix = ["runuser", "-u", USER, "--"] if os.geteuid() == 0 else []
    return [*prefix, *map(str, command)]


@dataclass
class PostgresServer:
    """A cluster in `data`, listening at `address`."""

    programs: Path
    data: Path
    address: str
    port: int

    @property
    def url(self) -> str:
        return f"postgresql://{USER}@{self.address}:{self.port}"

    @property
    def pid(self) -> int:
        """Of the postmaster."""
        return int((self.data / "postmaster.pid").read_text(encoding="ascii").split()[0])

    def start(self) -> None:
        """Also after it was killed; it answers afterwards."""
        folder = self.data.parent
        options = f"-p {self.port} -k {folder} -h {self.address} -F"
        control: list[str | Path] = [
            self.programs / "pg_ctl",
            "-D",
            self.data,
            "-w",
            "-t",
            "30",
            "-l",
            folder / "log",
            "-o",
            options,
        ]
        start = as_user(*control, "start")
        subprocess.run(start, check=True, cwd=folder, timeout=60, stdout=subprocess.DEVNULL)

    def signal(self, number: signal.Signals) -> None:
        """To the postmaster and all of its processes."""
        for pid in {self.pid} | descendants(self.pid):
            with suppress(ProcessLookupError):
                os.kill(pid, number)


@contextmanager
def postgresql_server(address: str = LOOPBACK, clients: str = f"{LOOPBACK}/32") -> Iterator[PostgresServer]:
    """An empty server at `address` that lets `clients`, a network, in; it is gone afterwards."""
    programs = binaries()
    if programs is None:
        pytest.skip("PostgreSQL is not installed: apt install postgresql")
    folder = Path(tempfile.mkdtemp(prefix="wanneng-postgresql-", dir="/tmp"))  # a path that another user may enter
    if os.geteuid() == 0:
        shutil.chown(folder, USER)
    server = PostgresServer(programs, folder / "data", address, free_ports(1)[0])
    try:
        subprocess.run(
            as_user(programs / "initdb", "-D", server.data, "-U", USER, "--auth=trust", "--no-sync"),
            check=True,
            capture_output=True,
            cwd=folder,
            timeout=60,
        )
        with (server.data / "pg_hba.conf").open("a", encoding="utf-8") as rules:
            rules.write(f"host all all {clients} trust\n")
        server.start()
        yield server
    finally:
        stop = as_user(programs / "pg_ctl", "-D", server.data, "-m", "immediate", "stop")
        subprocess.run(stop, check=False, capture_output=True, cwd=folder, timeout=60)
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def postgresql() -> Iterator[PostgresServer]:
    """A server without databases, shared by the tests that do not harm it."""
    with postgresql_server() as server:
        yield server


@pytest.fixture
def own_postgresql() -> Iterator[PostgresServer]:
    """A server for one test, which may kill or stop it."""
    with postgresql_server() as server:
        yield server


@pytest.fixture
def new_database(postgresql: PostgresServer) -> Callable[[], Awaitable[str]]:
    """Creates a database without tables in the shared server, and returns its URL."""

    async def create() -> str:
        # The environment of engine/, which loads this module too, has no asyncpg.
        import asyncpg

        name = f"test_{uuid.uuid4().hex}"
        connection = await asyncpg.connect(f"{postgresql.url}/postgres")
        await connection.execute(f"CREATE DATABASE {name}")
        await connection.close()
        return f"{postgresql.url}/{name}"

    return create
