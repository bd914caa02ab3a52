"""The stores under test: in memory, in SQLite, in a real PostgreSQL."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import asyncpg
import pytest

from gateway.assembly import Stores, open_stores
from gateway.settings import Settings
from gateway.stores.database import Database, migrate
from tests.fakes.stores import fake_stores
from tests.postgresql import postgresql_server


@pytest.fixture(scope="session")
def postgresql() -> Iterator[str]:
    """The URL of an empty server; each test makes its own database."""
    with postgresql_server() as server:
        yield server.url


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
