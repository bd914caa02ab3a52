"""Hugging Face's zero-shot classification, in both answer formats.

`/hf/inference` answers as the Inference API does (a list of `label` and `score`, which
`huggingface_hub.InferenceClient` reads), `/hf/pipeline` as the `transformers` pipeline (`sequence`, `labels`,
`scores`). Several inputs give a list of either. Without a template the engine's default is used, not the
English sentence of Hugging Face.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from msgspec import Struct
from starlette.responses import Response

from gateway.api.classifications import ERRORS, Classifications
from gateway.api.classify import TEXT
from gateway.api.compat.answer_headers import answer_headers
from gateway.classification.schema import ClassifyBody
from gateway.classification.work import Outcome
from stores.tenants import CLASSIFY
from web.error_shapes import TEXT as ERROR_TEXT
from web.operations import Call, Operation, with_errors
from web.responses import json_response


class ZeroShotParameters(Struct):
    """Unknown parameters are ignored, as Hugging Face ignores them."""

    candidate_labels: str | list[str]
    hypothesis_template: str | None = None
    multi_label: bool | None = None
    truncate: bool | None = True
    """`false`: refuse texts beyond the token limit; an extension of Hugging Face's API."""


class ZeroShotBody(Struct):
    """Hugging Face's body of a zero-shot classification."""

    inputs: str | list[str]
    parameters: ZeroShotParameters

    @property
    def texts(self) -> list[str]:
        return [self.inputs] if isinstance(self.inputs, str) else self.inputs


class LabelScore(Struct, frozen=True):
    label: str
    score: float


class PipelineAnswer(Struct, frozen=True):
    """What the `transformers` pipeline returns for one input."""

    sequence: str
    labels: list[str]
    scores: list[float]


class HuggingFaceEndpoints:
    def __init__(self, classifications: Classifications) -> None:
        self._classifications = classifications

    def operations(self) -> Sequence[Operation]:
        example = {"inputs": TEXT, "parameters": {"candidate_labels": ["投诉", "咨询"]}}
        operations = [
            Operation(
                "POST",
                "/hf/inference",
                self.inference,
                "Hugging Face's zero-shot body, answered as its Inference API does",
                CLASSIFY,
                ZeroShotBody,
                answers=(list[LabelScore], list[list[LabelScore]]),
                example=example,
                errors=ERRORS,
                id="huggingFaceInference",
            ),
            Operation(
                "POST",
                "/hf/pipeline",
                self.pipeline,
                "The same body, answered as the transformers pipeline does",
                CLASSIFY,
                ZeroShotBody,
                answers=(PipelineAnswer, list[PipelineAnswer]),
                example=example,
                errors=ERRORS,
                id="huggingFacePipeline",
            ),
        ]
        return with_errors(ERROR_TEXT, operations)

    async def inference(self, call: Call) -> Response:
        outcome = await self._classify(call)
        answers = [
            [LabelScore(label, score) for label, score in zip(result.labels, result.scores, strict=True)]
            for result in outcome.results
        ]
        return _one_or_all(call.body, answers, outcome)

    async def pipeline(self, call: Call) -> Response:
        outcome = await self._classify(call)
        results = zip(call.body.texts, outcome.results, strict=True)
        answers = [PipelineAnswer(text, result.labels, result.scores) for text, result in results]
        return _one_or_all(call.body, answers, outcome)

    async def _classify(self, call: Call) -> Outcome:
        body: ZeroShotBody = call.body
        parameters = body.parameters
        classify = ClassifyBody(
            parameters.candidate_labels,
            texts=body.texts,
            hypothesis_template=parameters.hypothesis_template,
            multi_label=bool(parameters.multi_label),
            truncate=parameters.truncate is not False,
        )
        return await self._classifications.classify(call, classify)


def _one_or_all(body: ZeroShotBody, answers: list[Any], outcome: Outcome) -> Response:
    return json_response(answers[0] if isinstance(body.inputs, str) else answers, headers=answer_headers(outcome))
