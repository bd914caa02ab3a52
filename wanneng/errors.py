"""The errors of the command line and of the client.

CommandError            one sentence that names the thing, the cause and the way out
├── StartError          a server could not be started, or died
├── AuditLogAltered     an export of the audit log is not as it was written
└── RequestError                no answer from the gateway, or one that cannot be read
    ├── InvalidAddress          the gateway's address is not valid
    ├── NoConnection            nothing was sent
    │   ├── NameNotResolved     the host name cannot be resolved
    │   ├── ConnectionRefused   nothing listens on the port
    │   ├── ConnectTimedOut     the connection timed out
    │   ├── TlsFailed           the certificate is not trusted, or the server does not speak TLS
    │   └── ProxyFailed         the proxy cannot be reached, or refuses the request
    ├── AnswerTimedOut          the request was sent, but not answered in time
    ├── ConnectionBroken        the connection ended before the answer did
    ├── NotAGateway             something else answered: another server, a proxy, a redirect
    └── GatewayRefused          the gateway refused; `code` says why
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


class CommandError(Exception):
    """Printed as one line on standard error."""


class StartError(CommandError):
    pass


class AuditLogAltered(CommandError):
    """`sequence` is the first record that is not as it was written."""

    def __init__(self, sequence: int, reason: str) -> None:
        super().__init__(f"record {sequence} of the audit log is not as it was written: {reason}")
        self.sequence = sequence


class RequestError(CommandError):
    pass


class InvalidAddress(RequestError):
    pass


class NoConnection(RequestError):
    pass


class NameNotResolved(NoConnection):
    pass


class ConnectionRefused(NoConnection):
    pass


class ConnectTimedOut(NoConnection):
    pass


class TlsFailed(NoConnection):
    pass


class ProxyFailed(NoConnection):
    pass


class AnswerTimedOut(RequestError):
    pass


class ConnectionBroken(RequestError):
    pass


class NotAGateway(RequestError):
    def __init__(self, sentence: str, status: int) -> None:
        super().__init__(sentence)
        self.status = status


class GatewayRefused(RequestError):
    """The gateway's problem document (RFC 9457); programs look at `code`, people at the message."""

    def __init__(self, status: int, problem: Mapping[str, Any], retry_after_s: float | None = None) -> None:
        super().__init__(str(problem.get("detail", f"status {status}")))
        self.status = status
        self.code: str = str(problem.get("code", "http_error"))
        self.field: str | None = problem.get("field")
        """What is to blame in the body, such as `texts[3]`."""
        self.retry_after_s = retry_after_s
        """None: waiting does not help, or nobody says how long."""
        self.problem = problem
