"""`/v1/classify` and `/v1/tokenize`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from msgspec import UNSET, structs
from starlette.responses import Response

from gateway.api.call_options import FRESH, TIMEOUT
from gateway.api.classifications import ERRORS, Classifications
from gateway.classification.schema import (
    ClassifyAnswer,
    ClassifyAnswers,
    ClassifyBody,
    PairCounts,
    TokenizeAnswer,
    TokenizeBody,
)
from gateway.classification.work import Outcome
from stores.tenants import CLASSIFY
from web.operations import Call, Operation
from web.responses import json_response

TEXT = "这个手机质量太差，要求退款"


class ClassifyEndpoints:
    def __init__(self, classifications: Classifications) -> None:
        self._classifications = classifications

    def operations(self) -> Sequence[Operation]:
        return [
            Operation(
                "POST",
                "/v1/classify",
                self.classify,
                "Score labels for one text or several",
                CLASSIFY,
                ClassifyBody,
                answers=(ClassifyAnswer, ClassifyAnswers),
                parameters=(TIMEOUT, FRESH),
                example={"text": TEXT, "labels": "投诉,咨询,建议"},
                errors=ERRORS,
                id="classify",
            ),
            Operation(
                "POST",
                "/v1/tokenize",
                self.tokenize,
                "Count tokens",
                CLASSIFY,
                TokenizeBody,
                answers=(TokenizeAnswer,),
                example={"text": TEXT, "labels": ["投诉", "咨询"]},
                errors=ERRORS,
                id="tokenize",
            ),
        ]

    async def classify(self, call: Call) -> Response:
        outcome = await self._classifications.classify(call, call.body)
        return json_response(classify_answer(outcome, call.context.request_id))

    async def tokenize(self, call: Call) -> Response:
        return json_response(await self._classifications.count_tokens(call, call.body))


def classify_answer(outcome: Outcome, request_id: str) -> ClassifyAnswer | ClassifyAnswers:
    """One answer for `text`, a list for `texts`."""
    request, values = outcome.request, outcome.values
    about: dict[str, Any] = {
        "pairs": PairCounts(values.computed, values.cached),
        "usage": outcome.usage,
        "model": values.engine.name,
        "model_version": values.engine.id,
        "request_id": request_id,
        "label_set": request.label_set or UNSET,
    }
    if not request.single:
        return ClassifyAnswers(outcome.results, **about)
    (result,) = outcome.results
    return ClassifyAnswer(*structs.astuple(result), **about)
