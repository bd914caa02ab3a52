"""The result of one text: its labels by score, and what was truncated."""

from __future__ import annotations

from typing import Any

from gateway.classification.request import ClassificationRequest
from gateway.classification.schema import TextResult, Truncation
from gateway.classification.scoring import Logits, corrected, entailment, ranking
from gateway.classification.tokens import rounded_share


def text_result(
    request: ClassificationRequest,
    logits: list[Logits],
    tokens: list[tuple[int, int, int]],
    unknown: list[tuple[float, float]],
) -> TextResult:
    """The result of one text, from the logits, token counts and shares of unknown tokens of its pairs."""
    content = request.label_set and request.label_set.content
    if content and content.correction is not None:
        logits = corrected(logits, content.correction, multi_label=request.multi_label)
    order, scores = ranking(logits, multi_label=request.multi_label)
    optional: dict[str, Any] = {}
    if content and content.threshold is not None:
        optional["none_of_these"] = max(map(entailment, logits)) < content.threshold
    if request.entailment:
        optional["entailment"] = [entailment(logits[index]) for index in order]
    longest, text_tokens, label_tokens = map(max, zip(*tokens, strict=True))
    truncated = text_tokens > 0 or label_tokens > 0
    if truncated:
        # A pair that was truncated is as long as the limit.
        optional["cut"] = Truncation(request.pairs.max_tokens or longest, text_tokens, label_tokens)
    unknown_share = unknown[0][0]
    if unknown_share:
        optional["unknown_share"] = rounded_share(unknown_share)
    if any(of_label for _, of_label in unknown):
        optional["unknown_labels"] = [request.names[index] for index in order if unknown[index][1]]
    return TextResult(
        [request.names[index] for index in order], [scores[index] for index in order], truncated, **optional
    )
