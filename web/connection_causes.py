"""Why another process gave no answer, in words that name no address: for the log, and for callers."""

from __future__ import annotations

import os
import socket
import ssl
from collections.abc import Iterator

NO_CAUSE = "it ended the connection, or answered in another protocol"


def connection_cause(error: BaseException) -> str:
    """By the types of Python and the codes of the operating system in `error` and in what it came from."""
    return next(filter(None, map(_words, _chain(error))), NO_CAUSE)


def _words(error: BaseException) -> str | None:
    match error:
        case ssl.SSLCertVerificationError():
            return "its TLS certificate is not trusted"
        case ssl.SSLError():
            return f"no TLS with it, {error.reason or 'unknown reason'}"
        case socket.gaierror():
            return "its host name cannot be resolved"
        case ConnectionResetError() | BrokenPipeError():
            return NO_CAUSE
        case OSError(errno=int(number)):
            return os.strerror(number).lower()
        case TimeoutError():
            return "no answer in time"
    return None


def _chain(error: BaseException) -> Iterator[BaseException]:
    """What an error came from, the innermost first, which knows most."""
    found: list[BaseException] = []
    following: BaseException | None = error
    while following is not None and following not in found:
        found.append(following)
        following = following.__cause__ or following.__context__
    return reversed(found)
