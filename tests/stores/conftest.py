"""The stores under test: in memory, in SQLite, in a real PostgreSQL; and two tenants."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from stores.database import Database, migrate
from stores.factory import Stores, sql_stores
from stores.tenants import ACTIVE, Quota, Tenant
from tests.fakes.stores import fake_stores

THEN = datetime(2030, 1, 1, 12, 30, 0, 123456, tzinfo=UTC)


@pytest.fixture(params=["sqlite", "postgresql", "pgbouncer"])
async def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Of a database without tables."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/wanneng.db"
    return await _postgresql_url(request)


@pytest.fixture(params=["memory", "sqlite", "postgresql", "pgbouncer"])
async def stores(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Stores]:
    if request.param == "memory":
        yield fake_stores()
        return
    url = f"sqlite:///{tmp_path}/wanneng.db"
    if request.param != "sqlite":
        url = await _postgresql_url(request)
        await migrate(url)
    database = Database(url)
    await database.prepare()
    stores = sql_stores(database)
    yield stores
    await stores.close()


async def _postgresql_url(request: pytest.FixtureRequest) -> str:
    """Of a new database, directly or through PgBouncer."""
    url: str = await request.getfixturevalue("new_database")()
    if request.param == "postgresql":
        return url
    pooler: str = request.getfixturevalue("pgbouncer")
    return f"{pooler}/{url.rpartition('/')[2]}"


@pytest.fixture
def acme() -> Tenant:
    return Tenant("t_1", "Acme", ACTIVE, THEN)


@pytest.fixture
def other() -> Tenant:
    return Tenant("t_2", "Other 万能", ACTIVE, THEN, Quota(60, 1_000_000))


@pytest.fixture
async def tenants(stores: Stores, acme: Tenant, other: Tenant) -> None:
    """Both tenants exist."""
    await stores.tenants.add(acme)
    await stores.tenants.add(other)
