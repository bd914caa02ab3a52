"""Each way in which a real database fails, by the cause that is told and logged."""

from __future__ import annotations

import asyncio
import logging
import signal
import sqlite3
import subprocess
from collections.abc import Awaitable, Callable
from contextlib import closing, suppress
from pathlib import Path

import asyncpg
import pytest
from sqlalchemy import text

from stores.clock import SystemClock
from stores.database import Database, DatabaseError, migrate
from stores.database_causes import SQLITE_CODES, SQLSTATES, cause_of
from stores.errors import StoreUnavailable, StoreUnusable
from stores.sql.tenants import SqlTenants
from stores.tenants import ACTIVE, Tenant
from tests.postgresql import PostgresServer
from tests.secure_postgresql import SecurePostgres

# aiosqlite ends the thread of a connection that failed a moment after the loop is gone, maybe in the next test.
pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")

TENANT = Tenant("t_1", "Acme", ACTIVE, SystemClock().now())


async def failure(url: str, *, write: bool = False) -> StoreUnavailable:
    """Of a request for a tenant, or of the creation of one."""
    database = Database(url)
    store = SqlTenants(database)
    try:
        with pytest.raises(StoreUnavailable) as refusal:
            await (store.add(TENANT) if write else store.get("t_1"))
        return refusal.value
    finally:
        await database.close()


def check(error: StoreUnavailable, kind: type[StoreUnavailable], sentence: str, *detail: str) -> None:
    assert (type(error), str(error)) == (kind, sentence)
    assert error.detail.startswith(sentence)
    for words in detail:
        assert words in error.detail
    for private in ("127.0.0.1", "secret", "postgres@"):
        assert private not in str(error)
    assert "secret" not in error.detail


async def test_nobody_listens() -> None:
    error = await failure("postgresql://user:secret@127.0.0.1:1/db")
    check(error, StoreUnavailable, "the database does not answer", "127.0.0.1:1/db", "Connect call failed")


@pytest.mark.parametrize(
    "place",
    [
        "db..local/x",
        f"{'a' * 70}.local/x",
        "127.0.0.1:99999/x",
        "db:port/x",
        "[::1/x",
        "/x?host=a,b&port=1,zz",
        "db/x?target_session_attrs=best",
        "db/x?sslmode=require&ssl_min_protocol_version=9",
    ],
)
async def test_an_address_that_nothing_can_have(place: str) -> None:
    url = f"postgresql://user:secret@{place}"
    error = await failure(url)
    check(error, StoreUnusable, "the address of the database cannot be used", "correct WANNENG_DATABASE_URL")
    with pytest.raises(DatabaseError, match="the address of the database cannot be used at"):
        await migrate(url)


async def test_a_name_that_nobody_knows() -> None:
    error = await failure("postgresql://user:secret@database.invalid/db")
    check(error, StoreUnavailable, "the host name of the database cannot be resolved", "database.invalid/db")


async def test_a_server_that_hangs(own_postgresql: PostgresServer) -> None:
    own_postgresql.signal(signal.SIGSTOP)
    try:
        error = await failure(f"{own_postgresql.url}/postgres")
    finally:
        own_postgresql.signal(signal.SIGCONT)
    check(error, StoreUnavailable, "the database does not answer")


@pytest.mark.parametrize("answer", [b"HTTP/1.1 400 Bad Request\r\n\r\n", b"+PONG\r\n", b""])
async def test_something_else_listens_there(answer: bytes) -> None:
    """A web server, Redis, or whoever hangs up."""

    async def serve(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(answer)
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        for mode in ("disable", "prefer", "require"):
            error = await failure(f"postgresql://user:secret@127.0.0.1:{port}/db?sslmode={mode}")
            assert str(error) != "the database does not answer"
            assert f"127.0.0.1:{port}/db" in error.detail


async def test_a_wrong_password_or_user(secure_postgresql: SecurePostgres) -> None:
    place = f"127.0.0.1:{secure_postgresql.server.port}/postgres"
    error = await failure(f"postgresql://postgres:secret@{place}")
    check(error, StoreUnusable, "the database refuses the password", place, "28P01")


async def test_tls_that_is_needed_or_not_trusted_or_not_there(
    secure_postgresql: SecurePostgres, postgresql: PostgresServer
) -> None:
    url = secure_postgresql.url
    check(await failure(f"{url}?sslmode=disable"), StoreUnusable, "the database refuses the login", "28000")
    other = f"{url}?sslmode=verify-ca&sslrootcert={secure_postgresql.other_authority}"
    sentence = "the TLS certificate of the database is not trusted"
    check(await failure(other), StoreUnusable, sentence, "CERTIFICATE_VERIFY_FAILED")
    other_name = f"{url}?sslmode=verify-full&sslrootcert={secure_postgresql.authority}".replace(
        "127.0.0.1", "localhost"
    )
    with suppress(OSError):
        check(await failure(other_name), StoreUnusable, sentence, "localhost")
    plain = f"{postgresql.url}/postgres?sslmode=require"
    check(await failure(plain), StoreUnusable, "TLS with the database failed", "rejected SSL upgrade")


async def test_a_database_that_does_not_exist(postgresql: PostgresServer) -> None:
    error = await failure(f"{postgresql.url}/missing")
    check(error, StoreUnusable, "the database does not exist", f"{postgresql.port}/missing", "3D000")


async def test_a_schema_that_is_missing_or_newer(database_url: str) -> None:
    sentence = "the database does not have the tables of this release"
    check(await failure(database_url), StoreUnusable, sentence, "python -m control_plane migrate")
    await migrate(database_url)
    database = Database(database_url)
    async with database.transaction() as connection:
        await connection.execute(text("UPDATE alembic_version SET version_num = 'fffff'"))
        await connection.execute(text("UPDATE schema_compatibility SET revision = 'fffff'"))
    with pytest.raises(
        DatabaseError, match=r"at revision fffff, with which this release does not work.*newer release"
    ):
        await database.check()
    with pytest.raises(DatabaseError, match=r"at revision fffff, with which this release does not work"):
        await migrate(database_url)
    async with database.transaction() as connection:
        await connection.execute(text("DROP TABLE tenants" + ("" if database.is_local else " CASCADE")))
    await database.close()
    check(await failure(database_url), StoreUnusable, sentence)


async def as_admin(url: str, *statements: str) -> None:
    connection = await asyncpg.connect(url)
    for statement in statements:
        await connection.execute(statement)
    await connection.close()


async def test_a_database_that_is_read_only(new_database: Callable[[], Awaitable[str]]) -> None:
    url = await new_database()
    await migrate(url)
    await as_admin(url, f"ALTER DATABASE {url.rpartition('/')[2]} SET default_transaction_read_only = on")
    check(await failure(url, write=True), StoreUnusable, "the database is read-only", "25006")
    # No server that takes changes: the standby of a pair whose primary is away.
    standby = await failure(f"{url}?target_session_attrs=standby")
    check(standby, StoreUnusable, "the database is read-only")


async def test_a_user_without_rights(
    new_database: Callable[[], Awaitable[str]], postgresql: PostgresServer
) -> None:
    url = await new_database()
    await migrate(url)
    name = url.rpartition("/")[2]
    await as_admin(url, f"CREATE ROLE role_{name} LOGIN")
    mine = url.replace("postgres@", f"role_{name}@")
    check(await failure(mine), StoreUnusable, "the database user lacks a permission", "42501")
    await as_admin(url, f"ALTER ROLE role_{name} CONNECTION LIMIT 0")
    check(await failure(mine), StoreUnavailable, "the database accepts no more connections", "53300")


async def test_a_server_that_stops_in_the_middle(own_postgresql: PostgresServer) -> None:
    url = f"{own_postgresql.url}/postgres"
    database = Database(url)
    with pytest.raises(StoreUnavailable) as refusal:
        async with database.transaction() as connection:
            await connection.execute(text("SELECT 1"))
            own_postgresql.signal(signal.SIGKILL)
            await asyncio.sleep(0.2)
            await connection.execute(text("SELECT 1"))
    check(refusal.value, StoreUnavailable, "the connection to the database was lost")
    await database.close()


async def test_a_query_that_is_slow_or_was_cancelled(postgresql: PostgresServer) -> None:
    database = Database(f"{postgresql.url}/postgres?options=-c%20statement_timeout=50ms")
    with pytest.raises(StoreUnavailable) as refusal:
        async with database.transaction() as connection:
            await connection.execute(text("SELECT pg_sleep(1)"))
    check(refusal.value, StoreUnavailable, "a query took too long", "57014")
    await database.close()


async def test_a_pooler_that_loses_prepared_statements_and_one_without_a_server(pgbouncer: str) -> None:
    """Connections of ours prepare no named statement; whoever does is told."""
    database = Database(f"{pgbouncer}/postgres")
    with pytest.raises(StoreUnavailable) as refusal:
        async with database.transaction() as connection:
            await connection.execute(text("EXECUTE gone"))
    check(refusal.value, StoreUnusable, "prepared statements are lost on the way to the database", "26000")
    await database.close()
    nowhere = await failure(f"{pgbouncer}/missing")
    assert "missing" in nowhere.detail
    assert str(nowhere) != "the database does not answer"


async def test_an_error_of_this_release_is_none_of_the_database(database_url: str) -> None:
    database = Database(database_url)
    if not database.is_local:
        with pytest.raises(Exception, match="syntax") as defect:
            async with database.transaction() as connection:
                await connection.execute(text("SELEKT 1"))
        assert not isinstance(defect.value, StoreUnavailable)
    await database.close()


async def test_files_of_sqlite_that_cannot_be_used(tmp_path: Path) -> None:
    damaged = tmp_path / "damaged.db"
    damaged.write_bytes(b"not a database" * 1_000)
    check(
        await failure(f"sqlite:///{damaged}"), StoreUnusable, "the file of the database is damaged", str(damaged)
    )
    (tmp_path / "folder.db").mkdir()
    error = await failure(f"sqlite:///{tmp_path}/folder.db")
    check(error, StoreUnusable, "the file of the database cannot be opened", "SQLITE_CANTOPEN")


def test_a_full_sqlite() -> None:
    with closing(sqlite3.connect(":memory:")) as connection:
        connection.execute("CREATE TABLE filler (content BLOB)")
        connection.execute("PRAGMA max_page_count = 3")
        with pytest.raises(sqlite3.OperationalError) as full:
            connection.execute("INSERT INTO filler VALUES (zeroblob(1000000))")
    cause = cause_of(full.value)
    assert cause is not None
    check(
        cause.error("x.db", full.value), StoreUnusable, "the disk of the database is full", "x.db", "SQLITE_FULL"
    )


async def test_an_sqlite_that_another_process_holds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("stores.database.TIMEOUT_S", 0.1)
    url = f"sqlite:///{tmp_path}/busy.db"
    await migrate(url)
    holder = Database(url)
    async with holder.transaction() as connection:
        await connection.execute(text("DELETE FROM tenants"))
        error = await failure(url, write=True)
    check(error, StoreUnavailable, "the database is busy with other changes", "SQLITE_BUSY")
    await holder.close()


async def test_a_cause_is_logged_once_and_when_it_has_gone(
    own_postgresql: PostgresServer, caplog: pytest.LogCaptureFixture
) -> None:
    url = f"{own_postgresql.url}/postgres"
    await migrate(url)
    database = Database(url)
    store = SqlTenants(database)
    await store.get("t_1")
    own_postgresql.signal(signal.SIGKILL)
    for _ in range(3):
        with pytest.raises(StoreUnavailable):
            await store.get("t_1")
    async with asyncio.timeout(30):
        # Its last processes leave their shared memory a moment later.
        while True:
            with suppress(subprocess.CalledProcessError):
                own_postgresql.start()
                break
            await asyncio.sleep(0.2)
    await store.get("t_1")
    await store.get("t_1")
    await database.close()
    said = [(record.levelno, record.getMessage()) for record in caplog.records if record.name == "stores.database"]
    assert said[-1] == (logging.WARNING, "the database can be used again")
    errors = [message for level, message in said if level == logging.ERROR]
    assert 1 <= len(errors) <= 2, errors
    assert str(own_postgresql.port) in errors[-1]


def test_a_sentence_names_no_setting_and_every_cause_has_a_way_out() -> None:
    for cause in (*SQLSTATES.values(), *SQLITE_CODES.values()):
        assert "WANNENG" not in cause.sentence
        assert cause.way_out
