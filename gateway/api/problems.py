"""Errors as RFC 9457 problem documents; the only place that knows statuses. Decides nothing."""

from __future__ import annotations

import msgspec
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from gateway import errors
from gateway.api.answers import quota_headers
from gateway.errors import GatewayError
from gateway.facts import Facts

CONTENT_TYPE = "application/problem+json"

STATUSES: dict[type[GatewayError], tuple[int, str]] = {
    errors.InvalidRequest: (422, "The request cannot be answered as it is"),
    errors.NotJson: (400, "The body is not JSON"),
    errors.BodyTooLarge: (413, "The body is too large"),
    errors.BodyTooSlow: (408, "The body did not arrive in time"),
    errors.Unauthorized: (401, "A valid key is needed"),
    errors.MissingScope: (403, "The key does not allow this"),
    errors.NotFound: (404, "There is nothing here"),
    errors.Conflict: (409, "Something stands against it"),
    errors.QuotaExceeded: (429, "The tenant's quota is used up"),
    errors.PreconditionNeeded: (412, "Somebody else has written since"),
    errors.StoreUnavailable: (503, "The database is not available"),
    # nginx's number; nobody receives it.
    errors.ClientGone: (499, "The client has left"),
    errors.DeadlineExceeded: (504, "No answer in time"),
    errors.Overloaded: (503, "Too much is in flight"),
    errors.TritonUnavailable: (503, "The classifier is not available"),
    errors.TritonFailed: (502, "The classifier failed"),
}
HTTP_TITLES = {404: "There is nothing here", 405: "This method is not possible here"}


def problem_of_error(request: Request, error: GatewayError) -> Response:
    status, title = STATUSES[type(error)]
    headers = {} if error.retry_after_s is None else {"Retry-After": str(error.retry_after_s)}
    if isinstance(error, errors.Unauthorized):
        headers["WWW-Authenticate"] = 'Bearer realm="wanneng"'
    facts: Facts = request.scope["facts"]
    facts.error_code = error.code
    headers |= quota_headers(facts)
    extra = {"field": error.field} if isinstance(error, errors.InvalidRequest) and error.field else {}
    return _problem(request, status, title, error.code, str(error), headers, extra)


def problem_of_http(request: Request, error: HTTPException) -> Response:
    """Starlette's own refusals: unknown path, wrong method."""
    title = HTTP_TITLES.get(error.status_code, error.detail)
    headers = dict(error.headers or {})
    return _problem(request, error.status_code, title, "http_error", error.detail, headers, {})


def problem_of_defect(request: Request) -> Response:
    """Anything unforeseen; the caller has logged its traceback."""
    facts: Facts = request.scope["facts"]
    facts.error_code = GatewayError.code
    detail = "An unexpected error; the log has it under this request_id"
    return _problem(request, 500, "Something is broken here", GatewayError.code, detail, {}, {})


def _problem(
    request: Request,
    status: int,
    title: str,
    code: str,
    detail: str,
    headers: dict[str, str],
    extra: dict[str, str],
) -> Response:
    facts: Facts = request.scope["facts"]
    body = {
        "type": "about:blank",
        "title": title,
        "status": status,
        "detail": detail,
        "instance": request.url.path,
        "code": code,
        "request_id": facts.request_id,
    }
    return Response(
        msgspec.json.encode(body | extra), status_code=status, headers=headers, media_type=CONTENT_TYPE
    )
