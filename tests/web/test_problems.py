"""Errors as RFC 9457 problem documents."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from stores import errors
from stores.errors import ServiceError
from web.problems import CONTENT_TYPE, STATUSES, Problems
from web.request_context import RequestContext


class Custom(ServiceError):
    code = "custom"


def request_to(path: str = "/v1/things/t_1") -> Request:
    return Request({"type": "http", "path": path, "headers": [], "context": RequestContext("r-1")})


def document_of(response: Response) -> dict[str, Any]:
    assert response.headers["content-type"] == CONTENT_TYPE
    document: dict[str, Any] = msgspec.json.decode(response.body)
    assert document["status"] == response.status_code
    return document


def test_every_error_of_both_planes_has_a_status_and_a_title() -> None:
    kinds = {kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, ServiceError)}
    assert set(STATUSES) == kinds - {ServiceError}
    assert all(400 <= status < 600 and title for status, title in STATUSES.values())


def test_codes_are_unique() -> None:
    codes = [kind.code for kind in STATUSES]
    assert len(codes) == len(set(codes))


def test_an_error_becomes_a_document_for_programs_and_people() -> None:
    request = request_to()
    response = Problems().of_error(request, errors.InvalidRequest("must be 1 to 100", field="limit"))
    assert document_of(response) == {
        "type": "about:blank",
        "title": "Invalid request",
        "status": 422,
        "detail": "limit: must be 1 to 100",
        "instance": "/v1/things/t_1",
        "code": "invalid_request",
        "request_id": "r-1",
        "field": "limit",
    }
    assert request.scope["context"].error_code == "invalid_request"


def test_a_field_is_named_only_where_there_is_one() -> None:
    for error in (errors.InvalidRequest("x"), errors.NotFound("x"), errors.BodyTooLarge("x")):
        assert "field" not in document_of(Problems().of_error(request_to(), error))


@pytest.mark.parametrize(
    ("error", "status", "headers"),
    [
        (errors.StoreUnavailable("x"), 503, {"retry-after": "1"}),
        (errors.StoreUnusable("x"), 503, {}),
        (errors.Unauthorized(), 401, {"www-authenticate": 'Bearer realm="wanneng"'}),
        (errors.NotJson("x"), 400, {}),
        (errors.BodyTooLarge("x"), 413, {}),
        (errors.BodyTooSlow("x"), 408, {}),
        (errors.MissingScope("x"), 403, {}),
        (errors.NotFound("x"), 404, {}),
        (errors.Conflict("x"), 409, {}),
        (errors.PreconditionFailed("x"), 412, {}),
        (errors.NotAvailable("x"), 501, {}),
    ],
)
def test_an_error_has_the_headers_that_go_with_its_status(
    error: ServiceError, status: int, headers: dict[str, str]
) -> None:
    response = Problems().of_error(request_to(), error)
    assert response.status_code == status
    told = {name: value for name, value in response.headers.items() if name in ("retry-after", "www-authenticate")}
    assert told == headers


def test_a_process_adds_statuses_of_its_own() -> None:
    response = Problems({Custom: (418, "Custom")}).of_error(request_to(), Custom("x"))
    assert (response.status_code, document_of(response)["title"]) == (418, "Custom")


@pytest.mark.parametrize(
    ("status", "title", "detail"),
    [
        (404, "Not found", "there is no path '/v1/things/t_1'"),
        (405, "Method not allowed", "this path takes other methods: GET"),
        (400, "Bad Request", "Bad Request"),
    ],
)
def test_starlettes_own_errors_are_documents_too(status: int, title: str, detail: str) -> None:
    response = Problems().of_http(request_to(), HTTPException(status, headers={"Allow": "GET"}))
    document = document_of(response)
    assert (document["title"], document["detail"], document["code"]) == (title, detail, "http_error")
    assert response.headers["allow"] == "GET"


def test_a_defect_says_where_to_look_and_nothing_else() -> None:
    request = request_to()
    document = document_of(Problems().of_defect(request))
    assert (document["status"], document["code"]) == (500, "internal_error")
    assert "request_id" in document["detail"]
    assert request.scope["context"].error_code == "internal_error"
