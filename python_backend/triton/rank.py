"""Triton model `rank`: ranks labels by their logits, for clients that call Triton directly."""

from __future__ import annotations

from typing import Any

from python_backend.errors import InvalidInput
from python_backend.scoring import rank
from python_backend.triton import tensors
from python_backend.triton.requests import respond_to_each


class RankModel:
    """Ranks labels as ModelScope does."""

    def initialize(self, args: dict[str, str]) -> None:
        """Nothing to load."""

    def execute(self, requests: list[Any]) -> list[Any]:
        return respond_to_each(requests, _answer)


def _answer(request: Any) -> list[Any]:
    logits = tensors.array(request, tensors.LOGITS)
    labels = tensors.strings(request, tensors.LABELS) or []
    if logits.shape != (len(labels), 3) or not labels:
        raise InvalidInput(f"logits: shape {list(logits.shape)}, expected [{len(labels)}, 3]: one row per label")
    ranking = rank(logits, multi_label=bool(tensors.number(request, tensors.MULTI_LABEL, 0)))
    return [
        tensors.string_output(tensors.RANKED_LABELS, [labels[i] for i in ranking.order]),
        tensors.output(tensors.SCORES, ranking.scores),
    ]
