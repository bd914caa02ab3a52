"""The errors that the gateway adds to those of `stores/errors.py`; `api/statuses.py` has their HTTP statuses.

ServiceError
├── InvalidRequest
│   └── NothingToRead         a text or a label without any token
├── QuotaExceeded             the tenant has asked for more than its quota
├── DeadlineExceeded          no answer within the request's time
├── Overloaded                more is in flight than the bound, or than is done in time
├── ControlPlaneUnavailable   the control plane does not answer
├── TritonUnavailable         no replica answers, or none serves the model yet
│   └── ModelNotLoaded        this replica does not have the model (a 404); its health check decides the rest
└── TritonFailed              Triton answered with an error, or with something unreadable
    └── TritonRejected        Triton rejected the request itself (a 4xx): no replica is at fault
"""

from __future__ import annotations

from stores.errors import InvalidRequest, ServiceError


class NothingToRead(InvalidRequest):
    """`of_label`: it is a pair's label, and not its text."""

    code = "nothing_to_read"

    def __init__(self, *, field: str = "text", of_label: bool = False) -> None:
        super().__init__("has no token: the model reads none of its characters", field=field)
        self.of_label = of_label


class QuotaExceeded(ServiceError):
    """`retry_after_s`: when the quota allows it; None: never, for it is more than the whole quota."""

    code = "quota_exceeded"

    def __init__(self, detail: str, retry_after_s: int | None, *, pairs_refused: int = 0) -> None:
        super().__init__(detail)
        self.retry_after_s = retry_after_s
        self.pairs_refused = pairs_refused


class DeadlineExceeded(ServiceError):
    code = "deadline_exceeded"


class Overloaded(ServiceError):
    """`retry_after_s`: when there may be room."""

    code = "overloaded"

    def __init__(self, detail: str, retry_after_s: int = 1, *, pairs_refused: int = 0) -> None:
        super().__init__(detail)
        self.retry_after_s = retry_after_s
        self.pairs_refused = pairs_refused


class ControlPlaneUnavailable(ServiceError):
    code = "control_plane_unavailable"
    retry_after_s = 2


class TritonUnavailable(ServiceError):
    code = "triton_unavailable"
    retry_after_s = 2


class ModelNotLoaded(TritonUnavailable):
    pass


class TritonFailed(ServiceError):
    code = "triton_failed"


class TritonRejected(TritonFailed):
    pass
