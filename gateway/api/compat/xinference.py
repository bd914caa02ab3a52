"""Xinference's flexible models, used for its zero-shot pipeline (https://inference.readthedocs.io).

`model.infer(text, candidate_labels=[…])` of its client takes and returns what the `transformers` pipeline does.
"""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import Struct
from starlette.responses import Response

from gateway.api.classifications import ERRORS, Classifications
from gateway.api.classify import TEXT
from gateway.api.compat.answer_headers import answer_headers
from gateway.api.compat.huggingface import PipelineAnswer
from gateway.api.compat.options import classify_body
from stores.errors import InvalidRequest
from stores.tenants import CLASSIFY
from web.error_shapes import OPENAI
from web.operations import Call, Operation, with_errors
from web.responses import json_response

MAX_ARGUMENTS = 2
Texts = str | list[str]


class InferBody(Struct):
    """`args` are the texts and the labels, unless they are passed by name."""

    model: str | None = None
    """A label set, if no labels are given."""
    args: list[Texts] | None = None
    sequences: Texts | None = None
    candidate_labels: Texts | None = None
    hypothesis_template: str | None = None
    multi_label: bool | None = False
    truncate: bool | None = True
    """`false`: refuse texts beyond the token limit."""


class ClusterAuthentication(Struct, frozen=True):
    auth: bool
    """Always true: Xinference's client sends its key only then. Where no key is needed, none has to be sent."""


class XinferenceEndpoints:
    def __init__(self, classifications: Classifications) -> None:
        self._classifications = classifications

    def operations(self) -> Sequence[Operation]:
        operations = [
            Operation(
                "GET",
                "/v1/cluster/auth",
                self.authentication,
                "Xinference: whether clients send their key",
                answers=(ClusterAuthentication,),
                id="getClusterAuthentication",
            ),
            Operation(
                "POST",
                "/v1/flexible/infers",
                self.infer,
                "Classify as Xinference's zero-shot pipeline",
                CLASSIFY,
                InferBody,
                answers=(PipelineAnswer, list[PipelineAnswer]),
                example={"model": "zero_shot", "args": [TEXT], "candidate_labels": ["投诉", "咨询"]},
                errors=ERRORS,
                id="inferFlexibly",
            ),
        ]
        return with_errors(OPENAI, operations)

    async def authentication(self, call: Call) -> Response:
        return json_response(ClusterAuthentication(auth=True))

    async def infer(self, call: Call) -> Response:
        body: InferBody = call.body
        given, labels = _arguments(body)
        classify = classify_body(
            body.model,
            labels,
            given,
            hypothesis_template=body.hypothesis_template,
            multi_label=bool(body.multi_label),
            truncate=body.truncate,
        )
        outcome = await self._classifications.classify(call, classify)
        answers = [
            PipelineAnswer(text, result.labels, result.scores)
            for text, result in zip([given] if isinstance(given, str) else given, outcome.results, strict=True)
        ]
        return json_response(answers[0] if isinstance(given, str) else answers, headers=answer_headers(outcome))


def _arguments(body: InferBody) -> tuple[Texts, Texts | None]:
    """The texts, and the labels where there are any."""
    args = body.args or []
    if len(args) > MAX_ARGUMENTS:
        raise InvalidRequest("takes at most two: the texts and the labels", field="args")
    sequences, labels = [*args, None, None][:MAX_ARGUMENTS]
    texts = body.sequences if sequences is None else sequences
    if texts is None:
        raise InvalidRequest("give the texts", field="args")
    return texts, body.candidate_labels if labels is None else labels
