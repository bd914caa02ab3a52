"""Finds the cause of a database error: one sentence for callers, the details for the operator.

By types and codes alone, never by the wording of a message: PostgreSQL's SQLSTATE (appendix A of its manual),
SQLite's result codes (https://www.sqlite.org/rescode.html), and the operating system's errors of a connection.
"""

from __future__ import annotations

import socket
import ssl
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

import asyncpg
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from stores.errors import StoreUnavailable, StoreUnusable
from stores.postgresql import UnusableAddress

URL = "WANNENG_DATABASE_URL"
PRIMARY_CODE = 0xFF
"""The bits of an extended SQLite result code that hold the primary code."""


class Cause(NamedTuple):
    """The cause of a call that failed for reasons other than its values."""

    kind: type[StoreUnavailable]
    sentence: str
    """Names no host, user or file, because callers see it."""
    way_out: str

    def error(self, place: str, original: BaseException) -> StoreUnavailable:
        """`place` is the database's address; it and the message of `original` are for the operator only."""
        return self.kind(self.sentence, f"{self.sentence} at {place} ({_words(original)}); {self.way_out}")


SILENT = Cause(StoreUnavailable, "the database does not answer", f"is it running, and is {URL} right?")
ADDRESS = Cause(StoreUnusable, "the address of the database cannot be used", f"correct {URL}")
UNKNOWN_HOST = Cause(
    StoreUnavailable, "the host name of the database cannot be resolved", f"check {URL} and the resolver"
)
LOST = Cause(StoreUnavailable, "the connection to the database was lost", "the next request opens a new one")
UNTRUSTED = Cause(
    StoreUnusable,
    "the TLS certificate of the database is not trusted",
    f"set its authority with `sslrootcert` in {URL}, and use a host name that the certificate is valid for",
)
NO_TLS = Cause(
    StoreUnusable,
    "TLS with the database failed",
    f"does the server support TLS? `sslmode` in {URL} says whether it is required",
)
IN_USE = Cause(
    StoreUnavailable, "all connections to the database are in use", "wait, or find out why its queries are slow"
)
BUSY = Cause(StoreUnavailable, "the database is busy with other changes", "the request may be repeated")
SCHEMA = Cause(
    StoreUnusable,
    "the database does not have the tables of this release",
    "run `python -m control_plane migrate` once",
)
READ_ONLY = Cause(StoreUnusable, "the database is read-only", f"{URL} must lead to a server that takes changes")
FULL = Cause(StoreUnusable, "the disk of the database is full", "make room for it")
DENIED = Cause(
    StoreUnusable, "the database user lacks a permission", "grant it access to the tables and the schema"
)
FAILED = Cause(StoreUnavailable, "the database reported an internal error", "its log says more")

SQLSTATES: Mapping[str, Cause] = {
    "28P01": Cause(StoreUnusable, "the database refuses the password", f"check user and password in {URL}"),
    "28": Cause(StoreUnusable, "the database refuses the login", f"check {URL}, and pg_hba.conf of the server"),
    "3D": Cause(StoreUnusable, "the database does not exist", f"create it, or correct its name in {URL}"),
    # From a pooler in transaction mode that does not keep prepared statements.
    "42P05": (
        prepared := Cause(
            StoreUnusable,
            "prepared statements are lost on the way to the database",
            "let the pooler keep them (`max_prepared_statements` of PgBouncer), or use its session mode",
        )
    ),
    "26": prepared,
    "42P01": SCHEMA,
    "42703": SCHEMA,
    "3F": SCHEMA,
    "42501": DENIED,
    "25006": READ_ONLY,
    "53100": FULL,
    "53300": Cause(
        StoreUnavailable,
        "the database accepts no more connections",
        "raise its max_connections, or put a pooler in front of it",
    ),
    "53": Cause(StoreUnavailable, "the database lacks memory or another resource", "its log says more"),
    "57P03": Cause(StoreUnavailable, "the database is starting or shutting down", "wait until it has done so"),
    "57P": Cause(StoreUnavailable, "the database was shut down", "start it again"),
    "57014": Cause(StoreUnavailable, "a query took too long", "find out why the database is slow"),
    "55P03": BUSY,
    "40": BUSY,
    # PgBouncer's code for anything that it refuses; its message is in the log.
    "08P01": Cause(StoreUnavailable, "the database refuses the connection", f"check {URL}, and the pooler's log"),
    "08": LOST,
    "58": FAILED,
    "XX": FAILED,
}
"""By SQLSTATE or a prefix of it; the longest match counts."""
SQLITE_CODES: Mapping[int, Cause] = {
    1: SCHEMA,  # SQLITE_ERROR: with statements of ours, a table or column that is not there
    3: DENIED,
    5: BUSY,
    6: BUSY,
    8: READ_ONLY,
    10: Cause(
        StoreUnavailable, "the disk of the database cannot be read or written", "look at it: it may be full"
    ),
    11: (damaged := Cause(StoreUnusable, "the file of the database is damaged", "restore it from a backup")),
    13: FULL,
    14: Cause(StoreUnusable, "the file of the database cannot be opened", "check its folder, and whose it is"),
    26: damaged,
}

CONNECTION_ERRORS: Sequence[tuple[type[BaseException], Cause]] = (
    (UnusableAddress, ADDRESS),
    (ssl.SSLCertVerificationError, UNTRUSTED),
    (ssl.SSLError, NO_TLS),
    (asyncpg.TargetServerAttributeNotMatched, READ_ONLY),
    (socket.gaierror, UNKNOWN_HOST),
    (ConnectionResetError, LOST),
    (BrokenPipeError, LOST),
    (ConnectionAbortedError, LOST),
    (OSError, SILENT),
)
"""The first matching type counts."""


def cause_of(error: BaseException) -> Cause | None:
    """None if the error is a bug of this release."""
    if isinstance(error, PoolTimeoutError):
        return IN_USE
    for each in _chain(error):
        cause = _of(each)
        if cause is not None:
            return cause
    return LOST if isinstance(error, DBAPIError) and error.connection_invalidated else None


def _of(error: BaseException) -> Cause | None:
    state, code = getattr(error, "sqlstate", None), getattr(error, "sqlite_errorcode", None)
    if isinstance(state, str):
        fitting = [known for known in SQLSTATES if state.startswith(known)]
        return SQLSTATES[max(fitting, key=len)] if fitting else None
    if isinstance(code, int):
        return SQLITE_CODES.get(code & PRIMARY_CODE)
    if type(error) is ConnectionError:
        # asyncpg raises it if the server does not accept TLS.
        return NO_TLS
    return next((cause for kind, cause in CONNECTION_ERRORS if isinstance(error, kind)), None)


def _chain(error: BaseException) -> Iterator[BaseException]:
    """The error, the driver's error and its causes; the innermost, which is the most precise, first."""
    found: list[BaseException] = []
    following: BaseException | None = error
    while following is not None and following not in found:
        found.append(following)
        following = getattr(following, "orig", None) or following.__cause__
    return reversed(found)


def _words(error: BaseException) -> str:
    """The driver's message with its code; a SQLAlchemy error wraps them."""
    inner = getattr(error, "orig", None) or error
    inner = inner.__cause__ if isinstance(inner.__cause__, asyncpg.PostgresError) else inner
    said = str(inner).splitlines()[0] if str(inner) else type(inner).__name__
    code = getattr(inner, "sqlstate", None) or getattr(inner, "sqlite_errorname", None)
    return f"{said}, {code}" if code else said
