"""URLs of PostgreSQL as other programs take them, against real servers: TLS, passwords, sockets, a pooler."""

from __future__ import annotations

import asyncio
from pathlib import Path
from urllib.parse import quote

import pytest
from sqlalchemy import text

from stores.database import Database, DatabaseError
from stores.errors import StoreUnavailable
from stores.postgresql import connect_arguments
from tests.pgbouncer import running_pgbouncer, statements_kept
from tests.postgresql import PostgresServer
from tests.secure_postgresql import PASSWORD, ROLE, SecurePostgres

TLS = "SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()"
SESSION = "SELECT current_setting('application_name') || ' ' || current_setting('work_mem')"


async def answer(url: str, statement: str = "SELECT current_user") -> object:
    database = Database(url)
    try:
        async with database.transaction() as connection:
            return (await connection.execute(text(statement))).scalar_one()
    finally:
        await database.close()


@pytest.mark.parametrize("mode", ["require", "verify-ca", "verify-full"])
async def test_tls_with_the_certificate_of_an_authority(mode: str, secure_postgresql: SecurePostgres) -> None:
    url = f"{secure_postgresql.url}?sslmode={mode}&sslrootcert="
    assert await answer(f"{url}{secure_postgresql.authority}", TLS) is True
    with pytest.raises(StoreUnavailable):
        await answer(f"{url}{secure_postgresql.other_authority}", TLS)


@pytest.mark.parametrize("parameter", ["sslmode=require", "ssl=require", "ssl=true", "sslmode=prefer", ""])
async def test_tls_without_an_authority(parameter: str, secure_postgresql: SecurePostgres) -> None:
    assert await answer(f"{secure_postgresql.url}?{parameter}".rstrip("?"), TLS) is True


async def test_a_password_may_have_any_character(secure_postgresql: SecurePostgres) -> None:
    place = f"{secure_postgresql.server.address}:{secure_postgresql.server.port}/postgres"
    assert await answer(secure_postgresql.url) == ROLE
    # As written by somebody who has not heard of percent-encoding; the `?` of it begins no query.
    assert await answer(f"postgresql+asyncpg://{quote(ROLE)}:{PASSWORD}@{place}") == ROLE
    query = f"user={quote(ROLE)}&password={quote(PASSWORD, safe='')}"
    assert await answer(f"postgres://{place}?{query}") == ROLE


async def test_a_unix_socket_is_a_host(secure_postgresql: SecurePostgres) -> None:
    server = secure_postgresql.server
    folder, login = server.data.parent, secure_postgresql.login
    assert await answer(f"postgresql://{login}@/postgres?host={folder}&port={server.port}") == ROLE
    assert await answer(f"postgresql://{login}@{quote(str(folder), safe='')}:{server.port}/postgres") == ROLE


async def test_several_hosts_are_tried_in_their_order(postgresql: PostgresServer) -> None:
    url = f"postgresql://postgres@127.0.0.1:1,127.0.0.1:{postgresql.port}/postgres?target_session_attrs=read-write"
    assert await answer(url) == "postgres"


async def test_parameters_of_libpq_that_asyncpg_lacks_are_no_error(postgresql: PostgresServer) -> None:
    query = (
        "application_name=wanneng&options=-c%20work_mem%3D5MB&connect_timeout=3&keepalives=1&gssencmode=disable"
    )
    url = f"{postgresql.url}/postgres?{query}&prepared_statement_cache_size=0"
    assert await answer(url, SESSION) == "wanneng 5MB"


@pytest.mark.parametrize(
    ("query", "sentence"),
    [
        ("sslmod=require", "WANNENG_DATABASE_URL has the parameter 'sslmod'"),
        (
            "sslmode=always",
            "has sslmode=always; use one of disable, allow, prefer, require, verify-ca, verify-full",
        ),
        ("sslmode=verify-ca&sslrootcert=/missing.crt", "has sslrootcert=/missing.crt, a file that is not there"),
        ("work_mem=5MB", "'work_mem'.*`options=-c name=value`"),
    ],
)
def test_a_parameter_that_cannot_be_used_is_named(query: str, sentence: str) -> None:
    with pytest.raises(DatabaseError, match=sentence) as refusal:
        Database(f"postgresql://user:secret@host/db?{query}")
    assert "secret" not in str(refusal.value)


def test_authorities_of_the_system() -> None:
    dsn = connect_arguments("postgresql://u@h/d?sslmode=verify-full&sslrootcert=system", 5.0)["dsn"]
    assert Path(dsn.rpartition("sslrootcert=")[2].replace("%2F", "/")).is_file()


@pytest.mark.parametrize("kept", statements_kept())
async def test_many_clients_share_the_two_connections_of_a_pooler(kept: int, postgresql: PostgresServer) -> None:
    """Each statement is another one on whichever connection it comes to."""
    with running_pgbouncer(postgresql, max_prepared_statements=kept) as pooler:
        database = Database(f"{pooler}/postgres")

        async def ask(number: int) -> None:
            async with database.transaction() as connection:
                for offset in range(3):
                    statement = text(f"SELECT CAST(:number AS INTEGER) + {offset}")
                    assert (
                        await connection.execute(statement, {"number": number})
                    ).scalar_one() == number + offset

        for _ in range(10):
            await asyncio.gather(*map(ask, range(20)))
        await database.close()
