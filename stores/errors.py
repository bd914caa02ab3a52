"""The errors that both planes answer with. `web/problems.py` alone turns them into HTTP statuses.

ServiceError
├── InvalidRequest          the caller's input; `field` says which
│   ├── NotJson
│   └── BodyTooLarge
├── BodyTooSlow             the body did not arrive in time
├── UnsupportedMediaType    the body is of a kind that is not taken here
├── Unauthorized            no key, or one that does not work; which of them is not told
├── TooManyFailures         authentication has failed too often from this address
├── MissingScope            the key does not allow this
├── SignInFailed            what the identity provider has answered cannot be trusted
├── NoRole                  who has signed in may do nothing here
├── ProviderUnavailable     the identity provider does not answer, or not as it should
├── NotFound                what the path names does not exist
├── BudgetExceeded          more than the tenant or its key may use in this month
├── Conflict                the state of the resource does not allow it
├── PreconditionFailed      somebody else wrote since the writer read
├── NotAvailable            this deployment is not set up for it
├── StoreUnavailable        the database does not answer, or not now
│   └── StoreUnusable       it answers, but cannot be used until its operator has done something
└── ClientDisconnected      nobody waits for the answer any more

The gateway adds its own (`gateway/errors.py`).
"""

from __future__ import annotations

from typing import ClassVar


class ServiceError(Exception):
    """`code` is for programs, the message for people; neither carries a text or a label."""

    code: ClassVar[str] = "internal_error"
    retry_after_s: int | None = None


class InvalidRequest(ServiceError):
    code = "invalid_request"

    def __init__(self, detail: str, *, field: str | None = None) -> None:
        super().__init__(f"{field}: {detail}" if field else detail)
        self.field = field


class NotJson(InvalidRequest):
    code = "not_json"


class BodyTooLarge(InvalidRequest):
    code = "body_too_large"


class BodyTooSlow(ServiceError):
    code = "body_too_slow"


class UnsupportedMediaType(ServiceError):
    code = "unsupported_media_type"


class Unauthorized(ServiceError):
    code = "unauthorized"

    def __init__(self, cause: str = "a valid key is needed") -> None:
        # One sentence for everything that is wrong with a key: a reason would tell a stranger which keys exist.
        super().__init__(f"{cause}: Authorization: Bearer wn_…")


class TooManyFailures(ServiceError):
    code = "too_many_failures"

    def __init__(self, detail: str, retry_after_s: int) -> None:
        super().__init__(detail)
        self.retry_after_s = retry_after_s


class BudgetExceeded(ServiceError):
    """`retry_after_s`: when the budget is renewed; None: never enough, for it is more than the whole budget."""

    code = "budget_exceeded"

    def __init__(self, detail: str, retry_after_s: int | None) -> None:
        super().__init__(detail)
        self.retry_after_s = retry_after_s


class MissingScope(ServiceError):
    code = "missing_scope"


class SignInFailed(ServiceError):
    code = "sign_in_failed"


class NoRole(ServiceError):
    code = "no_role"


class ProviderUnavailable(ServiceError):
    code = "provider_unavailable"
    retry_after_s = 5


class NotFound(ServiceError):
    code = "not_found"


class Conflict(ServiceError):
    code = "conflict"


class PreconditionFailed(ServiceError):
    code = "precondition_failed"


class NotAvailable(ServiceError):
    code = "not_available"


class StoreUnavailable(ServiceError):
    """The message is for callers; `detail` is for the operator, with the place and the driver's words."""

    code = "store_unavailable"
    retry_after_s: int | None = 1

    def __init__(self, sentence: str, detail: str = "") -> None:
        super().__init__(sentence)
        self.detail = detail or sentence


class StoreUnusable(StoreUnavailable):
    code = "store_unusable"
    retry_after_s = None


class ClientDisconnected(ServiceError):
    code = "client_disconnected"
