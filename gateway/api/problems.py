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
    errors.NotAvailable: (501, "This gateway is not set up for it"),
    errors.StoreUnavailable: (503, "The database is not available"),
    # nginx's number; nobody receives it.
    errors.ClientGone: (499, "The client has left"),
    errors.DeadlineExceeded: (504, "No answer in time"),
    errors.Overloaded: (503, "Too much is in flight"),
    errors.TritonUnavailable: (503, "The classifier is not available"),
    errors.TritonFailed: (502, "The classifier failed"),
}
HTTP_TITLES = {404: "There is nothing here", 405: "This method is not possible here"}


def described(error: GatewayError, instance: str, request_id: str) -> tuple[int, dict[str, object]]:
    """Status and document of a refusal."""
    status, title = STATUSES[type(error)]
    extra = {"field": error.field} if isinstance(error, errors.InvalidRequest) and error.field else {}
    return status, _document(status, title, error.code, str(error), instance, request_id) | extra


def problem_of_error(request: Request, error: GatewayError) -> Response:
    facts: Facts = request.scope["facts"]
    facts.error_code = error.code
    status, document = described(error, request.url.path, facts.request_id)
    headers = {} if error.retry_after_s is None else {"Retry-After": str(error.retry_after_s)}
    if isinstance(error, errors.Unauthorized):
        headers["WWW-Authenticate"] = 'Bearer realm="wanneng"'
    return _response(status, document, headers | quota_headers(facts))


def problem_of_http(request: Request, error: HTTPException) -> Response:
    """Starlette's own refusals: unknown path, wrong method."""
    title = HTTP_TITLES.get(error.status_code, error.detail)
    request_id = request.scope["facts"].request_id
    document = _document(error.status_code, title, "http_error", error.detail, request.url.path, request_id)
    return _response(error.status_code, document, dict(error.headers or {}))


def problem_of_defect(request: Request) -> Response:
    """Anything unforeseen; the caller has logged its traceback."""
    facts: Facts = request.scope["facts"]
    facts.error_code = GatewayError.code
    detail = "An unexpected error; the log has it under this request_id"
    title = "Something is broken here"
    document = _document(500, title, GatewayError.code, detail, request.url.path, facts.request_id)
    return _response(500, document, {})


def _document(
    status: int, title: str, code: str, detail: str, instance: str, request_id: str
) -> dict[str, object]:
    return {
        "type": "about:blank",
        "title": title,
        "status": status,
        "detail": detail,
        "instance": instance,
        "code": code,
        "request_id": request_id,
    }


def _response(status: int, document: dict[str, object], headers: dict[str, str]) -> Response:
    return Response(msgspec.json.encode(document), status, headers, media_type=CONTENT_TYPE)
