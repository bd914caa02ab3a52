"""The result of one text: its labels by score, and what was truncated."""

from __future__ import annotations

from typing import Any

from gateway.classification.request import ClassificationRequest
from gateway.classification.schema import TextResult, Truncation
from gateway.classification.scoring import Logits, entailment, ranking


def text_result(
    request: ClassificationRequest, logits: list[Logits], tokens: list[tuple[int, int, int]]
) -> TextResult:
    """The result of one text, from the logits and token counts of its pairs."""
    order, scores = ranking(logits, multi_label=request.multi_label)
    optional: dict[str, Any] = {}
    if request.threshold is not None:
        optional["none_of_these"] = max(map(entailment, logits)) < request.threshold
    if request.entailment:
        optional["entailment"] = [entailment(logits[index]) for index in order]
    longest, text_tokens, label_tokens = map(max, zip(*tokens, strict=True))
    truncated = text_tokens > 0 or label_tokens > 0
    if truncated:
        # A pair that was truncated is as long as the limit.
        optional["cut"] = Truncation(request.pairs.max_tokens or longest, text_tokens, label_tokens)
    return TextResult(
        [request.names[index] for index in order], [scores[index] for index in order], truncated, **optional
    )
