"""The connection pool, and the migrations that bring a database to the newest revision."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import asyncpg
from sqlalchemy import event
from sqlalchemy.engine import make_url
from sqlalchemy.exc import DataError, DBAPIError, IntegrityError, StatementError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from stores.database_causes import cause_of
from stores.errors import InvalidRequest, StoreUnavailable
from stores.postgresql import UnusableAddress, connect_arguments, place_of
from stores.revisions import Revision, revision_of, upgrade

log = logging.getLogger(__name__)

SQLITE, POSTGRESQL = "sqlite+aiosqlite", "postgresql+asyncpg"
DRIVERS = {"sqlite": SQLITE, "postgresql": POSTGRESQL, "postgres": POSTGRESQL}
MAX_CONNECTIONS = 5
OTHERS = 0o077
"""The bits of everybody but the owner."""
TIMEOUT_S = 5.0
"""Longest wait for a connection, for SQLite's lock, and for an answer of PostgreSQL."""
REPORT_INTERVAL_S = 60.0
FAILURES = (
    *(StatementError, PoolTimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError),
    *(OSError, TimeoutError, OverflowError, UnicodeError, UnusableAddress),
)
"""What a call may raise; SQLAlchemy wraps no error of a connection that is not made yet."""
DATA_EXCEPTION = "22"
"""The class of SQLSTATE for values that cannot be kept (PostgreSQL, appendix A)."""


class DatabaseError(Exception):
    """The database cannot be used as it is; the message never has the URL, which has a password."""


class Database:
    """A pool of connections; `transaction()` is the only way in."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._engine = _open(url)
        self._place = _place(url)
        self._reported, self._reported_at = "", 0.0
        """The sentence that was logged last; empty while the database answers."""

    @property
    def is_local(self) -> bool:
        """A file of this machine, which nobody else writes."""
        return _driver(self._url) == SQLITE

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[AsyncConnection]:
        """Committed at the end of the block, undone when it raises.

        `StoreUnavailable` with the cause when the database is, which is logged too; `InvalidRequest` for a text or
        a number that it cannot keep. Other errors are this release's own.
        """
        try:
            async with self._engine.begin() as connection:
                yield connection
        except IntegrityError:
            raise
        except FAILURES as error:
            if _is_bad_data(error):
                raise InvalidRequest("a text or a number that the database cannot keep") from None
            cause = cause_of(error)
            if cause is None:
                raise
            unavailable = cause.error(self._place, error)
            self._report(unavailable)
            raise unavailable from None
        else:
            self._report(None)

    async def prepare(self) -> None:
        """SQLite: migrate, as one process owns the file. PostgreSQL: `DatabaseError` unless it is migrated."""
        if self.is_local:
            await migrate(self._url)
        await self.check()

    async def check(self) -> None:
        """`DatabaseError` unless this release works with the database's revision."""
        async with self.transaction() as connection:
            revision = await connection.run_sync(revision_of)
        if revision.is_newer:
            _check_compatible(revision)
            log.warning(
                "the database is at revision %s of a newer release, with which this one works", revision.current
            )
        elif revision.current != revision.newest:
            raise DatabaseError(
                f"the database is at revision {revision.current or 'none'}, this release needs {revision.newest}: "
                "run `python -m control_plane migrate` once"
            )

    def _report(self, failure: StoreUnavailable | None) -> None:
        """Log a cause when it is new, and once a minute; and when it has gone."""
        now, sentence = time.monotonic(), "" if failure is None else str(failure)
        if sentence == self._reported and (not sentence or now - self._reported_at < REPORT_INTERVAL_S):
            return
        if failure is None:
            log.warning("the database can be used again")
        else:
            log.error("%s", failure.detail)
        self._reported, self._reported_at = sentence, now

    async def close(self) -> None:
        await self._engine.dispose()


async def migrate(url: str) -> None:
    """Bring the database to the newest revision; nothing happens when it is there, or newer and compatible."""
    engine = _open(url)
    try:
        async with engine.begin() as connection:
            revision = await connection.run_sync(revision_of)
            if revision.is_newer:
                _check_compatible(revision)
            else:
                await connection.run_sync(upgrade)
    except FAILURES as error:
        cause = cause_of(error)
        if cause is None:
            raise
        raise DatabaseError(f"the database cannot be migrated: {cause.error(_place(url), error).detail}") from None
    finally:
        await engine.dispose()


def _check_compatible(revision: Revision) -> None:
    if not revision.is_compatible:
        raise DatabaseError(
            f"the database is at revision {revision.current}, with which this release does not work (it needs "
            f"{revision.newest}): a newer release has migrated it; run that release, or restore a backup"
        )


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
            raise DatabaseError(f"{file} cannot be created: {error.strerror}") from None
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


def _place(url: str) -> str:
    """Where it is, without user and password."""
    return place_of(url) if _driver(url) == POSTGRESQL else str(make_url(url).database)


def run_migration(url: str) -> None:
    """`migrate` for a process of its own."""
    asyncio.run(migrate(url))
