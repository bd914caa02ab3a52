"""The connection pool, and the migrations that bring a database to the newest revision."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import asyncpg
from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, event
from sqlalchemy.engine import make_url
from sqlalchemy.exc import DataError, DBAPIError, IntegrityError, StatementError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from stores.errors import InvalidRequest, StoreUnavailable
from stores.postgresql import connect_arguments

MIGRATIONS = Path(__file__).parent / "migrations"
SQLITE, POSTGRESQL = "sqlite+aiosqlite", "postgresql+asyncpg"
DRIVERS = {"sqlite": SQLITE, "postgresql": POSTGRESQL, "postgres": POSTGRESQL}
MAX_CONNECTIONS = 5
OTHERS = 0o077
"""The bits of everybody but the owner."""
TIMEOUT_S = 5.0
"""Longest wait for a connection, for SQLite's lock, and for an answer of PostgreSQL."""
DATA_EXCEPTION = "22"
"""The class of SQLSTATE for values that cannot be kept (PostgreSQL, appendix A)."""


class DatabaseError(Exception):
    """The database cannot be used as it is; the message never has the URL, which has a password."""


class Database:
    """A pool of connections; `transaction()` is the only way in."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._engine = _open(url)

    @property
    def is_local(self) -> bool:
        """A file of this machine, which nobody else writes."""
        return _driver(self._url) == SQLITE

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[AsyncConnection]:
        """Committed at the end of the block, undone when it raises.

        `StoreUnavailable` when nobody answers, which may pass; `InvalidRequest` for a text or a number that the
        database cannot keep, which will not.
        """
        try:
            async with self._engine.begin() as connection:
                yield connection
        except IntegrityError:
            raise
        except (StatementError, PoolTimeoutError, OSError, TimeoutError, OverflowError, UnicodeError) as error:
            if _is_bad_data(error):
                raise InvalidRequest("a text or a number that the database cannot keep") from None
            # SQLite says what is wrong with its file or its disk; an address or a password is not among it.
            reason = f"the database: {_reason(error)}" if self.is_local else "the database does not answer"
            raise StoreUnavailable(reason) from None

    async def prepare(self) -> None:
        """SQLite: migrate, as one process owns the file. PostgreSQL: `DatabaseError` unless it is migrated."""
        if self.is_local:
            await migrate(self._url)
        await self.check()

    async def check(self) -> None:
        """`DatabaseError` unless the database is at the revision that this code knows."""
        async with self.transaction() as connection:
            revision = await connection.run_sync(_revision)
        newest = ScriptDirectory(str(MIGRATIONS)).get_current_head()
        if revision != newest:
            raise DatabaseError(
                f"the database is at revision {revision or 'none'}, this release needs {newest}: "
                "run `python -m control_plane migrate` once"
            )

    async def close(self) -> None:
        await self._engine.dispose()


async def migrate(url: str) -> None:
    """Bring the database to the newest revision; nothing happens when it is there."""
    engine = _open(url)
    try:
        async with engine.begin() as connection:
            await connection.run_sync(_upgrade)
    except (DBAPIError, OSError, TimeoutError) as error:
        raise DatabaseError(f"the database cannot be migrated: {_reason(error)}") from None
    finally:
        await engine.dispose()


def _upgrade(connection: Connection) -> None:
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    config.attributes["connection"] = connection
    command.upgrade(config, "head")


def _revision(connection: Connection) -> str | None:
    return MigrationContext.configure(connection).get_current_revision()


def _is_bad_data(error: Exception) -> bool:
    """Whether the values are at fault, so that they would be refused at any other time too."""
    if isinstance(error, (DataError, OverflowError, UnicodeError)):
        return True
    if not isinstance(error, StatementError):
        return False
    if not isinstance(error, DBAPIError):
        # Raised before the statement was sent, by the conversion of a value.
        return True
    # asyncpg refuses some values itself, without a SQLSTATE.
    refused_by_driver = isinstance(error.orig and error.orig.__cause__, asyncpg.DataError)
    return refused_by_driver or str(getattr(error.orig, "sqlstate", "")).startswith(DATA_EXCEPTION)


def _driver(url: str) -> str:
    scheme, separator, _ = url.partition("://")
    driver = DRIVERS.get(scheme.partition("+")[0]) if separator else None
    if driver is None:
        raise DatabaseError("WANNENG_DATABASE_URL must begin with sqlite:/// or postgresql://")
    return driver


def _open(url: str) -> AsyncEngine:
    if _driver(url) == POSTGRESQL:
        try:
            arguments = connect_arguments(url, TIMEOUT_S)
        except ValueError as error:
            raise DatabaseError(f"WANNENG_DATABASE_URL {error}") from None
        return create_async_engine(
            f"{POSTGRESQL}://",
            pool_size=MAX_CONNECTIONS,
            pool_timeout=TIMEOUT_S,
            pool_pre_ping=True,
            connect_args=arguments,
            hide_parameters=True,
        )
    parsed = make_url(url).set(drivername=SQLITE)
    if parsed.database:
        file = Path(parsed.database)
        try:
            file.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise DatabaseError(f"{file} cannot be made: {error.strerror}") from None
        _make_private(file)
    engine = create_async_engine(parsed, connect_args={"timeout": TIMEOUT_S}, hide_parameters=True)
    event.listen(engine.sync_engine, "connect", _prepare_sqlite)
    return engine


def _make_private(file: Path) -> None:
    """Only its owner reads an SQLite file and its journal, also what an earlier release left readable."""
    for path in (file, *(file.with_name(f"{file.name}-{suffix}") for suffix in ("wal", "shm", "journal"))):
        # Of somebody else, or not there yet; then the process's umask decides.
        with suppress(OSError):
            mode = path.stat().st_mode
            if mode & OTHERS:
                path.chmod(mode & ~OTHERS)


def _prepare_sqlite(connection: object, _record: object) -> None:
    cursor = connection.cursor()  # type: ignore[attr-defined]
    # Readers beside a writer; synced at every commit, so that what was acknowledged survives a loss of power.
    for pragma in ("journal_mode = WAL", "synchronous = FULL", "foreign_keys = ON"):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


def _reason(error: Exception) -> str:
    """The driver's words, which name no URL, without SQLAlchemy's around them."""
    cause = getattr(error, "orig", None) or error
    return str(cause).splitlines()[0] if str(cause) else type(cause).__name__


def run_migration(url: str) -> None:
    """`migrate` for a process of its own."""
    asyncio.run(migrate(url))
