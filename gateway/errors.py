"""The refusals of the gateway. Knows codes; `api/problems.py` alone turns them into statuses.

GatewayError
├── InvalidRequest          the caller's input; `field` says which
│   ├── NotJson
│   └── BodyTooLarge
├── BodyTooSlow             the body did not arrive in time
├── Unauthorized            no key, or one that does not work; why is not told
├── MissingScope            the key does not allow this
├── NotFound                what the path names is not there
├── Conflict                something there stands against it
├── PreconditionNeeded      somebody else wrote since the writer looked
├── QuotaExceeded           the tenant has asked for more than it may in a minute
├── NotAvailable            this gateway is not set up for it
├── StoreUnavailable        the database does not answer
├── ClientGone              nobody waits for the answer any more
├── DeadlineExceeded        no answer within the request's time
├── Overloaded              more pairs are in flight than the bound, or than are done in time
├── TritonUnavailable       nobody answers there, or it does not serve yet
└── TritonFailed            Triton answered with an error or with nonsense
"""

from __future__ import annotations

from typing import ClassVar


class GatewayError(Exception):
    """`code` is for programs, the message for people; neither carries a text or a label."""

    code: ClassVar[str] = "internal_error"
    retry_after_s: int | None = None


class InvalidRequest(GatewayError):
    code = "invalid_request"

    def __init__(self, detail: str, *, field: str | None = None) -> None:
        super().__init__(f"{field}: {detail}" if field else detail)
        self.field = field


class NotJson(InvalidRequest):
    code = "not_json"


class BodyTooLarge(InvalidRequest):
    code = "body_too_large"


class BodyTooSlow(GatewayError):
    code = "body_too_slow"


class Unauthorized(GatewayError):
    code = "unauthorized"

    def __init__(self) -> None:
        # One sentence for all causes: a reason would tell a stranger which keys exist.
        super().__init__("a valid key is needed: Authorization: Bearer wn_…")


class MissingScope(GatewayError):
    code = "missing_scope"


class NotFound(GatewayError):
    code = "not_found"


class QuotaExceeded(GatewayError):
    """`retry_after_s`: when it would be there; None: never, for it is more than a minute's worth."""

    code = "quota_exceeded"

    def __init__(self, detail: str, retry_after_s: int | None) -> None:
        super().__init__(detail)
        self.retry_after_s = retry_after_s


class Conflict(GatewayError):
    code = "conflict"


class PreconditionNeeded(GatewayError):
    code = "precondition_failed"


class NotAvailable(GatewayError):
    code = "not_available"


class StoreUnavailable(GatewayError):
    code = "store_unavailable"
    retry_after_s = 1


class ClientGone(GatewayError):
    code = "client_disconnected"


class DeadlineExceeded(GatewayError):
    code = "deadline_exceeded"


class Overloaded(GatewayError):
    """`retry_after_s`: when there may be room."""

    code = "overloaded"

    def __init__(self, detail: str, retry_after_s: int = 1) -> None:
        super().__init__(detail)
        self.retry_after_s = retry_after_s


class TritonUnavailable(GatewayError):
    code = "triton_unavailable"
    retry_after_s = 2


class TritonFailed(GatewayError):
    code = "triton_failed"
