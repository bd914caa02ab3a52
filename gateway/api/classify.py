"""`/v1/classify` and `/v1/tokenize`."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

from msgspec import UNSET, structs
from starlette.responses import Response

from gateway.api.call_options import FRESH, TIMEOUT
from gateway.api.classifications import ERRORS, Classifications
from gateway.classification.known_answers import MAX_BYTES
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
from web.bodies import decode, in_thread
from web.operations import Call, Operation
from web.responses import JsonResponse, encode, json_response

ID = b'"request_id":""'
"""In the JSON of an answer. Within a string, each quotation mark would follow a backslash."""
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
                reads_body=True,
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
        known, decoded = None, None
        try:
            body = await call.receive_body()
            if is_small := len(body) <= MAX_BYTES:
                known = await self._classifications.answer_again(call, body)
            if known is None:
                decoded = await in_thread(partial(decode, ClassifyBody), body)
        finally:
            call.release_body()
        # A large one is not kept while the request waits for its turn.
        body = body if is_small else b""
        if known is not None:
            before_id, after_id = known.before_id, known.after_id
        else:
            assert decoded is not None
            outcome = await self._classifications.classify(call, decoded)
            before_id, _, after_id = encode(classify_answer(outcome)).rpartition(ID)
            label_set = decoded.label_set or ""
            if is_small:
                known_answers = self._classifications.known_answers
                await known_answers.keep(body, label_set, call.caller, outcome, (before_id, after_id))
        return JsonResponse(b'%b"request_id":"%b"%b' % (before_id, call.context.request_id.encode(), after_id))

    async def tokenize(self, call: Call) -> Response:
        return json_response(await self._classifications.count_tokens(call, call.body))


def classify_answer(outcome: Outcome) -> ClassifyAnswer | ClassifyAnswers:
    """One answer for `text`, a list for `texts`; without the id of the request."""
    request, values = outcome.request, outcome.values
    about: dict[str, Any] = {
        "pairs": PairCounts(values.computed, values.cached),
        "usage": outcome.usage,
        "model": values.engine.name,
        "model_version": values.engine.id,
        "request_id": "",
        "label_set": request.label_set.reference if request.label_set else UNSET,
    }
    if not request.single:
        return ClassifyAnswers(outcome.results, **about)
    (result,) = outcome.results
    return ClassifyAnswer(*structs.astuple(result), **about)
