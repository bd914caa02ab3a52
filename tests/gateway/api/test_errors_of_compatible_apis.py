"""An error of a compatible API has what that API's clients read, beside what every error has."""

from __future__ import annotations

from typing import Any

import pytest

from tests.fakes.backend import FakeBackend
from tests.fakes.gateway import gateway
from tests.problems import assert_problem
from web.error_shapes import OPENAI, TEI, ErrorShape

BODY: dict[str, Any] = {"inputs": "", "query": "", "texts": "", "input": "", "documents": ""}
"""What no API takes."""
KSERVE = "/v2/models/zero_shot"


@pytest.mark.parametrize(
    ("path", "members"),
    [
        ("/v1/classify", set()),
        ("/hf/inference", {"error"}),
        ("/hf/pipeline", {"error"}),
        ("/predict", {"error", "error_type"}),
        ("/rerank", {"error", "error_type"}),
        ("/v1/rerank", {"error", "message"}),
        ("/v2/rerank", {"message"}),
        ("/score", {"error"}),
        ("/v1/score", {"error"}),
        ("/classify", {"error"}),
        ("/v1/moderations", {"error"}),
        ("/v1/flexible/infers", {"error"}),
        (f"{KSERVE}/infer", {"error"}),
        (f"{KSERVE}/versions/1/infer", {"error"}),
    ],
)
async def test_a_refusal_says_in_the_apis_own_members_what_its_detail_says(path: str, members: set[str]) -> None:
    async with gateway() as client:
        error = assert_problem(await client.post(path, json=BODY), 422, "invalid_request")
        described = (await client.get("/openapi.json")).json()
    assert members == {"error", "error_type", "message"} & set(error)
    assert all(error["detail"] in str(error[member]) for member in members - {"error_type"})
    pattern = path.replace("zero_shot", "{model}").replace("versions/1", "versions/{version}")
    response = described["paths"][pattern]["post"]["responses"]["422"]["$ref"].rpartition("/")[2]
    (media_type,) = described["components"]["responses"][response]["content"]
    assert media_type == ("application/json" if members else "application/problem+json")


async def test_an_error_before_the_body_has_the_shape_too() -> None:
    """Without a key; at an unknown model; of the control plane, which is not there."""
    async with gateway(require_key=True) as client:
        refused = assert_problem(await client.post("/predict", json=BODY), 401, "unauthorized")
        assert (refused["error_type"], refused["error"]) == ("Validation", refused["detail"])
        missing = assert_problem(await client.get("/v2/models/other"), 404, "not_found")
        assert missing["error"] == missing["detail"]
    async with gateway() as client:
        for path in ("/v1/files", "/v1/files/file-1", "/v1/batches"):
            away = assert_problem(await client.get(path), 501, "not_available")
            assert away["error"]["message"] == away["detail"]
        assert "error" not in assert_problem(await client.get("/v1/label-sets"), 501, "not_available")


@pytest.mark.parametrize(
    ("shape", "status", "code", "kind"),
    [
        (OPENAI, 422, "invalid_request", "invalid_request_error"),
        (OPENAI, 429, "quota_exceeded", "rate_limit_error"),
        (OPENAI, 503, "overloaded", "server_error"),
        (TEI, 422, "invalid_request", "Validation"),
        (TEI, 429, "quota_exceeded", "Overloaded"),
        (TEI, 503, "overloaded", "Overloaded"),
        (TEI, 503, "triton_unavailable", "Unhealthy"),
        (TEI, 502, "triton_failed", "Backend"),
    ],
)
def test_the_type_of_an_error_is_one_that_the_api_has(
    shape: ErrorShape, status: int, code: str, kind: str
) -> None:
    members = shape.members({"status": status, "code": code, "detail": "texts[1]: empty", "field": "texts[1]"})
    if shape is TEI:
        assert members == {"error": "texts[1]: empty", "error_type": kind}
    else:
        error = {"message": "texts[1]: empty", "type": kind, "code": code, "param": "texts[1]"}
        assert members == {"error": error}


async def test_an_unexpected_failure_has_the_shape() -> None:
    class Broken(FakeBackend):
        async def logits(self, call: Any) -> Any:
            raise ZeroDivisionError

    async with gateway(Broken()) as client:
        failed = await client.post("/rerank", json={"query": "a", "texts": ["b"]})
    assert assert_problem(failed, 500, "internal_error")["error_type"] == "Backend"
