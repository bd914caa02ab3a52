"""Hugging Face's zero-shot body, in both of its shapes.

`/hf/inference` answers as the Inference API does (a list of `label` and `score`, which
`huggingface_hub.InferenceClient` reads), `/hf/pipeline` as the `transformers` pipeline (`sequence`, `labels`,
`scores`). Several inputs give a list of either. Without a template the label stands alone, as in ModelScope, and
not in Hugging Face's English sentence.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from msgspec import Struct
from starlette.responses import Response

from gateway.api.classifications import Classifications
from gateway.api.classify import TEXT
from gateway.classification.schema import ClassifyBody, TextResult
from stores.tenants import CLASSIFY
from web.error_shapes import TEXT as ERROR_TEXT
from web.operations import Call, Operation, with_errors
from web.responses import json_response


class ZeroShotParameters(Struct):
    """Unknown parameters are ignored, as Hugging Face ignores them."""

    candidate_labels: str | list[str]
    hypothesis_template: str | None = None
    multi_label: bool | None = None


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
            ),
        ]
        return with_errors(ERROR_TEXT, operations)

    async def inference(self, call: Call) -> Response:
        results = await self._results(call)
        answers = [
            [LabelScore(label, score) for label, score in zip(result.labels, result.scores, strict=True)]
            for result in results
        ]
        return _one_or_all(call.body, answers)

    async def pipeline(self, call: Call) -> Response:
        results = zip(call.body.texts, await self._results(call), strict=True)
        return _one_or_all(call.body, [PipelineAnswer(text, r.labels, r.scores) for text, r in results])

    async def _results(self, call: Call) -> list[TextResult]:
        body: ZeroShotBody = call.body
        parameters = body.parameters
        classify = ClassifyBody(
            parameters.candidate_labels, texts=body.texts, multi_label=bool(parameters.multi_label)
        )
        if parameters.hypothesis_template is not None:
            classify.hypothesis_template = parameters.hypothesis_template
        return (await self._classifications.classify(call, classify)).results


def _one_or_all(body: ZeroShotBody, answers: list[Any]) -> Response:
    return json_response(answers[0] if isinstance(body.inputs, str) else answers)
