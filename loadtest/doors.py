"""How each kind of question is asked, and what its answer must be. Measures nothing."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from loadtest.answers import fault_of
from loadtest.workload import LABELS, Ask

LABEL_SET, LABEL_SET_LABELS = "load-test", LABELS[:8]


@dataclass(frozen=True, slots=True)
class Door:
    """One path of the gateway: the body for a question, and the labels that its answer must have."""

    path: str
    body: Callable[[Ask], dict[str, Any]]
    labels: Callable[[Ask], tuple[str, ...]]


DOORS = {
    "inline": Door("/v1/classify", lambda ask: {"text": ask.text, "labels": ask.labels}, lambda ask: ask.labels),
    "label_set": Door(
        "/v1/classify", lambda ask: {"text": ask.text, "label_set": LABEL_SET}, lambda _: LABEL_SET_LABELS
    ),
    "hugging_face": Door(
        "/hf/inference",
        lambda ask: {"inputs": ask.text, "parameters": {"candidate_labels": ask.labels}},
        lambda ask: ask.labels,
    ),
}


def fault_of_answer(ask: Ask, status: int, content: bytes) -> str | None:
    """What is wrong with the answer to a question at one of the doors; None when nothing is."""
    if status != 200:
        return f"status {status}"
    try:
        body = json.loads(content)
    except ValueError:
        return "not JSON"
    return fault_of(DOORS[ask.kind].labels(ask), body, ask.kind)
