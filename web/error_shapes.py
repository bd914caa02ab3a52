"""Members of errors that clients of other products' APIs read, in addition to those of a problem document."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

Problem = Mapping[str, Any]
"""An RFC 9457 problem document, as `web/problems.py` makes it."""
STRING: dict[str, Any] = {"type": "string"}
OPENAI_ERROR: dict[str, Any] = {
    "type": "object",
    "properties": {
        "message": STRING,
        "type": STRING,
        "code": STRING,
        "param": {"type": ["string", "null"]},
    },
    "required": ["message", "type", "code", "param"],
}
TOO_MANY_REQUESTS, SERVER_ERROR, UNAVAILABLE = 429, 500, 503


@dataclass(frozen=True, slots=True)
class ErrorShape:
    """Members that an API's errors have in addition to those of a problem."""

    name: str
    """Of its schema in the OpenAPI document."""
    members: Callable[[Problem], dict[str, Any]]
    properties: Mapping[str, Any]
    """Their JSON schemas."""


def _none(problem: Problem) -> dict[str, Any]:
    return {}


def _openai(problem: Problem) -> dict[str, Any]:
    status = problem["status"]
    kind = "server_error" if status >= SERVER_ERROR else "invalid_request_error"
    if status == TOO_MANY_REQUESTS:
        kind = "rate_limit_error"
    error = {"message": problem["detail"], "type": kind, "code": problem["code"], "param": problem.get("field")}
    return {"error": error}


def _tei(problem: Problem) -> dict[str, Any]:
    status = problem["status"]
    kind = "Backend" if status >= SERVER_ERROR else "Validation"
    if status in (TOO_MANY_REQUESTS, UNAVAILABLE):
        kind = "Unhealthy" if problem["code"] == "triton_unavailable" else "Overloaded"
    return {"error": problem["detail"], "error_type": kind}


PROBLEM = ErrorShape("Problem", _none, {})
"""Of our own API."""
TEXT = ErrorShape("ErrorText", lambda problem: {"error": problem["detail"]}, {"error": STRING})
"""KServe, and Hugging Face's Inference API."""
TEI = ErrorShape("TeiError", _tei, {"error": STRING, "error_type": STRING})
"""Text Embeddings Inference."""
OPENAI = ErrorShape("OpenAIError", _openai, {"error": OPENAI_ERROR})
"""OpenAI, vLLM and most AI gateways. Jina's clients and Xinference's read `detail`, which a problem has."""
COHERE = ErrorShape("CohereError", lambda problem: {"message": problem["detail"]}, {"message": STRING})
RERANK = ErrorShape(
    "RerankError",
    lambda problem: OPENAI.members(problem) | COHERE.members(problem),
    {**OPENAI.properties, **COHERE.properties},
)
"""Of a path that clients of Cohere, Jina and vLLM share."""
