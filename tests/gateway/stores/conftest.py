"""The stores under test, and a real PostgreSQL of the tests' own: Debian's package, in a folder of its own."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
import uuid
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import asyncpg
import pytest

from gateway.assembly import Stores, open_stores
from gateway.settings import Settings
from gateway.stores.database import Database, migrate
from tests.e2e.server import free_ports
from tests.fakes.stores import fake_stores

USER = "postgres"


def binaries() -> Path | None:
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    return found[-1].parent if found else None


def as_user(*command: str | Path) -> list[str]:
    """PostgreSQL refuses to run as root."""
    prefix = ["runuser", "-u", USER, "--"] if os.geteuid() == 0 else []
    return [*prefix, *map(str, command)]


@pytest.fixture(scope="session")
def postgresql(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of an empty server; each test makes its own database."""
    programs = binaries()
    if programs is None:
        pytest.skip("PostgreSQL is not installed: apt install postgresql")
    folder = Path(tempfile.mkdtemp(prefix="wanneng-postgresql-", dir="/tmp"))  # a path that another user may enter
    if os.geteuid() == 0:
        shutil.chown(folder, USER)
    (port,) = free_ports(1)
    data = folder / "data"
    try:
        subprocess.run(
            as_user(programs / "initdb", "-D", data, "-U", USER, "--auth=trust", "--no-sync"),
            check=True,
            capture_output=True,
            cwd=folder,
            timeout=60,
        )
        options = f"-p {port} -k {folder} -h 127.0.0.1 -F"
        start = as_user(
            programs / "pg_ctl", "-D", data, "-w", "-t", "30", "-l", folder / "log", "-o", options, "start"
        )
        subprocess.run(start, check=True, cwd=folder, timeout=60, stdout=subprocess.DEVNULL)
        yield f"postgresql://{USER}@127.0.0.1:{port}"
    finally:
        stop = as_user(programs / "pg_ctl", "-D", data, "-m", "immediate", "stop")
        subprocess.run(stop, check=False, capture_output=True, cwd=folder, timeout=60)
        shutil.rmtree(folder, ignore_errors=True)


async def new_database(url: str) -> str:
    name = f"test_{uuid.uuid4().hex}"
    connection = await asyncpg.connect(f"{url}/postgres")
    await connection.execute(f"CREATE DATABASE {name}")
    await connection.close()
    return f"{url}/{name}"


@pytest.fixture(params=["memory", "sqlite", "postgresql"])
async def stores(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Stores]:
    if request.param == "memory":
        yield fake_stores()
        return
    url = f"sqlite:///{tmp_path}/tenants.db"
    if request.param == "postgresql":
        url = await new_database(request.getfixturevalue("postgresql"))
        await migrate(url)
    await prepared(url)
    opened = open_stores(Settings(database_url=url))
    yield opened
    await opened.close()


async def prepared(url: str) -> None:
    database = Database(url)
    await database.prepare()
    await database.close()
