"""The gateway's classification endpoints: the body that each takes and the labels its answer must have."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from loadtest.answers import check_answer
from loadtest.workload import LABELS, Request

LABEL_SET, LABEL_SET_LABELS = "load-test", LABELS[:8]


@dataclass(frozen=True, slots=True)
class Endpoint:
    """`body` makes the JSON body of a request, `labels` the labels of its answer."""

    path: str
    body: Callable[[Request], dict[str, Any]]
    labels: Callable[[Request], tuple[str, ...]]


ENDPOINTS = {
    "inline": Endpoint(
        "/v1/classify",
        lambda request: {"text": request.text, "labels": request.labels},
        lambda request: request.labels,
    ),
    "label_set": Endpoint(
        "/v1/classify", lambda request: {"text": request.text, "label_set": LABEL_SET}, lambda _: LABEL_SET_LABELS
    ),
    "hugging_face": Endpoint(
        "/hf/inference",
        lambda request: {"inputs": request.text, "parameters": {"candidate_labels": request.labels}},
        lambda request: request.labels,
    ),
}
"""By the request's kind."""


def check_response(request: Request, status: int, content: bytes) -> str | None:
    """What is wrong with an endpoint's response; None if nothing is."""
    if status != 200:
        return f"status {status}"
    try:
        body = json.loads(content)
    except ValueError:
        return "not JSON"
    return check_answer(ENDPOINTS[request.kind].labels(request), body, request.kind)
