"""Errors as RFC 9457 problem documents, with what the clients of a compatible API read; and their statuses."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from stores import errors
from stores.errors import ServiceError
from web.error_shapes import PROBLEM, ErrorShape
from web.request_context import RequestContext
from web.root_path import ROOT_PATH

CONTENT_TYPE = "application/problem+json"
ERROR_SHAPE = "error_shape"
"""Where the scope of a request has the shape of its errors, once its operation is known."""

Statuses = Mapping[type[ServiceError], tuple[int, str]]
"""Status and title of each error."""
STATUSES: Statuses = {
    errors.InvalidRequest: (422, "Invalid request"),
    errors.NotJson: (400, "The body is not JSON"),
    errors.BodyTooLarge: (413, "The body is too large"),
    errors.BodyTooSlow: (408, "The body did not arrive in time"),
    errors.UnsupportedMediaType: (415, "Unsupported media type"),
    errors.Unauthorized: (401, "Unauthorized"),
    errors.TooManyFailures: (429, "Too many failed authentications"),
    errors.BudgetExceeded: (429, "The budget is used up"),
    errors.MissingScope: (403, "The key lacks a scope"),
    errors.SignInFailed: (401, "The sign-in failed"),
    errors.NoRole: (403, "No role here"),
    errors.ProviderUnavailable: (503, "The identity provider is not available"),
    errors.NotFound: (404, "Not found"),
    errors.Conflict: (409, "Conflict"),
    errors.PreconditionFailed: (412, "Precondition failed"),
    errors.NotAvailable: (501, "Not available in this deployment"),
    errors.StoreUnavailable: (503, "The database is not available"),
    errors.StoreUnusable: (503, "The database cannot be used"),
    # nginx's number; nobody receives it.
    errors.ClientDisconnected: (499, "The client disconnected"),
}
HTTP_TITLES = {404: "Not found", 405: "Method not allowed"}
MAX_PATH_CHARACTERS = 200
"""Of a path that does not exist, in the sentence that says so."""


class Problems:
    """Turns errors into responses, and is the only place that knows their statuses."""

    def __init__(self, *statuses: Statuses) -> None:
        self._statuses = {kind: status for table in (STATUSES, *statuses) for kind, status in table.items()}

    def of_error(self, request: Request, error: ServiceError) -> Response:
        context: RequestContext = request.scope["context"]
        context.error_code = error.code
        status, title = self._statuses[type(error)]
        document = _document(status, title, error.code, str(error), request)
        if isinstance(error, errors.InvalidRequest) and error.field:
            document["field"] = error.field
        headers = {} if error.retry_after_s is None else {"Retry-After": str(error.retry_after_s)}
        if status == 401:
            headers["WWW-Authenticate"] = 'Bearer realm="wanneng"'
        return _response(request, status, document, headers)

    def of_http(self, request: Request, error: HTTPException) -> Response:
        """Starlette's own: unknown path, wrong method."""
        title, headers = HTTP_TITLES.get(error.status_code, error.detail), dict(error.headers or {})
        detail = {
            404: f"there is no path {request.url.path[:MAX_PATH_CHARACTERS]!r}",
            405: f"this path takes other methods: {headers.get('Allow', '')}",
        }.get(error.status_code, error.detail)
        return _response(
            request, error.status_code, _document(error.status_code, title, "http_error", detail, request), headers
        )

    def of_defect(self, request: Request) -> Response:
        """Anything unforeseen; the caller has logged its traceback."""
        request.scope["context"].error_code = ServiceError.code
        detail = "an unexpected error; the log has it under this request_id"
        return _response(request, 500, _document(500, "Internal error", ServiceError.code, detail, request), {})


def _document(status: int, title: str, code: str, detail: str, request: Request) -> dict[str, object]:
    return {
        "type": "about:blank",
        "title": title,
        "status": status,
        "detail": detail,
        "instance": request.scope.get(ROOT_PATH, "") + request.url.path,
        "code": code,
        "request_id": request.scope["context"].request_id,
    }


def _response(request: Request, status: int, document: dict[str, object], headers: dict[str, str]) -> Response:
    shape: ErrorShape = request.scope.get(ERROR_SHAPE, PROBLEM)
    media_type = media_type_of(shape)
    return Response(
        msgspec.json.encode(document | shape.members(document)), status, headers, media_type=media_type
    )


def media_type_of(shape: ErrorShape) -> str:
    """Clients of other APIs expect plain JSON."""
    return CONTENT_TYPE if shape is PROBLEM else "application/json"
