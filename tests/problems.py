"""What every error has, which is a problem document."""

from __future__ import annotations

from typing import Any

import httpx


def assert_problem(response: httpx.Response, status: int, code: str) -> dict[str, Any]:
    """The document, which tells the status, the code and the request, and no traceback.

    Of a compatible API it also has what that API's clients read, and is plain JSON.
    """
    assert response.status_code == status, response.text
    problem: dict[str, Any] = response.json()
    media_type = "application/json" if {"error", "message"} & set(problem) else "application/problem+json"
    assert response.headers["content-type"] == media_type
    assert {"type", "title", "status", "detail", "instance", "code", "request_id"} <= set(problem)
    assert (problem["status"], problem["code"]) == (status, code)
    assert problem["request_id"] == response.headers["x-request-id"]
    assert "Traceback" not in response.text
    return problem
