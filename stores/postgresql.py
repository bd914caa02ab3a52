"""Turns WANNENG_DATABASE_URL into asyncpg's arguments for PostgreSQL, with or without a pooler in front of it.

https://www.postgresql.org/docs/current/libpq-connect.html describes the URL and its parameters.
"""

from __future__ import annotations

import os
import re
import ssl
from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qsl, quote, unquote, urlencode

import asyncpg

URL = re.compile(
    r"(?:postgresql|postgres)(?:\+\w+)?://(?:(?P<user>[^:/?]*)(?::(?P<password>.*))?@)?(?P<place>[^@?]*)"
    r"(?:\?(?P<query>.*))?",
    re.DOTALL,
)
"""A password may have any character, `@` and `/` as they are included; the last `@` is the one before the host."""
TAKEN = frozenset(
    {
        *("host", "port", "dbname", "user", "password", "passfile", "service", "target_session_attrs"),
        *("sslmode", "sslcert", "sslkey", "sslrootcert", "sslnegotiation", "sslcrl", "sslpassword"),
        *("ssl_min_protocol_version", "ssl_max_protocol_version", "krbsrvname", "application_name", "options"),
    }
)
"""libpq's parameters that asyncpg supports too, the last two as settings of the session."""
WITHOUT_EFFECT = frozenset(
    {
        *("connect_timeout", "client_encoding", "keepalives", "keepalives_idle", "keepalives_interval"),
        *("keepalives_count", "tcp_user_timeout", "sslcompression", "sslsni", "gssencmode", "load_balance_hosts"),
        *("prepared_statement_cache_size", "statement_cache_size", "fallback_application_name"),
    }
)
"""Accepted but ignored: set here, or unknown to asyncpg."""
FILES = frozenset({"sslcert", "sslkey", "sslrootcert", "sslcrl", "passfile"})
SSL_MODES = ("disable", "allow", "prefer", "require", "verify-ca", "verify-full")
UNNAMED = ""


class UnusableAddress(Exception):
    """There is nothing to connect to; the message never has the password."""


def connect_arguments(url: str, timeout_s: float) -> dict[str, Any]:
    """For `create_async_engine`; `ValueError` names an unknown parameter, and never the password.

    Prepared statements are unnamed and not kept: a pooler in transaction mode may run the next transaction on
    another server connection, which does not have them (PgBouncer before
    1.21, or with `max_prepared_statements=0`).
    """
    return {
        "dsn": _dsn(url),
        "timeout": timeout_s,
        "command_timeout": timeout_s,
        "statement_cache_size": 0,
        "prepared_statement_cache_size": 0,
        "prepared_statement_name_func": lambda: UNNAMED,
        "async_creator_fn": _connect,
    }


async def _connect(**arguments: Any) -> asyncpg.Connection:
    """`UnusableAddress` for what asyncpg refuses of a host, a port or a parameter."""
    try:
        return await asyncpg.connect(**arguments)
    except OSError:
        # One of them, of a certificate, is a ValueError too.
        raise
    except asyncpg.InterfaceError as error:
        raise UnusableAddress(str(error)) from None
    except (ValueError, OverflowError) as error:
        # Not its words: Python's may repeat all that is before the host.
        raise UnusableAddress(f"no host or no port, {type(error).__name__}") from None


def place_of(url: str) -> str:
    """Host, port and database, for a message."""
    match = URL.fullmatch(url)
    return match["place"] if match is not None else ""


def _dsn(url: str) -> str:
    match = URL.fullmatch(url)
    if match is None:
        raise ValueError("is not postgresql://USER:PASSWORD@HOST:PORT/DATABASE")
    user, password, place = match["user"], match["password"], match["place"]
    login = "" if user is None else _encoded(user)
    login += "" if password is None else f":{_encoded(password)}"
    query = urlencode(_parameters(match["query"] or ""))
    return f"postgresql://{login}{'@' if login else ''}{place}{'?' if query else ''}{query}"


def _encoded(text: str) -> str:
    """Percent-encoded, whether or not `text` was already."""
    return quote(unquote(text), safe="")


def _parameters(query: str) -> Mapping[str, str]:
    parameters = dict(parse_qsl(query, keep_blank_values=True))
    if "ssl" in parameters:
        # SQLAlchemy's name with asyncpg.
        mode = parameters.pop("ssl")
        parameters["sslmode"] = {"true": "require", "false": "disable"}.get(mode.lower(), mode)
    if parameters.get("sslrootcert") == "system":
        parameters["sslrootcert"] = ssl.get_default_verify_paths().openssl_cafile
    unknown = parameters.keys() - TAKEN - WITHOUT_EFFECT
    if unknown:
        raise ValueError(
            f"has the parameter {min(unknown)!r}, which libpq does not have; pass settings of the session "
            "as `options=-c name=value`"
        )
    if parameters.get("sslmode", SSL_MODES[0]) not in SSL_MODES:
        raise ValueError(f"has sslmode={parameters['sslmode']}; use one of {', '.join(SSL_MODES)}")
    for name in sorted(FILES & parameters.keys()):
        if not os.access(parameters[name], os.R_OK):
            raise ValueError(f"has {name}={parameters[name]}, a file that is not there or cannot be read")
    return {name: value for name, value in parameters.items() if name in TAKEN}
