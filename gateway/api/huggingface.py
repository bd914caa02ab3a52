"""The zero-shot body of Hugging Face, in both of its shapes. A question behind it like any other.

`/hf/inference` answers as the Inference API does (a list of `label` and `score`, which
`huggingface_hub.InferenceClient` reads), `/hf/pipeline` as the `transformers` pipeline (`sequence`, `labels`,
`scores`). Several inputs give a list of either. Without a template the label stands alone, as ModelScope has
it, and not in Hugging Face's English sentence.
"""

from __future__ import annotations

from typing import Any

from msgspec import Struct
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from gateway.answering import Answering
from gateway.api.answers import json_answer, quota_headers, route
from gateway.api.bodies import read_body
from gateway.api.callers import caller_of
from gateway.api.wishes import wishes_of
from gateway.identity import Identities
from gateway.schema import ClassifyAnswers, ClassifyBody, Result, decode
from gateway.settings import Settings
from gateway.tenants import CLASSIFY


class ZeroShotParameters(Struct):
    """Of `ZeroShotBody`; what is not known here is left alone, as Hugging Face leaves it."""

    candidate_labels: str | list[str]
    hypothesis_template: str | None = None
    multi_label: bool | None = None


class ZeroShotBody(Struct):
    """Hugging Face's body of a zero-shot classification."""

    inputs: str | list[str]
    parameters: ZeroShotParameters


class LabelScore(Struct, frozen=True):
    label: str
    score: float


class PipelineAnswer(Struct, frozen=True):
    """What the `transformers` pipeline returns for one input."""

    sequence: str
    labels: list[str]
    scores: list[float]


class HuggingFaceEndpoints:
    """Holds what the endpoints delegate to."""

    def __init__(self, answering: Answering, identities: Identities, settings: Settings) -> None:
        self._answering = answering
        self._identities = identities
        self._settings = settings

    def routes(self) -> list[Route]:
        return [
            route("POST", "/hf/inference", self.inference),
            route("POST", "/hf/pipeline", self.pipeline),
        ]

    async def inference(self, request: Request) -> Response:
        body, results = await self._results(request)
        shaped = [[LabelScore(*pair) for pair in zip(one.labels, one.scores, strict=True)] for one in results]
        return self._answer(request, shaped, body)

    async def pipeline(self, request: Request) -> Response:
        body, results = await self._results(request)
        texts = [body.inputs] if isinstance(body.inputs, str) else body.inputs
        pairs = zip(texts, results, strict=True)
        return self._answer(request, [PipelineAnswer(text, one.labels, one.scores) for text, one in pairs], body)

    async def _results(self, request: Request) -> tuple[ZeroShotBody, list[Result]]:
        caller = await caller_of(request, self._identities, CLASSIFY)
        body = decode(ZeroShotBody, await read_body(request, self._settings))
        given = body.parameters
        texts = [body.inputs] if isinstance(body.inputs, str) else body.inputs
        question = ClassifyBody(given.candidate_labels, texts=texts, multi_label=bool(given.multi_label))
        if given.hypothesis_template is not None:
            question.hypothesis_template = given.hypothesis_template
        answer = await self._answering.answer(question, caller, request.scope["facts"], wishes_of(request))
        assert isinstance(answer, ClassifyAnswers)
        return body, answer.results

    @staticmethod
    def _answer(request: Request, shaped: list[Any], body: ZeroShotBody) -> Response:
        one_or_all = shaped[0] if isinstance(body.inputs, str) else shaped
        return json_answer(one_or_all, headers=quota_headers(request.scope["facts"]))
