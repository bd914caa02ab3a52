"""Every error of the gateway has its status and its title."""

from __future__ import annotations

import pytest
from starlette.requests import Request

from gateway import errors
from gateway.api.statuses import STATUSES
from stores.errors import InvalidRequest, ServiceError
from tests.fakes.gateway import gateway
from tests.problems import assert_problem
from web.problems import Problems
from web.request_context import RequestContext

OWN = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, ServiceError)]


def test_every_error_of_the_gateway_has_a_status() -> None:
    assert set(STATUSES) == set(OWN) - {ServiceError, InvalidRequest}


@pytest.mark.parametrize(
    ("error", "status", "retry_after"),
    [
        (errors.QuotaExceeded("much", 7), 429, "7"),
        (errors.QuotaExceeded("too much", None), 429, None),
        (errors.Overloaded("full", 3), 503, "3"),
        (errors.ControlPlaneUnavailable("away"), 503, "2"),
        (errors.TritonUnavailable("away"), 503, "2"),
        (errors.ModelNotLoaded("away"), 503, "2"),
        (errors.DeadlineExceeded("late"), 504, None),
        (errors.TritonFailed("broken"), 502, None),
        (errors.TritonRejected("broken"), 502, None),
    ],
)
def test_an_error_says_when_it_is_worth_trying_again(
    error: ServiceError, status: int, retry_after: str | None
) -> None:
    scope = {"type": "http", "path": "/v1/classify", "headers": [], "context": RequestContext("r")}
    response = Problems(STATUSES).of_error(Request(scope), error)
    assert (response.status_code, response.headers.get("retry-after")) == (status, retry_after)
    assert scope["context"].error_code == error.code  # type: ignore[attr-defined]


async def test_unknown_paths_and_methods_are_problems_too() -> None:
    async with gateway() as client:
        assert_problem(await client.get("/v1/clasify"), 404, "http_error")
        response = await client.get("/v1/classify")
        assert_problem(response, 405, "http_error")
        assert "POST" in response.headers["allow"]
